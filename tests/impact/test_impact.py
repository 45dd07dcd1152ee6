"""Who is what, on the fixtures and case by case; and what the report makes of it."""

import csv
import datetime
import io
import json
import re
from html.parser import HTMLParser

import msgspec
import pytest

from lab.alerts import alert
from sensor.hosts.subscribers import Exemption, SubscriberPrefix, compile_subscribers
from sensor.impact.formats import form
from sensor.impact.judgement import judge
from sensor.impact.ranges import ranges
from sensor.impact.report import Report
from sensor.impact.usage import Usages
from sensor.smtp.record import Session
from tests.conftest import PCAPS, port25

TRUTH = json.loads((PCAPS / "truth.json").read_text())
EXPECTED = {
    "203.0.113.10": "spam source",
    "203.0.113.20": "spam source",
    "203.0.113.30": "spam source",
    "203.0.113.40": "spam source",
    "192.0.2.25": "mail server",
    "192.0.2.26": "mail server",
    "203.0.113.50": "mail program",
    "203.0.113.70": "mail program",  # in spite of the SYNs forged in its name
}


def impact(*words: str) -> str:
    return port25("impact", "-q", *words, check=True).stdout.decode()


def test_the_demo_against_the_truth():
    report = json.loads(impact("--format", "json", str(PCAPS / "demo.pcap")))
    assert {one["host"]: one["kind"] for one in report["subscribers"]} == EXPECTED
    assert EXPECTED.keys() == TRUTH["demo"]["hosts"].keys()
    assert report["totals"] == {
        "spam source": 4, "mail server": 2, "mail program": 2, "unclear": 0,
    }  # fmt: skip
    for one in report["subscribers"]:
        if TRUTH["demo"]["hosts"][one["host"]]["truth"] == "bot":
            assert one["kind"] == "spam source"


@pytest.mark.parametrize("name", ["port_scan", "one_direction"])
def test_what_is_not_known_is_unclear(name):
    report = json.loads(impact("--format", "json", str(PCAPS / f"{name}.pcap")))
    kinds = {one["host"]: one["kind"] for one in report["subscribers"]}
    for host, true in TRUTH[name]["hosts"].items():
        if true["truth"] in ("scanner", "bot"):
            assert kinds[host] == "unclear", "nothing proves what it is"


def test_settings_say_who_a_subscriber_is():
    report = json.loads(
        impact("-c", str(PCAPS / "cgn.toml"), "--format", "json", str(PCAPS / "cgn.pcap"))
    )
    kinds = {one["host"]: one["kind"] for one in report["subscribers"]}
    assert kinds["100.64.1.1:8192-9215"] == "spam source"
    assert set(kinds) > {"100.64.1.1:8192-9215"}


SESSION = msgspec.convert(
    json.loads(port25("sessions", str(PCAPS / "home_user.pcap")).stdout.splitlines()[0]), Session
)


def usage(sessions, **settings):
    usages = Usages(compile_subscribers(**settings), 10)
    usages.add(sessions)
    return list(usages)


def session(n: int = 0, **fields) -> Session:
    """To the n-th network, as a mail server would."""
    given = {
        "src": "203.0.113.5", "dst": f"198.51.{n}.25", "dst_name": None, "auth_ok": None,
        "helo": "mail.office.example", "tls": False, "tls_sni": None,
    }  # fmt: skip
    return msgspec.structs.replace(SESSION, **(given | fields))


def kind(sessions, found=None, blocked: bool = False) -> str:
    (one,) = usage(sessions)
    return judge(one, found, blocked).kind


