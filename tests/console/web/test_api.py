"""The API: what it gives, page by page, who may do what, and what it refuses."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import time

import msgspec
import pytest

from lab.alerts import T0, alert
from lab.web import serving, settings_for
from sensor.alerts.alert import Alert
from sensor.blocking.desk import Desk
from sensor.blocking.feed_faults import tell
from sensor.console.view import View
from sensor.console.web.openapi import document
from sensor.impact.store import UsageStore
from sensor.impact.usage import Usage
from sensor.sinks.outbox import Outbox
from sensor.state.journal import Journal, place
from tests.conftest import ROOT
from tests.console.test_view import HOSTILE


def bot(server) -> str:
    """Id of the alert on the bot of the demo."""
    return server.get("/api/v1/alerts?text=203.0.113.10").json()["alerts"][0]["id"]


def many(state, count):
    """Alerts of as many hosts, a second apart, every third of them closed."""
    journal = Journal(state / "journal.sqlite")
    made = []
    for k in range(count):
        one = alert(f"198.51.{100 + k // 250}.{k % 250}", at=k, opened=k)
        if k % 3 == 0:
            one = msgspec.structs.replace(one, state="closed")
        made.append(one)
    journal.write(made)
    journal.close()
    return made


def test_pages_hold_each_alert_once_and_in_order(server, state):
    many(state, 250)
    expected = [one.head.id for one in View(state).alerts(1000)]
    found, after = [], None
    while True:
        more = f"&after={after}" if after else ""
        page = server.get(f"/api/v1/alerts?limit=60{more}").json()
        found += [one["id"] for one in page["alerts"]]
        if (after := page["next"]) is None:
            break
    assert found == expected and len(found) == 255


@pytest.fixture(scope="module")
def of_many(replayed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    state = shutil.copytree(replayed, folder / "state")
    many(state, 40)
    with serving(state, "-c", str(settings_for(folder))) as one:
        yield one, state


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("state=open", lambda a: a.state != "closed"),
        ("state=closed", lambda a: a.state == "closed"),
        ("text=198.51.100.7", lambda a: "198.51.100.7" in a.host),
        ("severity=high&state=open", lambda a: a.severity == "high" and a.state != "closed"),
        ("recommended=false", lambda a: not a.block_recommended),
        (f"since={T0 + 20 * 10**9}", lambda a: a.opened >= T0 + 20 * 10**9),
        (f"until={T0 + 20 * 10**9}", lambda a: a.opened < T0 + 20 * 10**9),
        ("text=is:open high", lambda a: a.state != "closed" and a.severity == "high"),
        ("text=is:closed", lambda a: a.state == "closed"),
        ("block=undecided&text=198.51.100.0/24", lambda a: a.host.startswith("198.51.100.")),
        (
            "text=dst:198.18.0.0/16",
            lambda a: any(d.address.startswith("198.18.") for d in a.destinations),
        ),
        ("text=why:destinations", lambda a: "destinations" in a.block_reason),
    ],
)
def test_filters(of_many, query, fits):
    server, state = of_many
    last = {a.id: a for _, a in Journal(state / "journal.sqlite", True).read()}
    found = {one["id"] for one in server.get(f"/api/v1/alerts?limit=1000&{query}").json()["alerts"]}
    assert found == {a.id for a in last.values() if fits(a)}
    assert found


def test_messages_are_followed_by_cursor_as_on_a_topic(server, state):
    everything = [a for _, a in Journal(state / "journal.sqlite", True).read()]
    found, cursor = [], ""
    while page := server.get(f"/api/v1/messages?limit=7&after={cursor}").json():
        cursor = page["next"]
        if not page["messages"]:
            break
        found += [msgspec.convert(one, Alert) for one in page["messages"]]
    assert found == everything
    later = alert("198.51.100.1")
    Journal(state / "journal.sqlite").write([later])
    (new,) = server.get(f"/api/v1/messages?after={cursor}").json()["messages"]
    assert new["id"] == later.id


def test_an_alert_adds_up_and_shows_its_course(calm):
    one = calm.get(f"/api/v1/alerts/{bot(calm)}").json()
    last = one["alert"]
    assert round(sum(line["decibans"] for line in last["evidence"]), 1) == last["score"]
    assert one["course"][0]["state"] == "raised"
    assert one["course"][-1]["score"] == last["score"] == one["listed"]["score"]


def test_a_host_has_sessions_decisions_and_alerts(calm):
    page = calm.get("/api/v1/host?host=203.0.113.10").json()
    assert page["alerts"][0]["host"] == "203.0.113.10"
    assert {one["helo"] for one in page["sessions"]} >= {"localhost"}
    assert page["sessions"] == sorted(page["sessions"], key=lambda s: -s["ts"])
    assert page["decisions"][0]["action"] == "block"
    assert calm.get("/api/v1/host?host=192.0.2.200").status_code == 404


def test_blocks_have_an_end_and_networks_have_hosts(calm):
    found = calm.get("/api/v1/blocks").json()
    assert found["blocks"] and all(one["expires"] > found["now"] for one in found["blocks"])
    (network,) = calm.get("/api/v1/networks").json()["networks"]
    assert network["prefix"] == "203.0.113.0/24" and network["hosts"] >= network["recommended"] > 0


def test_vitals_of_a_span_are_as_many_points_as_asked(server, state):
    course = server.get("/api/v1/vitals?seconds=300&points=10").json()
    assert 5 <= len(course["vitals"]) <= 10
    assert all(v["seconds"] <= 40 for v in course["vitals"][-5:])
    assert server.get("/api/v1/vitals?seconds=300&points=0").status_code == 400


def test_packets_as_wireshark_shows_them(server, state, tshark, tmp_path):
    id_ = bot(server)
    page = server.get(f"/api/v1/alerts/{id_}/packets?limit=30", "analyst").json()
    assert [one["number"] for one in page["packets"]] == list(range(1, 31)) and page["total"] > 30
    first = page["packets"][0]
    assert first["source"] == "203.0.113.10" and "[SYN]" in first["info"]
    assert [layer["name"] for layer in first["layers"]][-1] == "tcp"
    assert "Destination Port: 25" in first["layers"][-1]["fields"]
    rest = server.get(f"/api/v1/alerts/{id_}/packets?limit=5&after=30", "analyst").json()
    assert [one["number"] for one in rest["packets"]] == list(range(31, 36))
    capture = tmp_path / "evidence.pcapng"
    capture.write_bytes(server.get(f"/api/v1/alerts/{id_}/evidence.pcapng", "analyst").content)
    command = [tshark, "-r", str(capture), "-T", "fields", "-e", "ip.addr"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == page["total"] and all("203.0.113.10" in line for line in lines)
    log = (state / "evidence" / "access.log").read_text().splitlines()
    assert [json.loads(line)["user"] for line in log] == ["analyst-bot"]  # asked thrice, cut once


def test_what_a_role_may_do(server, state):
    id_ = bot(server)
    Outbox(state / "outbox.sqlite").done("notify/desk", "journal", 1, {})
    asked = {
        ("POST", "/api/v1/trials"): ("operator", {"name": "desk"}),
        ("GET", f"/api/v1/alerts/{id_}/packets?limit=1"): ("analyst", None),
        ("GET", f"/api/v1/alerts/{id_}/evidence.pcapng"): ("analyst", None),
        ("GET", "/api/v1/impact"): ("analyst", None),
        ("PUT", f"/api/v1/alerts/{id_}/acknowledgement"): ("analyst", {"reason": "seen"}),
        ("POST", "/api/v1/releases"): ("operator", {"host": "203.0.113.10", "reason": "fixed"}),
        ("POST", "/api/v1/exemptions"): (
            "operator", {"host": "203.0.113.10", "days": 3, "reason": "server"},
        ),
        ("DELETE", "/api/v1/exemptions?host=203.0.113.10"): ("operator", None),
    }  # fmt: skip
    order = ["viewer", "analyst", "operator"]
    for (method, path), (needed, body) in asked.items():
        for role in order:
            answer = server.get(path, role, method=method, json=body)
            allowed = order.index(role) >= order.index(needed)
            assert answer.ok if allowed else answer.status_code == 403, (method, path, role)
        assert server.get(path, None, method=method, json=body).status_code == 401
    desk = Desk(state / "desk.sqlite", read_only=True)
    assert desk.acknowledged([id_])[id_].by == "operator-bot"
    (trial,) = Outbox(state / "outbox.sqlite").trials()
    assert (trial.sink, trial.by, trial.answered) == ("notify/desk", "operator-bot", 0)
    for name, status in (("nobody", 404), ("a/b", 400), ("", 400)):
        answer = server.get("/api/v1/trials", "operator", method="POST", json={"name": name})
        assert answer.status_code == status
    released = View(state).decisions("203.0.113.10", 5)
    assert (released[0].action, released[0].by) == ("release", "operator-bot")


def test_persons_decide_about_hosts_that_are_known(server):
    body = {"host": "192.0.2.200", "days": 3, "reason": "typo"}
    for path in ("exemptions", "releases"):
        slip = {k: v for k, v in body.items() if path == "exemptions" or k != "days"}
        answer = server.get(f"/api/v1/{path}", "operator", method="POST", json=slip)
        assert answer.status_code == 404 and answer.headers["Content-Type"].endswith("problem+json")


def test_a_port_block_cannot_be_exempted(server, state):
    Journal(state / "journal.sqlite").write([alert("100.64.1.1:1024-2047")])
    body = {"host": "100.64.1.1:1024-2047", "days": 3, "reason": "x"}
    answer = server.get("/api/v1/exemptions", "operator", method="POST", json=body)
    assert answer.status_code == 409 and "whole address" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/alerts?limit=0", 400),
        ("/api/v1/alerts?limit=1&limit=2", 400),
        ("/api/v1/alerts?colour=red", 400),
        ("/api/v1/alerts?state=angry", 400),
        ("/api/v1/alerts?after=nonsense", 400),
        ("/api/v1/alerts?since=99999999999999999999", 400),
        ("/api/v1/messages?after=a:b", 400),
        ("/api/v1/alerts/zz", 404),
        ("/api/v1/alerts/" + "0" * 32, 404),
        ("/api/v1/nothing", 404),
        ("/static/0/app.css", 404),
        ("/static/0/%2e%2e/%2e%2e/auth.py", 404),
    ],
)
def test_bad_questions_have_clear_answers(calm, path, status):
    answer = calm.get(path)
    assert answer.status_code == status
    if path.startswith("/api/"):
        fault = answer.json()
        assert fault["status"] == status and fault["detail"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"reason": "x"}', "text/plain", 415),
        (b"{", "application/json", 400),
        (b'{"reason": ""}', "application/json", 400),
        (b'{"reason": "x", "more": 1}', "application/json", 400),
        (b'{"reason": "' + b"x" * 70_000 + b'"}', "application/json", 413),
        (b"\xff", "application/json", 400),
    ],
)
def test_bad_bodies_have_clear_answers(calm, content, kind, status):
    path = f"/api/v1/alerts/{bot(calm)}/acknowledgement"
    more = {"method": "PUT", "data": content, "headers": {"Content-Type": kind}}
    assert calm.get(path, "analyst", **more).status_code == status


def test_files_are_kept_by_browsers_as_long_as_they_are_the_same(calm):
    page = calm.get("/").text
    assert calm.get("/").headers["Cache-Control"] == "no-store"
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(files) > 20 and len({file.split("/")[2] for file in files}) == 1
    for file in files:
        answer = calm.get(file, None)
        assert answer.ok and "immutable" in answer.headers["Cache-Control"], file
    tag = files[0].split("/")[2]
    for path in ("../auth.py", "vendor/README.md", "index.html", "nothing.js"):
        assert calm.get(f"/static/{tag}/{path}").status_code == 404


def test_reasons_may_hold_anything_and_come_back_as_they_are(server):
    path = f"/api/v1/alerts/{bot(server)}/acknowledgement"
    answer = server.get(path, "analyst", method="PUT", json={"reason": HOSTILE})
    assert answer.json()["acknowledged"]["reason"] == HOSTILE


def test_the_impact_page_says_what_the_command_says(server, state):
    missing = server.get("/api/v1/impact", "analyst").json()
    assert missing["report"] is None and "live.usage" in missing["missing"]
    assert server.get("/api/v1/impact.csv", "analyst").status_code == 404
    store = UsageStore(state / "usage.sqlite")
    store.add([Usage("203.0.113.10", False, False, T0, T0 + 1)], 30)
    store.close()
    report = server.get("/api/v1/impact", "analyst").json()["report"]
    assert [one["kind"] for one in report["subscribers"]] == ["spam source"]
    table = server.get("/api/v1/impact.csv", "analyst")
    assert table.text.startswith("host,kind,") and "203.0.113.10" in table.text


def test_settings_are_shown_without_secrets(calm):
    answer = calm.get("/api/v1/settings")
    assert "argon2" not in answer.text and "p25_" not in answer.text
    found = {one["key"]: one for one in answer.json()["settings"]}
    assert found["web.users"]["value"] == [f"{r} ({r})" for r in ("viewer", "analyst", "operator")]
    assert found["detectors.fan_out.usual"]["value"] == found["detectors.fan_out.usual"]["default"]


def test_health_names_what_a_person_should_see_to(server, state):
    before = server.get("/api/v1/health").json()
    assert before["vitals"]["hosts"] == 8 and before["journal_bytes"] > 0
    assert {one["code"] for one in before["troubles"]} >= {"capture_loss"}  # 0.1 % in the fixture
    tell(state, "exabgp", ["announce flow <b>", "announce other"], 10**18)
    after = server.get("/api/v1/health").json()["troubles"]
    (one,) = [one for one in after if one["code"] == "feed_refused"]
    assert one["detail"].startswith("exabgp refuses 2 of what is to be blocked since 2001-09-09T")
    tell(state, "exabgp", [], 0)
    after = server.get("/api/v1/health").json()["troubles"]
    assert [one["code"] for one in after] == [one["code"] for one in before["troubles"]]
    assert server.get("/healthz", None).text == "ok\n"


def test_a_journal_that_cannot_be_read_is_a_503(server, state):
    for file in state.glob("journal.sqlite*"):
        file.write_bytes(b"nothing of the kind" * 1000)
    answer = server.get("/api/v1/alerts")
    assert answer.status_code == 503 and "journal.sqlite" in answer.json()["detail"]


def test_the_document_is_of_this_version():
    made = json.loads(json.dumps(document()))
    assert json.loads((ROOT / "docs" / "openapi.json").read_text()) == made


def test_several_workers_are_seen_as_one(state, tmp_path):
    whole = tmp_path / "both"
    shutil.copytree(state, whole / "worker-1-of-2")
    (whole / "worker-2-of-2").mkdir()
    other = alert("198.51.100.1", opened=10**8)
    Journal(whole / "worker-2-of-2" / "journal.sqlite").write([other])
    view = View(whole)
    assert view.alerts(1)[0].head.id == other.id
    assert view.folder(other.id) == whole / "worker-2-of-2"
    told, reached = view.each_after({}, 1000)
    assert reached == view.end
    assert told[-1][1] == view.end and len(told) == sum(view.end.values())


@pytest.mark.parametrize("sort", ["raised", "active", "score", "host"])
def test_pages_of_every_order_hold_each_alert_once(of_many, sort):
    server, _ = of_many
    found, after = [], ""
    while True:
        page = server.get(f"/api/v1/alerts?limit=14&sort={sort}{after}").json()
        assert (page["total"], page["all"]) == (45, 45)
        found += page["alerts"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    key = {
        "raised": lambda a: -a["opened"], "active": lambda a: -a["ts"],
        "score": lambda a: -a["score"], "host": lambda a: place(a["host"]),
    }[sort]  # fmt: skip
    assert [key(a) for a in found] == sorted(key(a) for a in found)
    assert len({a["id"] for a in found}) == len(found) == 45
    assert server.get(f"/api/v1/alerts?sort=score&after=x-{'0' * 32}").status_code == 409


def test_what_the_ledger_says_is_searched_by_as_it_is_shown(calm):
    everything = calm.get("/api/v1/alerts").json()["alerts"]
    for state in {one["block"]["state"] for one in everything} | {"blocked", "released"}:
        found = calm.get(f"/api/v1/alerts?block={state}").json()["alerts"]
        assert {a["id"] for a in found} == {
            a["id"] for a in everything if a["block"]["state"] == state
        }, state
    hosts = {a["host"] for a in calm.get("/api/v1/alerts?text=helo:localhost").json()["alerts"]}
    assert "203.0.113.10" in hosts
    assert calm.get("/api/v1/alerts?text=nonsense:x").status_code == 400
    assert calm.get("/api/v1/alerts?text=is:x").json()["detail"].startswith("text: is:x")


def test_kinds_and_customers_are_searched_for(server, state):
    made = [
        alert(f"198.51.100.{n}", abuse=abuse, customer=f"c-{n}{n}")
        for n, abuse in enumerate(("relay testing", "relay testing", "credential guessing"))
    ]
    Journal(state / "journal.sqlite").write(made)

    def found(query):
        return {a["host"] for a in server.get(f"/api/v1/alerts?{query}").json()["alerts"]}

    assert found("text=abuse:relay") == found("abuse=relay+testing") == {made[0].host, made[1].host}
    assert found("text=abuse:credential_guessing") == {made[2].host}
    assert found("text=customer:c-1+abuse:relay") == {made[1].host}
    assert found("text=customer:c-9") == found("text=customer:%25") == set()
    said = server.get("/api/v1/alerts?text=abuse:x")
    assert said.status_code == 400 and "relay_testing" in said.json()["detail"]
    assert server.get("/api/v1/alerts?abuse=x").status_code == 400
    lines = list(csv.DictReader(io.StringIO(server.get("/api/v1/alerts.csv?text=c-22").text)))
    assert [(one["abuse"], one["customer"]) for one in lines] == [("credential guessing", "c-22")]


def test_acts_on_many(server, state):
    made = many(state, 60)
    ids = [one.id for one in made]

    def act(role="analyst", **body):
        asked = {"alerts": ids[:40], **body}
        return server.get("/api/v1/acts", role, method="POST", json=asked)

    assert act("viewer", act="take").status_code == 403
    assert act(act="take").json() == {"alerts": 40}
    mine = server.get("/api/v1/alerts?owner=analyst-bot&limit=1000").json()
    assert mine["total"] == 40 and {a["handling"]["state"] for a in mine["alerts"]} == {"working"}
    assert act(act="done").status_code == 400, "neither a verdict nor a text"
    assert act(act="snooze").status_code == 400
    assert act(act="done", verdict="false_alarm").status_code == 200
    assert server.get("/api/v1/alerts?handled=done").json()["total"] == 40
    assert act(act="snooze", hours=3, reason="asked him").status_code == 200
    assert server.get("/api/v1/alerts?text=is:snoozed note:ASKED").json()["total"] == 40
    one = server.get(f"/api/v1/alerts/{ids[0]}").json()
    assert [note["act"] for note in one["notes"]] == ["take", "done", "snooze"]
    assert one["listed"]["handling"]["verdict"] == "false_alarm", "the last word on that stays"
    assert act(act="take", alerts=["0" * 32]).status_code == 404
    lines = server.get("/api/v1/alerts.csv?handled=snoozed").text.splitlines()
    assert len(lines) == 41 and "asked him" in lines[1]


def test_ready_while_a_sensor_writes(server, state):
    os.utime(state / "journal.sqlite")
    assert server.get("/readyz", None).text == "ok\n"
    then = time.time() - 400
    for file in state.glob("journal.sqlite*"):
        os.utime(file, (then, then))
    answer = server.get("/readyz", None)
    assert answer.status_code == 503 and "silent for 40" in answer.json()["detail"]
    assert server.get("/healthz", None).status_code == 200
