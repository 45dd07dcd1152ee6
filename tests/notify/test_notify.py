"""Destinations are told everything, in order, by real servers' word; what is hostile stays text."""

import contextlib
import datetime
import email
import email.policy
import hashlib
import hmac
import http.server
import importlib.util
import json
import os
import shutil
import subprocess
import threading
import time
from typing import ClassVar

import jsonschema
import msgspec
import pytest

from lab import ROOT
from lab.alerts import alert
from lab.mail_servers import postfix
from lab.waiting import wait_for
from sensor.blocking.acts import json_schema
from sensor.blocking.decision import decision
from sensor.blocking.desk import Desk
from sensor.blocking.handling import Act
from sensor.blocking.ledger import Ledger
from sensor.console.terminal.words import Words
from sensor.console.view import View
from sensor.console.web.api import _flat
from sensor.console.web.health import health
from sensor.console.web.stream import Follower
from sensor.console.web.view_pool import ViewPool
from sensor.notify.forms import body, cef, ecs, shaped, subject
from sensor.notify.syslog import record
from sensor.notify.tickets import with_tickets
from sensor.settings import Settings, SettingsError, parse_settings
from sensor.sinks.outbox import Outbox
from sensor.sinks.sink import Around, SinkSettingsError
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.conftest import cannot, needs

DRY = "dry run: nothing is blocked"
HERE = f"127.25.{os.getpid() // 256 % 256}.{os.getpid() % 256}"
"""Of this process alone: tests run side by side."""
EVIL = 'a|b=c\\]"\r\nBcc: x@example.com\x1b[2J\u202e<script>'


class Hook(http.server.BaseHTTPRequestHandler):
    """Fails every other time, whoever asks."""

    asked = 0
    taken: ClassVar[list[dict]] = []
    turn: ClassVar[threading.Lock] = threading.Lock()

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"]))
        with Hook.turn:
            Hook.asked += 1
            takes = Hook.asked % 2 == 0
        if takes:
            stamp = self.headers.get("X-Port25-Timestamp", "").encode()
            signed = hmac.new(b"a secret", stamp + b"." + text, hashlib.sha256).hexdigest()
            if stamp:
                assert self.headers["X-Port25-Signature"] == f"sha256={signed}"
            Hook.taken.append(json.loads(text))
        self.send_response(200 if takes else 503)
        self.end_headers()

    def log_message(self, *words):
        """Not here."""


@contextlib.contextmanager
def hook():
    Hook.asked, Hook.taken = 0, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@contextlib.contextmanager
def told(folder, text):
    """The sink at work on a new state folder; what it said."""
    state = StateFolder(folder)
    Ledger(state.ledger).close()
    said = []
    sink = parse_settings(text).notify.prepare()
    sink.start(Around(state, said.append, False, 0))
    try:
        yield Journal(state.journal), sink, said
    finally:
        sink.stop()


def needs_apprise():
    if importlib.util.find_spec("apprise") is None:
        cannot("apprise is not installed")


def done(journal, sink, folder):
    source = StateFolder(folder).source(StateFolder(folder).journal)
    return lambda: sink.position(source) == journal.last


def hosts(count):
    return [f"203.0.113.{n}" for n in range(count)]


@pytest.mark.slow
def test_a_web_server_that_fails_half_the_time_gets_everything_in_order(tmp_path):
    (tmp_path / "secret").write_text("a secret\n")
    with hook() as url:
        text = (
            f'[[notify.webhook]]\nname = "hook"\nurl = "{url}"\nsecret_file = "{tmp_path}/secret"'
        )
        with told(tmp_path, text) as (journal, sink, said):
            journal.write([alert(host, at=k) for k, host in enumerate(hosts(4))])
            wait_for(done(journal, sink, tmp_path), 60)
    assert [one["alerts"][0]["host"] for one in Hook.taken] == hosts(4)
    assert {one["mode"] for one in Hook.taken} == {DRY}
    counts = sink.counters()
    assert (counts["notify_sent"], counts["notify_failed"]) == (4, 4)
    assert said[0].code == "notify.away" and said[-1].code == "notify.again"


