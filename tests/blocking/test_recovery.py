"""Blocking that stopped itself goes on by itself, hosts of long proven history first."""

import contextlib
import itertools
import sqlite3
from typing import Any

import pytest

from lab.alerts import T0, alert
from sensor.alerts.alert import Alert
from sensor.base.units import SECOND
from sensor.blocking.decision import Decision
from sensor.hosts.evidence import Count
from sensor.hosts.windows import WINDOWS
from tests.blocking.test_policy import Desk, at

HOUR = 3600
RATE = 20
STOP = 3 * HOUR
"""Seconds after T0 at which the flood comes."""


def flood(begin: float = STOP, hosts: int = RATE + 30, first: int = 1) -> list[Alert]:
    return [
        alert(f"203.0.113.{first + n}", at=begin + n / 10, opened=begin + n / 10)
        for n in range(hosts)
    ]


def old(host: str, when: float, day: int = 30, recent: int = 3, **fields: Any) -> Alert:
    """Known since T0, ``day`` contacts proven in a day, ``recent`` of them in the last hour."""
    names = [what.name.lower() for what in Count]
    windows = {w: dict.fromkeys(names, 0) | {"first_proven": recent} for w in WINDOWS}
    windows["1 day"]["first_proven"] = day
    given = {"windows": windows, "first_seen": T0 // SECOND, "opened": when}
    return alert(host, at=when, **(given | fields))


def nobody(when: float) -> Alert:
    """Of a host that is no spam source for certain: it only tells the time."""
    words = {"block_recommended": False, "handshake_proven": False, "severity": "medium"}
    return alert("203.0.113.250", at=when, opened=when, **words)


def made(desk: Desk, *alerts: Alert) -> list[str]:
    return [one.action for one in desk.take(*alerts)]


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path, max_per_minute=RATE)
    assert made(desk, *flood()) == ["block"] * RATE + ["stop"] + ["refuse"] * 30
    return desk


def told(desk: Desk, action: str) -> list[Decision]:
    return [e.decision for e in desk.ledger.page(0, 10_000) if e.decision.action == action]


def test_after_a_quiet_time_it_goes_on_by_steps_that_double(desk):
    assert made(desk, old("203.0.113.100", STOP + 300)) == ["refuse"], "not quiet long enough"
    assert made(desk, *(nobody(STOP + 600 * n + 60) for n in range(1, 7)))
    steps = told(desk, "step")
    assert [one.level for one in steps] == [1, 2, 3, 4, 5]
    assert {b.ts - a.ts for a, b in itertools.pairwise(steps)} == {600 * SECOND}
    assert "step 3: 4 new blocks in 600 s, for hosts proven long before" in steps[2].reasons[0]
    (resume,) = told(desk, "resume")
    assert resume.by == "port25"
    assert not desk.ledger.stopped(True)
    assert made(desk, alert("203.0.113.101", at=2 * STOP, opened=2 * STOP))[-1] == "block"


def test_hosts_proven_long_before_come_first_and_no_more_than_the_step_allows(desk):
    when = STOP + 700
    hosts = [old(f"203.0.113.{n}", when + n / 10) for n in (101, 102)]
    newcomer = alert("203.0.113.103", at=when, opened=when)
    assert made(desk, newcomer) == ["step", "refuse"]
    assert made(desk, *hosts) == ["block", "refuse"]
    assert "used up" in told(desk, "refuse")[-1].reasons[0]
    assert "come first" in told(desk, "refuse")[-2].reasons[0]
    again = old("203.0.113.102", when + 610, opened=when + 10.2, state="refreshed")
    assert made(desk, again) == ["step", "block"], "the next step has room for it"


