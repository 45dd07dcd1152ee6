"""Who is bound to prefixes: nothing beyond them can be read, counted or changed, by any route."""

import contextlib
import json
import time
from urllib.parse import quote

import hypothesis
import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from lab.alerts import SECOND, T0, alert, said
from lab.web import serving
from sensor.alerts.candidate import Candidate
from sensor.base.access import Reach
from sensor.blocking.decision import decision
from sensor.blocking.desk import Desk
from sensor.blocking.handling import Act
from sensor.blocking.ledger import Ledger
from sensor.console.view import View
from sensor.console.web import credentials
from sensor.console.web.openapi import document
from sensor.impact.store import UsageStore
from sensor.impact.usage import Usage
from sensor.sinks.outbox import Outbox
from sensor.state.audit import note
from sensor.state.journal import Journal
from sensor.state.sessions import SessionStore
from tests.console.web import mail_bodies
from tests.console.web.test_stream import Listener

NORTH, SOUTH = "198.51.100.0/24", "203.0.113.0/24"
HOST = {"north": "198.51.100.7", "south": "203.0.113.7"}
CANDIDATE = {"north": "198.51.100.60", "south": "203.0.113.60"}
EXEMPT = {"north": "198.51.100.50", "south": "203.0.113.50"}
CUSTOMER = f"c-{'7' * 24}"
TOKENS = {side: f"p25_{side}_of_the_tests" for side in HOST}
MOVED = alert(HOST["south"], opened=5)
ALERT = {side: alert(host).id for side, host in HOST.items()}
SECRETS = {
    side: [ALERT[side], HOST[side], CANDIDATE[side], EXEMPT[side],
           f"helo-{side}.example", f"note {side}", f"why {side}"]
    for side in HOST
}  # fmt: skip
SECRETS["south"] += [CUSTOMER, MOVED.id]


def moved():
    """Messages about a customer who was in the south first and is in the north now."""
    had = [{"address": "198.51.100.9", "since": T0 + 9, "until": None},
           {"address": HOST["south"], "since": T0, "until": T0 + 9}]  # fmt: skip
    made = []
    for revision, (host, addresses) in enumerate(((HOST["south"], had[1:]), ("198.51.100.9", had))):
        told = msgspec.to_builtins(MOVED) | {
            "host": host, "customer": CUSTOMER, "addresses": addresses, "revision": revision + 1,
        }  # fmt: skip
        made.append(msgspec.convert(told, type(MOVED)))
    return made


def filled(state):
    """A state folder with the same in the north and in the south, and one customer who moved."""
    state.mkdir()
    journal, desk = Journal(state / "journal.sqlite"), Desk(state / "desk.sqlite")
    ledger, sessions = Ledger(state / "blocking.sqlite"), SessionStore(state / "sessions.sqlite")
    usage = UsageStore(state / "usage.sqlite")
    for side, host in HOST.items():
        one = alert(host)
        journal.write([one])
        near = {"ts": T0, "score": 3.0, "replies_visible": True}
        near |= {"evidence": one.evidence, "windows": one.windows}
        journal.note([Candidate(host=CANDIDATE[side], **near)])
        desk.act({one.id: 1}, 1, Act("note", side, f"note {side}"))
        desk.exempt(EXEMPT[side], 9, T0, side, f"why {side}")
        ledger._write(
            decision("block", T0, enforced=True, host=host, source=f"{host}/32", alert=one.id,
                     since=T0, expires=T0 + 3600 * SECOND, reasons=[f"why {side}"])
        )  # fmt: skip
        sessions.add([(host, said(src=host, helo=f"helo-{side}.example"))], 100, 10**6)
        usage.add([Usage(host, False, False, T0, T0 + 1)], 30)
    journal.write(moved())
    for book in (journal, desk, ledger, sessions, usage):
        book.close()
    Outbox(state / "outbox.sqlite").done("notify/desk", "journal", 1, {})
    return state


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("reach") / "state")


@pytest.fixture(scope="module")
def bound(folder):
    """A server whose users see one side each."""
    with of_two_sides(folder) as server:
        yield server


@contextlib.contextmanager
def of_two_sides(folder):
    config = folder.parent / "port25.toml"
    lines = ["[web]"]
    for side, prefix in (("north", NORTH), ("south", SOUTH)):
        digest = credentials.digest(TOKENS[side])
        lines.append(f'[[web.tokens]]\nname = "{side}"\nrole = "operator"\nsha256 = "{digest}"')
        lines.append(f'prefixes = ["{prefix}"]')
    config.write_text("\n".join(lines))
    with serving(folder, "-c", str(config)) as server:
        yield server