def test_rules_digest_and_what_waits(tmp_path):
    (tmp_path / "secret").write_text("a secret\n")
    rules = 'severities = ["high"]\nprefixes = ["203.0.113.0/24"]\ngroup_wait = 1\ngroup_most = 50'
    with hook() as url:
        text = f'[[notify.webhook]]\nname = "hook"\nurl = "{url}"\n{rules}\n'
        Hook.asked = 1  # the next is taken
        with told(tmp_path, f'{text}secret_file = "{tmp_path}/secret"') as (journal, sink, _):
            made = [alert(host, at=k) for k, host in enumerate(hosts(3))]
            made.append(alert("198.51.100.1"))
            made.append(alert("203.0.113.9", severity="medium"))
            made.append(alert("203.0.113.8", state="refreshed"))
            begun = time.monotonic()
            journal.write(made)
            time.sleep(0.5)
            assert Hook.taken == [] or time.monotonic() - begun > 1, "it waits for more"
            wait_for(done(journal, sink, tmp_path), 60)
    (one,) = Hook.taken
    assert [a["host"] for a in one["alerts"]] == hosts(3)
    assert sink.counters()["notify_unwanted"] == 3
    assert Outbox(StateFolder(tmp_path).outbox).sinks() == ["notify/hook"]


@pytest.mark.parametrize(
    ("rule", "taken", "left"),
    [
        ('customers = ["c-1"]', {"customer": "c-1"}, {"customer": "c-2"}),
        ('customers = ["c-1"]', {"customer": "c-1"}, {}),
        ('abuse = ["worm"]', {"abuse": "worm"}, {"abuse": "spam"}),
        ('states = ["closed"]', {"state": "closed"}, {}),
        ('severities = ["critical"]', {"severity": "critical"}, {}),
        ('prefixes = ["2001:db8::/32"]', {"host": "2001:db8:1:2::/64"}, {"host": "2001:db9::/64"}),
        ('prefixes = ["203.0.113.0/30"]', {"host": "203.0.113.3:1024-2047"}, {}),
    ],
)
def test_rules(rule, taken, left):
    text = f'[[notify.webhook]]\nname = "hook"\nurl = "http://127.0.0.1/"\n{rule}'
    (one,) = parse_settings(text).notify.to
    assert one.wants(alert(**taken)) and not one.wants(alert(**left))


@pytest.mark.parametrize(
    ("hours", "awake"), [("[8, 18]", (8, 17)), ("[18, 8]", (18, 23, 0, 7)), ("[0, 24]", range(24))]
)
def test_hours(hours, awake):
    text = f'url = "http://127.0.0.1/"\nhours = {hours}\nzone = "Asia/Tokyo"'
    (one,) = parse_settings(f'[[notify.webhook]]\nname = "hook"\n{text}').notify.to
    found = {h for h in range(24) if one.awake((h - 9) % 24 * 3600 * 10**9)}
    assert set(awake) <= found
    assert all((h in found) == (h + 1 in found) for h in range(23) if h + 1 not in (8, 18))


def test_what_waits_for_its_hours_holds_nobody_up(tmp_path):
    now = datetime.datetime.now(datetime.UTC).hour
    quiet = f"hours = [{(now + 2) % 24}, {(now + 4) % 24}]"
    with hook() as url:
        text = f'[[notify.webhook]]\nname = "hook"\nurl = "{url}"\n{quiet}'
        with told(tmp_path, text) as (journal, sink, _):
            journal.write([alert()])
            source = StateFolder(tmp_path).source(StateFolder(tmp_path).journal)
            wait_for(lambda: sink.waiting({source: journal.last}) == 0, 30)
            assert sink.position(source) < journal.last
        assert Hook.asked == 0


def test_what_secrets_there_are_is_known_at_the_start_and_shown_to_nobody(tmp_path):
    text = '[[notify.webhook]]\nname = "hook"\nurl = "https://chat.example/hooks/T0P53CR37"\n'
    settings = parse_settings(text)
    rows = _flat(settings)
    assert "T0P53CR37" not in repr(rows) and "https://chat.example/..." in repr(rows)
    with pytest.raises(SinkSettingsError, match="gone: No such file"):
        parse_settings(f'{text}secret_file = "{tmp_path}/gone"').notify.prepare()
    secret = tmp_path / "secret"
    secret.write_text("a secret\n")
    with hook() as url:
        Hook.asked = 1  # the next is taken
        text = f'[[notify.webhook]]\nname = "hook"\nurl = "{url}"\nsecret_file = "{secret}"'
        with told(tmp_path, text) as (journal, sink, _):
            secret.unlink()  # as when privileges were given up
            journal.write([alert()])
            wait_for(done(journal, sink, tmp_path), 30)
        assert len(Hook.taken) == 1


