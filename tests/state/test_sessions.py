"""What suspects said last: the newest of each, none too old, none twice, none without bound."""

import subprocess

import msgspec
import pytest

from lab.outputs import alerts_of, feed, finish
from sensor.capture.merge import Captures
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.state import sessions as store
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from sensor.state.sessions import SessionStore
from tests.conftest import PCAPS, port25

HOUR = 3600 * 10**9


@pytest.fixture(scope="module")
def heard():
    """What a pipeline tells of the demo's suspects, and of everybody."""
    pipeline = Pipeline(Settings(), sessions="all", candidates=True)
    outputs = list(pipeline.run(Captures([str(PCAPS / "demo.pcap")])))
    ended = [one for output in outputs for one in output.sessions]
    suspects = [(one.suspect, one.session) for one in ended if one.suspect]
    return suspects, [one.session for one in ended], alerts_of(outputs)


def test_only_suspects_are_heard_and_only_from_even_odds_on(heard):
    suspects, everybody, alerts = heard
    assert {host for host, _ in suspects} <= {a.host for a in alerts}
    assert all(one.src == host and one.bytes_client > 0 for host, one in suspects)
    said = [one for one in everybody if one.src == "203.0.113.10" and one.bytes_client]
    mine = [one for host, one in suspects if host == "203.0.113.10"]
    assert mine == said[-len(mine) :] and 0 < len(said) - len(mine) < 12


def test_alerts_are_the_same_with_and_without(heard):
    pipeline = Pipeline(Settings())
    alerts = []
    for block in Captures([str(PCAPS / "demo.pcap")]):
        alerts += feed(pipeline, block)
    assert alerts + finish(pipeline) == heard[2]


def test_the_newest_of_each_host_are_kept_once(heard, tmp_path):
    kept = SessionStore(tmp_path / "sessions.sqlite")
    kept.add(heard[0], 5, 48)
    kept.add(heard[0], 5, 48)
    for host in {host for host, _ in heard[0]}:
        mine = sorted((one.ts for h, one in heard[0] if h == host), reverse=True)
        assert [one.ts for one in kept.of(host, 100)] == mine[:5]
    assert StateFolder(tmp_path).session_stores == [tmp_path / "sessions.sqlite"]


def test_what_is_too_old_goes(heard, tmp_path):
    kept = SessionStore(tmp_path / "sessions.sqlite")
    host, one = heard[0][0]
    later = msgspec.structs.replace(one, ts=one.ts + 3 * HOUR)
    kept.add([(host, one), (host, later)], 100, 2)
    assert kept.of(host, 100) == [later]


def test_all_together_have_a_ceiling(heard, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "ROWS", 50)
    kept = SessionStore(tmp_path / "sessions.sqlite")
    kept.add(heard[0], 1000, 48)
    assert kept.db.row("SELECT count(*) FROM sessions")[0] == 50


def test_hosts_are_counted_by_fan_out():
    pipeline = Pipeline(Settings())
    for block in Captures([str(PCAPS / "demo.pcap")]):
        feed(pipeline, block)
    steps = pipeline.fan_out()
    assert len(steps) == 8
    # Seen in the last hour of packet time: the slow bot and those who mailed to the end.
    assert 0 < sum(steps) <= pipeline.counters()["hosts"]["hosts"]
    assert Pipeline(Settings()).fan_out() == [0] * 8


def test_a_replay_keeps_packets_and_sessions_for_people(tmp_path, tshark):
    state = str(tmp_path / "state")
    port25("replay", "-q", "--state", state, str(PCAPS / "demo.pcap"), check=True)
    capture = tmp_path / "alert.pcapng"
    done = port25("evidence", "bf8440de", "--state", state, "-w", str(capture), check=True)
    command = [tshark, "-r", str(PCAPS / "demo.pcap"), "-Y", "ip.addr == 203.0.113.10"]
    lines = subprocess.run(command, capture_output=True, check=True).stdout.splitlines()
    assert f"{len(lines):,} packets of 203.0.113.10".encode() in done.stdout
    assert SessionStore(tmp_path / "state" / "sessions.sqlite", True).of("203.0.113.10", 500)
    (vitals,) = Journal(tmp_path / "state" / "journal.sqlite", True).vitals(1)
    assert len(vitals.fan_out) == 8
