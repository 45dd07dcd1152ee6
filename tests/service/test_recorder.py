"""What a pipeline gives is on disk before it is told, and what the disk refuses is counted."""

import shutil
from pathlib import Path

import pytest

from sensor.base.database import DatabaseError
from sensor.base.sentences import Sentence
from sensor.capture.merge import Captures
from sensor.impact.store import UsageStore
from sensor.service import alert_writer
from sensor.service import recorder as module
from sensor.service.recorder import Recorder, Sampler
from sensor.settings import EvidenceSettings, Settings
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from sensor.state.sessions import SessionStore
from tests.conftest import PCAPS

BOT = str(PCAPS / "slow_bot.pcap")


class Kept:
    """A recorder, what it said, and what it had told."""

    def __init__(self, folder: Path, usage: bool = True, **settings) -> None:
        self.files = StateFolder(folder)
        self.notices: list[tuple[str, str]] = []
        self.recorder = Recorder(self.files, Settings(**settings), self._notify, usage)
        self.pipeline = self.recorder.new_pipeline()
        self.alerts: list = []

    def _notify(self, kind: str, said: Sentence) -> None:
        self.notices.append((kind, said.text))

    def replay(self) -> None:
        for output in self.pipeline.run(Captures([BOT])):
            self.alerts += self.recorder.keep(output)


@pytest.fixture
def kept(tmp_path) -> Kept:
    return Kept(tmp_path)


def fail(monkeypatch, what: type, name: str) -> None:
    def full(*_):
        raise DatabaseError("disk full")

    monkeypatch.setattr(what, name, full)


def test_everything_is_kept(kept):
    kept.replay()
    kept.recorder.take_usage()()
    assert kept.recorder.close() == 0
    journal = Journal(kept.files.journal, read_only=True)
    assert [row.alert for row in journal.read()] == kept.alerts
    assert len(kept.alerts) > 5
    assert journal.db.row("SELECT count(*) FROM candidates")[0] > 0
    store = SessionStore(kept.files.sessions, True)
    assert store.of(kept.alerts[0].host, 500)
    assert list(UsageStore(kept.files.usage, read_only=True).read())
    counters = kept.recorder.counters
    assert counters["evidence_bytes"] > 0
    refused = ("journal_failures", "sessions_not_kept", "candidates_not_kept", "outbox_alerts")
    assert [counters[name] for name in refused] == [0, 0, 0, 0]
    assert kept.notices == []


def test_what_the_journal_holds_is_not_told_again(kept, tmp_path):
    kept.replay()
    kept.recorder.close()
    again = Kept(tmp_path)
    again.replay()
    assert again.alerts == []


def test_alerts_are_told_though_the_journal_cannot_be_written_and_written_later(kept, monkeypatch):
    with monkeypatch.context() as patched:
        fail(patched, Journal, "write")
        kept.replay()
        kept.recorder.flush()
        assert [kind for kind, _ in kept.notices] == ["journal"], "said once"
        counters = kept.recorder.counters
        assert counters["outbox_alerts"] == len(kept.alerts) > 5
        assert counters["journal_failures"] > 1
    kept.recorder.flush()
    assert kept.recorder.counters["outbox_alerts"] == 0
    assert [row.alert for row in kept.recorder.journal.read()] == kept.alerts


def test_the_oldest_of_alerts_that_wait_go(kept, monkeypatch):
    monkeypatch.setattr(alert_writer, "_MOST_WAITING", 3)
    with monkeypatch.context() as patched:
        fail(patched, Journal, "write")
        kept.replay()
    assert kept.recorder.close() == 0
    kept_alerts = [row.alert for row in Journal(kept.files.journal, read_only=True).read()]
    assert kept_alerts == kept.alerts[-3:]


def test_alerts_that_never_got_there_are_counted_at_the_end(kept, monkeypatch):
    fail(monkeypatch, Journal, "write")
    kept.replay()
    assert kept.recorder.close() == len(kept.alerts)


def test_candidates_that_cannot_be_written_are_counted(kept, monkeypatch):
    fail(monkeypatch, Journal, "note")
    kept.replay()
    assert kept.recorder.counters["candidates_not_kept"] > 0
    assert kept.alerts


def test_sessions_that_cannot_be_written_are_counted(kept, monkeypatch):
    fail(monkeypatch, SessionStore, "add")
    kept.replay()
    assert kept.recorder.counters["sessions_not_kept"] == 0, "none was tried"
    kept.recorder.flush()
    lost = kept.recorder.counters["sessions_not_kept"]
    assert lost > 0
    kept.recorder.flush()
    assert kept.recorder.counters["sessions_not_kept"] == lost


def test_sessions_do_not_pile_up(kept, monkeypatch):
    monkeypatch.setattr(module, "_SESSIONS_AT_ONCE", 1)
    kept.replay()
    store = SessionStore(kept.files.sessions, True)
    assert store.of(kept.alerts[0].host, 500), "written without a flush"


def test_packets_that_cannot_be_kept_stop_nothing(kept):
    shutil.rmtree(kept.files.evidence)
    kept.files.evidence.write_text("in the way")
    kept.replay()
    assert kept.alerts
    assert {kind for kind, _ in kept.notices} == {"evidence"}
    assert kept.recorder.counters["evidence_failures"] > 0


def test_usage_is_kept_where_it_is_asked_for_and_once(kept, tmp_path):
    kept.replay()
    write = kept.recorder.take_usage()
    kept.recorder.take_usage()()
    assert not kept.files.usage.exists(), "it had been taken"
    write()
    assert kept.files.usage.exists()
    (tmp_path / "none").mkdir()
    none = Kept(tmp_path / "none", usage=False)
    none.replay()
    none.recorder.take_usage()()
    assert not none.files.usage.exists()
    assert none.alerts == kept.alerts


def test_no_sessions_where_none_are_wanted(tmp_path):
    kept = Kept(tmp_path, evidence=EvidenceSettings(sessions=0))
    kept.replay()
    kept.recorder.close()
    assert SessionStore(kept.files.sessions, True).db.row("SELECT count(*) FROM sessions")[0] == 0


def test_samples_are_of_what_came_since_the_sample_before(kept):
    sampler = Sampler(kept.pipeline)
    assert sampler.sample(10) is None, "no packet came yet"
    kept.replay()
    counters = kept.pipeline.counters()
    sample = sampler.sample(10, dropped=3, loss=0.5)
    assert sample.packets == sum(counters["frames"].values())
    assert sample.syns == counters["connections"]["attempts"]
    assert sample.answered == counters["connections"]["answered"]
    assert (sample.dropped, sample.loss, len(sample.fan_out)) == (3, 0.5, 8)
    assert sampler.sample(10, packets=7).packets == 7
    later = Sampler(kept.pipeline).sample(10)
    assert (later.packets, later.syns) == (0, 0), "what was before a restart is not of this sample"
    kept.recorder.begin_samples(kept.pipeline)
    kept.recorder.sample(10)
    assert kept.recorder.journal.vitals(1) == [later]