def test_a_destination_that_is_no_more_is_forgotten(tmp_path):
    outbox = Outbox(StateFolder(tmp_path).outbox)
    for name in ("notify/old", "kafka"):
        outbox.done(name, "here", 3, {})
        outbox.failed(name, "nobody is there")
    with (
        hook() as url,
        told(tmp_path, f'[[notify.webhook]]\nname = "new"\nurl = "{url}"'),
    ):
        wait_for(lambda: "notify/new" in outbox.sinks(), 30)
    assert outbox.sinks() == ["kafka", "notify/new"]
    assert [one.sink for one in outbox.away()] == ["kafka"]


def signed_for_here(folder):
    """Key and certificate of ``HERE``."""
    key, crt = folder / "here.key", folder / "here.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=here", "-addext", f"subjectAltName=IP:{HERE}", "-keyout", str(key),
         "-out", str(crt)],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, crt


def rsyslog(folder, key, crt):
    """The words that start rsyslog with TLS on port 16514 of ``HERE``; it writes to ``out.log``."""
    needs("rsyslogd")
    config = folder / "rsyslog.conf"
    config.write_text(
        f"""global(workDirectory="{folder}" defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile="{crt}" defaultNetstreamDriverCertFile="{crt}"
  defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" port="16514" address="{HERE}")
template(name="all" type="string" string="%app-name%|%msgid%|%structured-data%|%msg%\\n")
*.* action(type="omfile" file="{folder}/out.log" template="all")
"""
    )
    return ["rsyslogd", "-n", "-f", str(config), "-i", str(folder / "pid")]


def test_rsyslog_takes_it_over_tls(tmp_path):
    key, crt = signed_for_here(tmp_path)
    command, out = rsyslog(tmp_path, key, crt), tmp_path / "out.log"
    text = (
        f'[[notify.syslog]]\nname = "siem"\nserver = "{HERE}:16514"\nform = "cef"\n'
        f'authority = "{crt}"'
    )
    with told(tmp_path, text) as (journal, sink, said):
        journal.write([alert(host, at=k) for k, host in enumerate(hosts(5))])
        wait_for(lambda: said, 60)  # nobody is there yet
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
            try:
                wait_for(done(journal, sink, tmp_path), 90)
                wait_for(lambda: out.exists() and len(out.read_text().splitlines()) >= 5, 30)
            finally:
                server.terminate()
    lines = [line.split("|", 3) for line in out.read_text().splitlines() if line[:6] == "port25"]
    assert [line[2].partition('host="')[2].partition('"')[0] for line in lines] == hosts(5)
    assert all(f'mode="{DRY}"' in line[2] and "CEF:0|port25" in line[3] for line in lines)


MAIL = f"""
[[notify.mail]]
name = "{{}}"
server = "{HERE}:587"
sender = "port25@isp.example"
to = ["alice@receiver.example"]
authority = "{{}}"
"""


@contextlib.contextmanager
def postfix_that_keeps(folder, key, crt, within=(), more=""):
    """Postfix on ``HERE`` that keeps all mail in its spool; a way to read that.

    ``folder`` is made; Postfix's users may enter where it stands. ``within``: the words that
    start a program in a network namespace.
    """
    folder.mkdir()
    folder.chmod(0o755)
    command = [*within, *postfix(None, folder, HERE)]
    shutil.copy(key, folder / "mx.key")
    shutil.copy(crt, folder / "mx.crt")
    with (folder / "main.cf").open("a") as file:  # names of long queue ids are in time's order
        file.write("inet_interfaces = all\nheader_checks = static:HOLD\n")
        file.write(f"enable_long_queue_ids = yes\n{more}")

    def spool():
        shown = ["postcat", "-c", str(folder), "-hb"]
        for one in sorted((folder / "queue" / "hold").iterdir()):
            text = subprocess.run([*shown, one], check=True, capture_output=True).stdout
            yield email.message_from_bytes(text, policy=email.policy.default)

    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        try:
            yield lambda: list(spool())
        finally:
            server.terminate()