@pytest.mark.parametrize(
    "fields",
    [
        {"first_seen": (T0 // SECOND) + STOP - 1800},  # known for half an hour before
        {"day": 11, "recent": 5},  # most of it since
        {"day": 3},
    ],
)
def test_a_short_history_is_none(desk, fields):
    assert made(desk, old("203.0.113.100", STOP + 700, **fields)) == ["step", "refuse"]


def test_who_was_blocked_long_before_is_known(tmp_path):
    desk = Desk(tmp_path, max_per_minute=RATE)
    assert made(desk, alert("203.0.113.200")) == ["block"]
    made(desk, *flood())
    when = STOP + 700
    assert made(desk, alert("203.0.113.200", at=when, opened=when)) == ["step", "block"]


def test_blocks_from_before_the_flood_go_on_being_renewed(tmp_path):
    desk = Desk(tmp_path, max_per_minute=RATE)
    begun = STOP - 1200
    made(desk, alert("203.0.113.200", at=begun, opened=begun))
    made(desk, *flood())
    words = {"opened": begun, "state": "refreshed", "revision": 2}
    (renewed,) = desk.take(alert("203.0.113.200", at=STOP + 60, **words))
    assert (renewed.action, renewed.since) == ("block", at(begun))
    words = {"opened": STOP, "state": "refreshed", "revision": 2}
    assert desk.take(alert("203.0.113.1", at=STOP + 60, **words)) == []


def test_a_flood_that_goes_on_is_no_quiet_time_and_one_that_comes_back_ends_the_steps(desk):
    more = [f for n in range(4) for f in flood(STOP + 300 * (n + 1), RATE, 60 + 30 * n)]
    assert set(made(desk, *more)) == {"refuse"}
    assert made(desk, nobody(STOP + 1700)) == [], "the last of them is not ten minutes old"
    assert made(desk, nobody(STOP + 1900)) == ["step"]
    back = made(desk, *flood(STOP + 2000, RATE + 10, 180))
    assert back.count("stop") == 1
    assert "block" not in back
    assert "turned away" in told(desk, "stop")[-1].reasons[0]
    assert made(desk, nobody(STOP + 2500)) == []
    assert made(desk, nobody(STOP + 2700)) == ["step"]


def test_ceilings_hold_at_all_times(tmp_path):
    """A flood of newcomers and old hands every two hours."""
    desk = Desk(tmp_path, max_per_minute=4, max_blocks=12, max_share=0.5)
    for n in range(1000):
        when = STOP + 20.0 * n + n // 40 * 2 * HOUR
        host = f"203.0.113.{n % 250}"
        one = old(host, when) if n % 3 else alert(host, at=when, opened=when)
        desk.take(one)
        assert len(desk.ledger.in_force(at(when))) <= 12
    blocks = [one for one in told(desk, "block") if one.since == one.ts]
    times = sorted(one.ts for one in blocks)
    assert all(b - a > 60 * SECOND for a, b in zip(times, times[4:], strict=False))
    assert len(told(desk, "resume")) > 3


def test_after_a_stop_at_max_blocks_it_goes_on_as_blocks_expire(tmp_path):
    desk = Desk(tmp_path, max_blocks=4, max_share=0.5)
    assert made(desk, *flood(hosts=5)) == ["block"] * 4 + ["stop", "refuse"]
    assert "step" not in made(desk, nobody(STOP + 4100))
    made(desk, nobody(STOP + 4300))
    assert [one.ts for one in told(desk, "step")] == [at(STOP + 3600 + 600)]


@pytest.mark.parametrize("settings", [{"max_share": 0.00003}, {"max_per_minute": 3, "quiet": 0}])
def test_what_waits_for_a_person_waits(tmp_path, settings):
    desk = Desk(tmp_path, **settings)
    made(desk, *flood(hosts=9))
    (stop,) = told(desk, "stop")
    assert stop.reasons[1] == "it goes on after `port25 resume` only"
    days = [old("203.0.113.100", STOP + 86_400.0 * n) for n in range(1, 20)]
    assert not {"block", "step", "resume"} & set(made(desk, *days))
    assert desk.ledger.resume(at(21 * 86_400), "looked at", "mary")
    when = 21.0 * 86_400
    assert made(desk, alert("203.0.113.99", at=when, opened=when))[-1] == "block"


def test_a_person_resumes_at_once_also_in_the_middle_of_the_steps(desk):
    made(desk, nobody(STOP + 700))
    assert told(desk, "step")
    assert desk.ledger.resume(at(STOP + 701), "forged, and filtered now", "mary")
    when = STOP + 702
    assert made(desk, alert("203.0.113.99", at=when, opened=when)) == ["block"]


def test_the_same_alerts_give_the_same_steps_however_they_come(tmp_path):
    alerts = sorted(
        [*flood(), *(old(f"203.0.113.{n}", STOP + 150.0 * n) for n in range(100, 130)),
         *(nobody(STOP + 400.0 * n) for n in range(60))],
        key=lambda one: one.ts,
    )  # fmt: skip
    books = []
    for n, size in enumerate((1, 7, 400)):
        (folder := tmp_path / str(n)).mkdir()
        desk = Desk(folder, max_per_minute=RATE)
        for i in range(0, len(alerts), size):
            desk.take(*alerts[i : i + size])
        books.append(desk.ledger.page(0, 10_000))
    assert books[0] == books[1] == books[2]
    assert len({e.decision.id for e in books[0]}) == len(books[0])
    assert told(desk, "step")


def test_old_steps_are_kept_while_they_hold(desk):
    made(desk, nobody(STOP + 700))
    desk.ledger.forget(at(STOP * 100))
    pause = desk.ledger.pause(True)
    assert pause is not None
    assert (pause.stop.action, pause.last.action) == ("stop", "step")


def test_a_stop_written_before_decisions_had_codes_goes_on_all_the_same(desk, tmp_path):
    desk.ledger.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "blocking.sqlite")) as db, db:
        db.execute("DROP INDEX decisions_by_customer")
        db.execute("ALTER TABLE decisions DROP COLUMN customer")
        db.execute("ALTER TABLE decisions DROP COLUMN cause")
        db.execute("UPDATE decisions SET message = json_remove(message, '$.causes')")
        db.execute("UPDATE standing SET message = json_remove(message, '$.causes')")
        db.execute("DROP TABLE resumed")
        db.execute("PRAGMA user_version = 2")
    later = Desk(tmp_path, max_per_minute=RATE)
    assert not later.ledger.page(0, 1)[0].decision.causes
    refused = flood()[-1]
    assert made(later, refused) == [], "refused before, and written down then"
    assert made(later, nobody(STOP + 300)) == []
    assert made(later, *flood(STOP + 500, RATE, first=100)) == ["refuse"] * RATE
    assert made(later, nobody(STOP + 620)) == [], "the quiet time begins anew with those"
    assert made(later, nobody(STOP + 1200)) == ["step"]
