"""The journal: each message once, in order, whoever reads along."""

import sqlite3

import msgspec
import pytest

from lab.alerts import SECOND, T0
from lab.alerts import alert as alert_on
from lab.outputs import feed, finish
from sensor.base.database import DatabaseError
from sensor.capture.merge import Captures
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.state.journal import Journal, Wanted
from sensor.state.journal_tables import TABLES
from tests.conftest import PCAPS


@pytest.fixture(scope="module")
def alerts():
    pipeline = Pipeline(Settings())
    found = []
    for block in Captures([str(PCAPS / "demo.pcap")]):
        found += feed(pipeline, block)
    return found + finish(pipeline)


def test_what_is_written_is_read_once_and_in_order(tmp_path, alerts):
    journal = Journal(tmp_path / "j")
    assert journal.write(alerts[:3]) == alerts[:3]
    assert journal.write(alerts) == alerts[3:]
    assert journal.write(alerts) == []
    reader = Journal(tmp_path / "j", read_only=True)
    assert [alert for _, alert in reader.read()] == alerts
    assert next(number for number, _ in reader.read(2)) == 3
    assert journal.last == list(reader.read())[-1][0]
    again = Journal(tmp_path / "j")
    assert msgspec.json.encode([a for _, a in again.read()]) == msgspec.json.encode(alerts)


def test_alerts_are_found_by_the_beginning_of_their_id(tmp_path, alerts):
    journal = Journal(tmp_path / "j")
    journal.write(alerts)
    of = [alert for alert in alerts if alert.id == alerts[0].id]
    assert journal.find(alerts[0].id) == journal.find(alerts[0].id[:12]) == of
    assert journal.find("zz") == []


def test_a_search_by_prefix_finds_whose_addresses_it_shares(tmp_path):
    hosts = (
        "203.0.113.7", "203.0.113.64", "203.0.114.7", "100.64.0.7:1024-2047",
        "2001:db8:0:100::/56", "2001:db8:0:2::9",
    )  # fmt: skip
    journal = Journal(tmp_path / "j")
    journal.write([alert_on(host, opened=n) for n, host in enumerate(hosts)])
    for text, found in {
        "203.0.113.0/24": hosts[:2],
        "203.0.113.70/26": hosts[1:2],  # what is beyond a prefix's length does not matter
        "0.0.0.0/0": hosts[:4],
        "100.64.0.0/16": hosts[3:4],
        "2001:db8:0:1ff:8000::1": hosts[4:5],
        "2001:db8::/32": hosts[4:6],
        "::/0": hosts,
        "2001:db8:0:": hosts[4:6],  # no address, but in the text
        "203.0.113.0/33": (),
        "203.0.113.7/x": (),
        "100.64.0.7:1024-2047": hosts[3:4],
        "203.0.113": hosts[:2],
    }.items():
        assert tuple(h.host for h in reversed(journal.heads(10, Wanted(text)))) == found, text