def test_postfix_takes_mail_over_tls_in_order_when_it_is_back(folder):
    needs("postfix", root=True)
    key, crt = signed_for_here(folder)
    evil = msgspec.structs.replace(alert("203.0.113.9"), block_reason=EVIL)
    with told(folder, MAIL.format("desk", crt)) as (journal, sink, said):
        journal.write([*(alert(host, at=k) for k, host in enumerate(hosts(3))), evil])
        wait_for(lambda: said, 60)  # nobody is there yet
        view = View(folder)
        wait_for(view.away, 60)
        (away,) = view.away()
        assert (away.sink, "refused" in away.reason) == ("notify/desk", True)
        assert Words("en").away([away])[0].startswith("desk NOT TOLD since ")
        (trouble,) = [
            one
            for one in health(view, Settings(), Follower(ViewPool(folder), 1)).troubles
            if one.code == "sink_away"
        ]
        assert "desk has taken nothing" in trouble.detail and "4 messages wait" in trouble.detail
        with postfix_that_keeps(folder / "postfix", key, crt) as spool:
            wait_for(done(journal, sink, folder), 90)
            wait_for(lambda: len(spool()) == 4, 30)
            mails = spool()
            (folder / "other").mkdir()
            with told(folder / "other", MAIL.format("liar", "")) as (other, shy, warned):
                other.write([evil])
                wait_for(lambda: warned, 60)  # whom nobody vouches for is sent nothing
                assert "certificate" in warned[0].figures["error"].lower()
                assert shy.counters()["notify_sent"] == 0
            assert len(spool()) == 4
    assert view.away() == []
    expected = [f"[{DRY}] port25 high alert raised: {host} +37.6" for host in hosts(3)]
    assert [mail["Subject"] for mail in mails][:3] == expected
    assert all(mail["Auto-Submitted"] == "auto-generated" for mail in mails)
    assert all(mail["Bcc"] is None and mail["To"] == "alice@receiver.example" for mail in mails)
    assert "\\r\\nBcc: x@example.com" in mails[3].get_content()
    assert [said[0].code, said[-1].code] == ["notify.away", "notify.again"]


def test_chat_gets_text_without_markup_once_it_is_back(tmp_path):
    needs_apprise()
    (tmp_path / "url").write_text("mmost://127.0.0.1:1/secretsecret\n")
    evil = msgspec.structs.replace(
        alert(), block_reason="<!channel> @all [x](https://evil.example) `*b*`"
    )
    with hook() as url:
        where = url.removeprefix("http://").rstrip("/")
        (tmp_path / "url").write_text(f"mmost://{where}/secretsecret\n")
        text = f'[[notify.chat]]\nname = "pager"\nurl_file = "{tmp_path}/url"\ngroup_wait = 0'
        with told(tmp_path, text) as (journal, sink, said):
            journal.write([evil])
            wait_for(done(journal, sink, tmp_path), 60)
    (one,) = Hook.taken
    assert not set("<>@`*[]|") & set(one["text"].replace("[:]//", ""))
    assert "(!channel) (at)all (x)(https[:]//evil.example)" in one["text"]
    assert "dry run: nothing is blocked" in one["text"]
    assert (said[0].code, "503" in said[0].figures["error"]) == ("notify.away", True)
    assert "secretsecret" not in repr(said)


def test_chat_that_apprise_does_not_know(tmp_path):
    needs_apprise()
    settings = f'[[notify.chat]]\nname = "pager"\nurl_file = "{tmp_path}/url"'
    for text in ("nonsense://x", "mmost://a/b mmost://c/d"):
        (tmp_path / "url").write_text(text)
        with pytest.raises(SinkSettingsError, match="expected one address"):
            parse_settings(settings).notify.prepare()


def test_hostile_text_is_escaped_in_every_form():
    one = alert("203.0.113.7", block_reason=EVIL)
    for form in ("text", "cef", "ecs", "ocsf"):
        line = shaped(one, form, DRY)
        assert not any(ord(c) < 32 for c in line), form
        assert DRY in line, form
    line = cef(one, DRY)
    assert line.count("|") - line.count("\\|") - EVIL.count("|") == 7
    assert "b\\=c" in line and "Bcc: x@example.com" in line
    made = record(one, "cef", 'a"]\\', 16, "a host")
    assert b'mode="a\\"\\]\\\\"' in made and b" a-host port25 " in made and b"\n" not in made
    assert "\n" not in subject([one], DRY) and "\x1b" not in body([one], DRY)
    assert ecs(one, DRY)["event"]["severity"] == 8