def ask(server, side, path, **more):
    headers = {"Authorization": f"Bearer {TOKENS[side]}"}
    return requests.request(
        more.pop("method", "GET"), server.base + path, headers=headers, timeout=300, **more
    )


def leaks(text, side, but=""):
    """What of a side stands in an answer, and was not asked by name."""
    return [one for one in SECRETS[side] if one in text and one not in but]


OTHER = {"north": "south", "south": "north"}
READ = [
    "alerts", "alerts?text=is:open", "alerts.csv", "messages", "candidates", "blocks", "exemptions",
    "networks", "impact", "impact.csv", "status", "vitals",
    *(f"alerts/{{id}}{more}" for more in ("", "/packets", "/evidence.pcapng")),
    "host?host={host}",
]  # fmt: skip


@pytest.mark.parametrize("side", list(HOST))
def test_each_side_sees_its_own_and_nothing_else(bound, side):
    told = {}
    for path in READ:
        one = ask(bound, side, f"/api/v1/{path}".format(id=ALERT[side], host=HOST[side]))
        told[path] = one.text
        assert leaks(one.text, OTHER[side]) == [], path
    # The impact report names the alert a host had, also where its customer has moved since.
    assert [one for one in leaks("".join(told.values()), side) if one != MOVED.id] == [
        one for one in SECRETS[side] if one not in (CUSTOMER, MOVED.id)
    ]
    for key in ("alerts", "alerts?text=is:open"):
        assert json.loads(told[key])["total"] == json.loads(told[key])["all"] == 1
    assert json.loads(told["status"])["blocked"] == json.loads(told["blocks"])["total"] == 1
    assert [one["hosts"] for one in json.loads(told["networks"])["networks"]] == [1]
    other = OTHER[side]
    for path in READ[-4:]:
        missing = ask(bound, side, f"/api/v1/{path}".format(id=ALERT[other], host=HOST[other]))
        nobody = ask(bound, side, f"/api/v1/{path}".format(id="0" * 32, host="192.0.2.1"))
        assert missing.status_code == 404
        assert missing.text == nobody.text, "what is beyond cannot be told from what is not"
    for path in ("settings", "health"):
        assert ask(bound, side, f"/api/v1/{path}").status_code == 403
    me = ask(bound, side, "/api/v1/me").json()
    assert me["prefixes"] == [{"north": NORTH, "south": SOUTH}[side]]