@pytest.mark.parametrize(
    ("expected", "sessions"),
    [
        ("mail server", [session(n) for n in range(5)]),
        ("mail server", [session(n, tls=True, quit=False) for n in range(5)]),
        ("unclear", [session(n % 2) for n in range(5)]),
        ("unclear", [session(n, helo="localhost") for n in range(5)]),
        ("unclear", [session(n, helo="[203.0.113.5]") for n in range(5)]),
        ("unclear", [session(n, helo=f"{n}.example") for n in range(5)]),
        ("unclear", [session(n, rcpt_attempted=2, rcpt_rejected=1) for n in range(5)]),
        ("unclear", [session(n, quit=False) for n in range(5)]),
        ("unclear", [session(n, handshake="unanswered") for n in range(5)]),
        ("mail program", [session(auth_ok=True)]),
        ("mail program", [session(n % 3, auth_ok=n % 2 == 0) for n in range(6)]),
        ("unclear", [session(n, auth_ok=True, helo="pc") for n in range(9)]),
        ("mail program", [session(tls=True, helo="[10.0.0.2]", tls_sni="smtp.bigmail.example")]),
    ],
)
def test_kinds(expected, sessions):
    assert kind(sessions) == expected


def test_alerts_decide_first_but_only_with_proof():
    good = [session(n) for n in range(5)]
    assert kind(good, alert(), blocked=True) == "spam source"
    assert kind(good, alert(), blocked=False) == "unclear"


def test_own_servers_strangers_and_exempt_hosts():
    prefixes = (SubscriberPrefix("203.0.113.0/24"),)
    assert not usage([session()], prefixes=prefixes, own_mail_servers=("198.51.0.25",))
    assert not usage([session()], prefixes=prefixes, own_mail_servers=("203.0.113.5",))
    assert not usage([session(src="192.0.2.1")], prefixes=prefixes)
    day = datetime.date(2030, 1, 1)
    (one,) = usage([session()], prefixes=prefixes, exempt=(Exemption("203.0.113.5", "x", day),))
    assert one.exempt


def test_no_more_subscribers_than_there_is_room_for():
    usages = Usages(compile_subscribers(), 3)
    usages.add([session(src=f"203.0.113.{n}") for n in range(5)])
    assert len(list(usages)) == 3
    assert usages.left_out == 2


def made(*sessions: Session) -> Report:
    judged = [judge(one, None, False) for one in usage(sessions)]
    return Report(first=0, last=1, date="1 April 2027", subscribers=judged, left_out=7)


EVIL = "<script>alert(1)</script>.example"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]


def test_the_page_is_whole_and_hostile_names_are_harmless():
    page = form("html").render(made(*[session(n, helo=EVIL) for n in range(5)]))
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.found
    assert {"svg", "table", "pre"} <= tags.found
    assert "&lt;script&gt;" in page
    assert "1 April 2027" in page
    assert "7 connections were left out" in page
    assert not re.search(r'(src|href)="', page), "nothing is loaded"


def test_csv_holds_no_formula():
    rows = list(csv.DictReader(io.StringIO(form("csv").render(made(session(helo="=cmd|x!A1"))))))
    assert rows[0]["helo"].startswith("'=")
    assert rows[0]["host"] == "203.0.113.5"


def test_ranges_with_fewest_to_tell_come_first():
    hosts = {"203.0.113.1": 1, "203.0.113.2": 1, "198.18.1.1": 5, "2001:db8:1:2::/64": 1}
    sessions = [session(n, src=h.partition("/")[0]) for h, k in hosts.items() for n in range(k)]
    found = ranges(judge(one, None, False) for one in usage(sessions))
    assert [one.prefix for one in found] == ["198.18.1.0/24", "2001:db8:1::/48", "203.0.113.0/24"]
    assert [one.to_tell for one in found] == [1, 1, 2]


def test_text_and_a_file(tmp_path):
    assert "close in this order" in form("text").render(made(session()))
    words = ("--format", "html", "-o", str(tmp_path / "page.html"), str(PCAPS / "demo.pcap"))
    assert impact(*words) == ""
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    bad = port25("impact", "-q", "-o", str(tmp_path / "no" / "x"), str(PCAPS / "worm.pcap"))
    assert bad.returncode == 1
    assert b"No such file" in bad.stderr