@pytest.mark.parametrize(
    ("host", "field", "address"),
    [
        ("203.0.113.7", "src", "203.0.113.7"),
        ("100.64.0.7:1024-2047", "src", "100.64.0.7"),
        ("2001:db8:1:2::/64", "c6a2", "2001:db8:1:2::"),
        ("c-1", "shost", "c-1"),
    ],
)
def test_fields_for_addresses_hold_addresses(host, field, address):
    line = cef(alert(host, customer="c-1"), DRY)
    assert f" {field}={address} " in line and f" shost={host} suid=c-1 " in line
    shown = ecs(alert(host), DRY)
    ip = {} if host == address == "c-1" else {"ip": address}
    assert shown["source"] == {"address": host} | ip and "user" not in shown
    assert ecs(alert(host, customer="c-1"), DRY)["user"] == {"id": "c-1"}
    assert "\ncustomer c-1\n" in body([alert(host, customer="c-1")], DRY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[notify.webhook]]\nname="a"\nurl="http://x/"\nzone="Mars/Olympus"', "time zone"),
        ('[[notify.webhook]]\nname="a"\nurl="http://x/"\nhours=[9, 9]', "hours"),
        ('[[notify.webhook]]\nname="a"\nurl="http://x/"\nprefixes=["x"]', "x"),
        ('[[notify.webhook]]\nname="a"\nurl="ftp://x/"', "url"),
        ('[[notify.mail]]\nname="a"\nserver="x:25"\nsender="a@b"\nto=["a@b"]\ntls="none"\nuser="u"',
         "password"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(text, said):
    with pytest.raises(SettingsError, match=said):
        parse_settings(text)


def test_the_ticket_of_an_alert_or_its_case_is_in_what_is_told(tmp_path):
    (tmp_path / "secret").write_text("a secret\n")
    desk = Desk(tmp_path / "desk.sqlite")
    mine, his, none = (alert(host, at=k) for k, host in enumerate(hosts(3)))
    desk.act({mine.id: 1, his.host: 0}, 1, Act("ticket", "ann", ticket="T|1=x"))
    desk.close()
    with hook() as url:
        Hook.asked = 1
        text = f'[[notify.webhook]]\nname = "hook"\nurl = "{url}"\ngroup_wait = 1\ngroup_most = 3\n'
        with told(tmp_path, f'{text}secret_file = "{tmp_path}/secret"') as (journal, sink, _):
            journal.write([mine, his, none])
            wait_for(done(journal, sink, tmp_path), 60)
    assert [one.get("ticket") for one in Hook.taken[0]["alerts"]] == ["T|1=x", "T|1=x", None]
    (made,) = with_tickets(StateFolder(tmp_path), [mine])
    assert "cs4=T|1\\=x" in cef(made, DRY) and "ticket T|1=x" in body([made], DRY)
    assert ecs(made, DRY)["labels"]["ticket"] == "T|1=x" and "ticket" not in body([none], DRY)


def test_what_persons_do_at_the_desk_is_told_signed_and_once(tmp_path):
    (tmp_path / "secret").write_text("a secret\n")
    with hook() as url:
        text = f'[[notify.webhook]]\nname = "hook"\nurl = "{url}"\nacts = true\n'
        more = f'secret_file = "{tmp_path}/secret"\nprefixes = ["203.0.113.0/24"]\nstates = []\n'
        with told(tmp_path, text + more) as (journal, _, _):
            mine, other = alert("203.0.113.7"), alert("198.51.100.7")
            journal.write([mine, other])
            act_all(tmp_path, mine, other)
            wait_for(lambda: len([a for one in Hook.taken for a in one["acts"]]) == 6, 60)
            time.sleep(0.5)
    acts = [a for one in Hook.taken for a in one["acts"]]
    assert sorted((a["act"], a["by"], a["host"]) for a in acts) == sorted(
        (name, "ann", "203.0.113.7")
        for name in ("done", "ticket", "note", "exempt", "lift", "release")
    )
    by_name = {a["act"]: a for a in acts}
    assert by_name["done"]["verdict"] == "bot" and by_name["done"]["alert"] == mine.id
    assert by_name["ticket"]["ticket"] == "T-1" and by_name["note"]["alert"] == ""
    schema = json.loads((ROOT / "docs" / "act.schema.json").read_text())
    for one in acts:
        jsonschema.validate(one, schema)
    assert len({a["id"] for a in acts}) == 6 and schema == json_schema(), "run: make schema"


def act_all(folder, mine, other):
    """Of each kind of act one on each of two hosts."""
    desk, ledger = Desk(folder / "desk.sqlite"), Ledger(folder / "blocking.sqlite")
    for one in (mine, other):
        desk.act({one.id: 1}, 1, Act("done", "ann", verdict="bot"))
        desk.act({one.id: 1}, 2, Act("ticket", "ann", ticket="T-1"))
        desk.act({one.host: 0}, 3, Act("note", "ann", "of the case"))
        desk.exempt(one.host, 1, 4, "ann", "own server")
        desk.lift(one.host, 5, "ann")
        since = {
            "reasons": ["x"],
            "since": 1,
            "expires": 10**18,
            "source": f"{one.host}/32",
            "alert": one.id,
        }
        ledger._write(decision("block", 1, enforced=True, host=one.host, **since))
        assert ledger.release(lambda b, host=one.host: b.host == host, 6, "called", "ann")
    desk.close()
    ledger.close()