WORDS = [
    HOST["south"], "203.0.113.0/24", "0.0.0.0/0", "helo:helo-south", "note:south", "by:south",
    "owner:south", "why:south", f"customer:{CUSTOMER}", "dst:198.18.0.0/16", "is:blocked",
    "is:exempt", CUSTOMER, ALERT["south"], MOVED.id, "abuse:unknown", "verdict:bot",
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_search_does_not_count_what_is_beyond(bound, word):
    for more in ("", "&sort=host", "&block=blocked", "&handled=new", "&seen_to=true"):
        page = ask(bound, "north", f"/api/v1/alerts?text={quote(word)}{more}").json()
        assert {one["id"] for one in page["alerts"]} <= {ALERT["north"]}
        assert page["total"] == len(page["alerts"]) and page["all"] == 1


def as_left(folder):
    """What is on disk of the south."""
    view = View(folder)
    seen = {one.head.id: one for one in view.alerts(10)}
    return [
        (seen[id_].handling, seen[id_].acknowledged, view.notes(id_))
        for id_ in (ALERT["south"], MOVED.id)
    ] + [
        [one.host for one in view.exempted() if one.host.startswith("203.")],
        [one.host for one in view.blocks() if one.host.startswith("203.")],
        [one.action for host in HOST.values() for one in view.decisions(host, 9)
         if one.host.startswith("203.")],
    ]  # fmt: skip


assert mail_bodies, "Schemathesis sends mail by it"
DOCUMENT = document()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
PATHS = [
    (method, path) for path, does in DOCUMENT["paths"].items() for method in does
    if path not in ("/api/v1/stream", "/api/v1/login", "/api/v1/logout")
]  # fmt: skip
IDS = [*ALERT.values(), MOVED.id]
HOSTS = [*HOST.values(), *CANDIDATE.values(), *EXEMPT.values(), CUSTOMER, "203.0.113.0/24", "::/0"]


@st.composite
def requests_to(draw, method, path):
    """What the document allows, with hosts and alerts of both sides put in."""
    case = draw(SCHEMA[path][method.upper()].as_strategy())
    if "{id}" in path and draw(st.integers(0, 3)):
        case.path_parameters = {"id": draw(st.sampled_from(IDS))}
    for of in (case.query, case.body):
        if isinstance(of, dict):
            for name, pool in (("host", HOSTS), ("text", WORDS), ("after", ["", "journal:0"])):
                if name in of or (of is case.query and name != "host" and draw(st.booleans())):
                    of[name] = draw(st.sampled_from(pool))
            if "alerts" in of:
                of["alerts"] = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=3))
    return case


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_no_operation_tells_or_changes_what_is_beyond(bound, folder, method, path):
    before = as_left(folder)
    codes = set()

    @hypothesis.settings(
        max_examples=12, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    @hypothesis.given(requests_to(method, path))
    def asks(case):
        headers = {"Authorization": f"Bearer {TOKENS['north']}"}
        answer = case.call(base_url=bound.base, headers=headers, timeout=300)
        codes.add(answer.status_code)
        asked = f"{answer.request.url} {answer.request.body} {json.dumps(case.query, default=str)}"
        assert leaks(answer.text, "south", but=asked if answer.status_code >= 400 else "") == []
        assert answer.status_code < 500 or answer.status_code == 503

    asks()
    assert codes
    assert as_left(folder) == before


def test_the_stream_tells_each_side_its_own(tmp_path):
    folder = filled(tmp_path / "state")
    with of_two_sides(folder) as bound:
        follows(bound, folder)


def follows(bound, folder):
    class Bound:
        def get(self, path, **more):
            headers = more.pop("headers", {}) | {"Authorization": f"Bearer {TOKENS['north']}"}
            return requests.get(bound.base + path, headers=headers, **more)

    listener = Listener(Bound())
    journal = Journal(folder / "journal.sqlite")
    for k in range(3):
        journal.write([alert(f"203.0.113.{100 + k}", opened=50 + k)])
        journal.write([alert(f"198.51.100.{100 + k}", opened=50 + k)])
    hosts = [data["host"] for _, data, _ in listener.wait("alert", 3)]
    time.sleep(1)
    hosts = [data["host"] for name, data, _ in listener.events if name == "alert"]
    assert hosts == [f"198.51.100.{100 + k}" for k in range(3)]
    first = next(id_ for name, _, id_ in listener.events if name == "alert")
    again = Listener(Bound(), last=first)
    assert [data["host"] for _, data, _ in again.wait("alert", 2)] == hosts[1:]
    plain = {"Authorization": f"Bearer {TOKENS['north']}", "Last-Event-ID": "journal:0"}
    refused = requests.get(f"{bound.base}/api/v1/stream", headers=plain, timeout=300)
    assert refused.status_code == 400, "numbers of rows are no ids of who is bound"
    cursor, found = "", []
    while page := ask(bound, "north", f"/api/v1/messages?limit=1&after={cursor}").json():
        if not page["messages"]:
            break
        found += [one["host"] for one in page["messages"]]
        cursor = page["next"]
    assert found == [HOST["north"], *hosts]


def test_reach():
    north = Reach((NORTH, "2001:db8::/32"))
    assert north.covers("198.51.100.9:1024-2047") and north.covers("2001:db8:1:100::/56")
    assert not north.covers("2001::/16") and not north.covers(CUSTOMER) and not north.covers("")
    assert Reach(("198.51.100.128/25",)).within(north) and not north.within(Reach((NORTH,)))
    assert north.within(Reach()) and not Reach().within(north)
    with contextlib.suppress(ValueError):
        Reach(("nonsense",)).check()
        pytest.fail("nonsense is no prefix")


def test_the_audit_book_tells_no_numbers_of_its_rows(tmp_path):
    """They would say how much others do; pages go on by what only this reach can read."""
    folder = filled(tmp_path / "state")
    with of_two_sides(folder) as server:
        for k in range(3):
            for side in HOST:
                note(folder, side, "packets", HOST[side], ALERT[side], f"{side} {k}")

        def page(side, query=""):
            return ask(server, side, f"/api/v1/audit?limit=2{query}")

        first = page("north").json()
        assert [one["detail"] for one in first["rows"]] == ["north 2", "north 1"]
        assert {one["number"] for one in first["rows"]} == {0}
        rest = page("north", f"&before={quote(first['next'])}").json()
        assert [one["detail"] for one in rest["rows"]] == ["north 0"] and rest["next"] is None
        assert page("south", f"&before={quote(first['next'])}").status_code == 400
        assert page("north", "&before=audit:3").status_code == 400
