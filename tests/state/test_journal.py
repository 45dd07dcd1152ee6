"""The journal: each message once, in order, whoever reads along."""

import sqlite3

import msgspec
import pytest

from lab.alerts import alert as alert_on
from lab.outputs import feed, finish
from sensor.base.database import DatabaseError
from sensor.capture.merge import Captures
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.state.journal import Journal, Wanted
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
    db = sqlite3.connect(tmp_path / "newer")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(DatabaseError, match="newer version"):
        Journal(tmp_path / "newer")