def test_old_alerts_are_forgotten_but_not_those_that_go_on(tmp_path, alerts):
    journal = Journal(tmp_path / "j")
    journal.write(alerts)
    newest = {alert.id: alert.ts for alert in alerts}
    cutoff = sorted(newest.values())[len(newest) // 2]
    journal.forget(cutoff)
    kept = {alert.id for _, alert in journal.read()}
    assert kept == {id_ for id_, ts in newest.items() if ts >= cutoff}
    assert len(list(journal.read())) == sum(alert.id in kept for alert in alerts)


def test_what_is_no_journal(tmp_path):
    (tmp_path / "j").write_text("hello, this is no database at all" * 100)
    with pytest.raises(DatabaseError, match="not a database"):
        Journal(tmp_path / "j")
    with pytest.raises(DatabaseError, match="unable to open"):
        Journal(tmp_path / "nothing" / "j")
    with pytest.raises(DatabaseError, match="it is not there; no sensor ran here"):
        Journal(tmp_path / "nothing" / "j", read_only=True)
    db = sqlite3.connect(tmp_path / "newer")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(DatabaseError, match="newer version"):
        Journal(tmp_path / "newer")


MOVED = "c-314159265358979323846264"


def _told():
    """Messages of alerts that go on, of a customer who moves, and of one that ended."""
    ended = [alert_on("203.0.113.1", revision=1), alert_on("203.0.113.1", 5, revision=2)]
    hosts = [alert_on(f"203.0.113.{n}", at=10 + n, opened=n) for n in range(9, 40, 3)]
    on = [
        msgspec.structs.replace(a, revision=2, ts=a.ts + 60 * 10**9, state="escalated", score=50.0)
        for a in hosts[::2]
    ]
    moves = [
        alert_on(f"198.51.100.{n}", 30 + n, revision=n, customer=MOVED, id="f" * 32)
        for n in (1, 2, 3)
    ]
    return [*ended, *hosts, *moves, *on]


def _answers(journal):
    """All that a journal is asked for."""
    ids = [head.id for head in journal.heads(100)]
    asked = [
        Wanted(text, sort=sort)
        for text in ("", "203.0.113.0/28", "198.51.100.1", MOVED, "198.51.100.9")
        for sort in ("raised", "active", "score", "host")
    ]
    return [
        list(journal.read()),
        [journal.heads(7, wanted) for wanted in asked],
        [journal.count(wanted) for wanted in asked],
        [journal.head(id_) for id_ in ids],
        [journal.find(id_[:9]) for id_ in ids],
        [journal.heads_of(one) for one in ("198.51.100.1", "203.0.113.9", MOVED, "192.0.2.1")],
        [sorted(found(ids).items()) for found in (journal.escalated, journal.revisions)],
        sorted(journal.gists(ids)),
        journal.turns(ids),
        sorted(journal.open_hosts()),
        journal.last,
    ]


def _made_before(path, version, alerts):
    """A journal as a version before made it, whose last message was deleted again."""
    db = sqlite3.connect(path)
    db.executescript("".join(TABLES[:version]))
    for a in [*alerts, alert_on("192.0.2.9")]:
        customer = {"customer": a.customer or ""} if version >= 5 else {}
        row = {
            "id": a.id, "revision": a.revision, "ts": a.ts, "host": a.host, "state": a.state,
            "message": msgspec.json.encode(a),
        } | customer  # fmt: skip
        number = _insert(db, "alerts", row)
        if version >= 3:
            del row["revision"], row["message"]
            abuse = {"abuse": a.abuse} if version >= 6 else {}
            row |= {
                "number": number, "opened": a.opened, "severity": a.severity, "score": a.score,
                "recommended": a.block_recommended,
            } | abuse  # fmt: skip
            _insert(db, "heads", row)
    for table in ("alerts", "heads")[: 2 if version >= 3 else 1]:
        db.execute(f"DELETE FROM {table} WHERE host = '192.0.2.9'")
    db.execute(f"PRAGMA user_version = {version}")
    db.commit()
    db.close()


def _insert(db, table, row):
    names, places = ", ".join(row), ", ".join("?" * len(row))
    sql = f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({places})"
    return db.execute(sql, tuple(row.values())).lastrowid


@pytest.mark.parametrize("version", range(1, len(TABLES)))
def test_a_journal_of_every_version_before_answers_as_one_of_now(tmp_path, version):
    # No version before the fifth knew customers.
    alerts = [a for a in _told() if version >= 5 or not a.customer]
    now = Journal(tmp_path / "now")
    now.write(alerts)
    _made_before(tmp_path / "before", version, alerts)
    before = Journal(tmp_path / "before")
    assert _answers(before) == _answers(now)
    assert before.write(alerts) == []
    # A number that was given is given to no other: readers have positions.
    later = alert_on("192.0.2.10", at=99)
    assert before.write([later, later]) == [later]
    assert before.last > len(alerts) + 1
    assert before.forget(T0 + 7 * SECOND) == 2 == now.forget(T0 + 7 * SECOND)
    assert before.heads_of("203.0.113.1") == []
    assert before.db.row("PRAGMA integrity_check") == ("ok",)


def test_what_is_deleted_takes_what_is_known_of_it_along(tmp_path):
    journal = Journal(tmp_path / "j")
    alerts = _told()
    journal.write(alerts)
    for up_to in range(1, len(alerts) + 1):
        journal.forget_oldest(up_to)
        left = {alert.id for _, alert in journal.read()}
        assert {head.id for head in journal.heads(100)} == left
        assert all(journal.find(id_) for id_ in left)
    assert journal.last == 0
    assert journal.write(alerts[:1]) == alerts[:1]
    assert journal.last > len(alerts)


def test_a_journal_of_now_is_written_in_large_pages_and_one_of_before_in_its_own(tmp_path):
    _made_before(tmp_path / "before", 1, [])
    pages = [Journal(tmp_path / name).db.row("PRAGMA page_size")[0] for name in ("now", "before")]
    assert pages == [8192, 4096]
