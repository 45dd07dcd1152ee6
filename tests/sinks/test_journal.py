"""The journal: each message once, in order, whoever reads along."""

import sqlite3

import msgspec
import pytest

from sensor.capture.merge import Captures
from sensor.database import DatabaseError
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.sinks.journal import Journal
from tests.conftest import PCAPS


@pytest.fixture(scope="module")
def alerts():
    pipeline = Pipeline(Settings())
    found = []
    for block in Captures([str(PCAPS / "demo.pcap")]):
        found += pipeline.feed(block)
    return found + pipeline.finish()


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
    db = sqlite3.connect(tmp_path / "newer")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(DatabaseError, match="newer version"):
        Journal(tmp_path / "newer")
