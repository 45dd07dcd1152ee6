"""A sensor that forwards, cut off: judged as ever, told here only, closed when it is over."""

import datetime
import gc
import time
import weakref

import msgspec
import numpy as np
import pytest

from lab.alerts import SECOND, T0
from lab.alerts import alert as an_alert
from sensor.alerts.alert import Alert
from sensor.alerts.notice import Notice
from sensor.blocking.acts import feeds, of_alerts
from sensor.blocking.desk import Desk
from sensor.blocking.handling import Act
from sensor.blocking.ledger import Ledger
from sensor.capture.merge import Captures
from sensor.decode.decoder import Decoder
from sensor.hosts.subscribers import Exemption
from sensor.pipeline import Pipeline
from sensor.service import alone as module
from sensor.service.alone import Alone, Cut
from sensor.service.announcer import Announcer
from sensor.service.exemptions import Exemptions
from sensor.service.recorder import Recorder
from sensor.service.snapshots import Snapshots
from sensor.settings import Settings, parse_settings, policy_of
from sensor.sinks.kafka.alert_source import AlertSource
from sensor.sinks.kafka.connection import KafkaSettings
from sensor.sinks.kafka.desk_source import DeskActSource
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.conftest import PCAPS

BOT = str(PCAPS / "slow_bot.pcap")
SETTINGS = parse_settings('[blocking]\nmode = "enforce"\n[cluster]\nalone = true\nalone_after = 60')


class Cutoff:
    """What judges alone, a clock, and all that was told."""

    def __init__(self, folder, monkeypatch, settings: Settings = SETTINGS) -> None:
        folder.mkdir(exist_ok=True)
        self.files, self.settings = StateFolder(folder), settings
        self.journal = Journal(self.files.journal)
        self.told: list[Alert | Notice] = []
        self.now = 1000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        self.announcer = Announcer(self.told.append, lambda _: None, None)
        self.start()

    def start(self) -> None:
        """Another process of the sensor."""
        exemptions = Exemptions(self.files.path, self.settings)
        self.alone = Alone(self.settings, "north", self.journal, self.announcer, exemptions)
        self.alone.begin()

    def passes(self, seconds: int, waits: bool, away: bool) -> None:
        for _ in range(seconds):
            self.alone.turn(waits, away)
            self.now += 1

    def hear(self) -> None:
        """What the bot does."""
        decoder = Decoder(self.settings.ports, self.settings.duplicate_window, True)
        for block in Captures([BOT]):
            self.alone.hear(block, decoder.decode(block), decoder.counts)

    @property
    def alerts(self) -> list[Alert]:
        return [one for one in self.told if isinstance(one, Alert)]

    @property
    def said(self) -> list[str]:
        return [one.code for one in self.told if isinstance(one, Notice)]


@pytest.fixture
def cutoff(tmp_path, monkeypatch) -> Cutoff:
    return Cutoff(tmp_path, monkeypatch)


def replayed() -> list[Alert]:
    settings = msgspec.structs.replace(SETTINGS, kafka=KafkaSettings(sensor="north"))
    outputs = Pipeline(settings).run(Captures([BOT]))
    return [one for output in outputs for one in output.alerts]


def test_it_judges_as_a_replay_does_and_recommends_nothing(cutoff):
    cutoff.passes(61, True, True)
    cutoff.hear()
    want = replayed()
    assert any(one.block_recommended for one in want)
    found = cutoff.alerts
    fields = ("host", "state", "revision", "ts", "score", "evidence", "severity", "proven",
              "windows", "sensor")  # fmt: skip
    here, there = ([[getattr(a, f) for f in fields] for a in alerts] for alerts in (found, want))
    assert here == there[: len(here)]
    assert any(one.severity != "medium" for one in found)
    assert {one.block_recommended for one in found} == {False}
    assert {one.block_code for one in found if one.state != "closed"} == {"block.alone"}
    assert all(one.alone is True for one in found)
    assert not {one.id for one in found} & {one.id for one in want}
    assert [row.alert for row in cutoff.journal.read()] == found


def test_its_ids_are_its_own(cutoff):
    cutoff.passes(61, True, True)
    cutoff.hear()
    other = msgspec.structs.replace(SETTINGS, kafka=KafkaSettings(sensor="south"))
    outputs = Pipeline(other, alone=True).run(Captures([BOT]))
    south = {one.id for output in outputs for one in output.alerts}
    assert not {one.id for one in cutoff.alerts} & south


def test_nothing_is_judged_before_or_after(cutoff):
    cutoff.passes(60, True, True)
    cutoff.hear()
    assert cutoff.told == []
    cutoff.passes(1, True, True)
    cutoff.hear()
    raised = len(cutoff.alerts)
    assert raised
    cutoff.passes(11, False, False)
    told = len(cutoff.told)
    cutoff.hear()
    assert len(cutoff.told) == told
    assert cutoff.said == ["cluster.alone", "cluster.alone_over"]
    assert cutoff.alone.counters()["alone"]["judges_alone"] == 0


def test_what_is_open_at_the_end_is_closed_and_says_why(cutoff):
    cutoff.passes(61, True, True)
    cutoff.hear()
    open_ = {one.id for one in cutoff.alerts} - {
        one.id for one in cutoff.alerts if one.state == "closed"
    }
    assert open_
    cutoff.passes(11, False, False)
    last = {one.id: one for one in cutoff.alerts}
    for one in (last[id_] for id_ in open_):
        assert (one.state, one.block_code) == ("closed", "block.alone_over")
        assert "Kafka takes segments again" in one.block_reason
    notice = next(one for one in cutoff.told if getattr(one, "code", "") == "cluster.alone_over")
    assert notice.figures["closed"] == len(open_)
    numbers = [(row.alert.id, row.alert.revision) for row in cutoff.journal.read()]
    assert len(numbers) == len(set(numbers))
    assert cutoff.journal.open_hosts() == []


def test_its_tables_go_when_it_is_over(cutoff):
    cutoff.passes(61, True, True)
    cutoff.hear()
    table = weakref.ref(cutoff.alone._pipeline._state.hosts.meta)
    cutoff.passes(11, False, False)
    gc.collect()
    assert table() is None


def test_what_it_counted_is_counted_on(cutoff):
    def counted() -> dict[str, dict]:
        return cutoff.alone.counters()

    for turn in (1, 2):
        cutoff.passes(61, True, True)
        cutoff.hear()
        if turn == 1:
            first = counted()
            assert first["hosts"]["hosts"] > 0
        else:
            assert counted()["connections"]["attempts"] == 2 * first["connections"]["attempts"]
            assert counted()["hosts"]["hosts"] == first["hosts"]["hosts"]
        cutoff.passes(11, False, False)
        assert counted()["hosts"]["hosts"] == 0
        assert counted()["connections"]["attempts"] == turn * first["connections"]["attempts"]
        assert counted()["alone"]["times_alone"] == turn
    assert "frames" not in counted()


def test_the_next_start_closes_what_a_crash_left(cutoff):
    cutoff.journal.write([old := an_alert("198.51.100.77")])
    cutoff.passes(61, True, True)
    cutoff.hear()
    assert len(cutoff.journal.open_hosts()) > 1
    cutoff.told.clear()
    cutoff.start()
    assert cutoff.said == ["cluster.alone_stopped"]
    assert {one.block_code for one in cutoff.alerts} == {"block.alone_stopped"}
    left = [host for host, _ in cutoff.journal.open_hosts()]
    assert left == [old.host], "an alert of before the sensor forwarded"
    cutoff.told.clear()
    cutoff.start()
    assert cutoff.told == []


def test_no_decision_and_no_message_of_it_leaves(cutoff, tmp_path):
    cutoff.passes(61, True, True)
    cutoff.hear()
    cutoff.passes(11, False, False)
    rows = cutoff.journal.page(0)
    ledger, policy = Ledger(tmp_path / "ledger.sqlite"), policy_of(SETTINGS)
    assert ledger.take("alerts", rows, policy) == []
    as_usual = [row._replace(alert=one) for row, one in zip(rows, replayed(), strict=False)]
    assert Ledger(tmp_path / "other.sqlite").take("alerts", as_usual, policy)
    source = AlertSource(cutoff.files.journal, "alerts", KafkaSettings(sensor="north"))
    sent = source.read(0, 1000)
    assert [message.number for message in sent] == [row.number for row in rows]
    assert {message.topic for message in sent} == {""}


def test_who_is_exempt_is_exempt_here_too(tmp_path, monkeypatch):
    host = next(one.host for one in replayed())
    settings = msgspec.structs.replace(
        SETTINGS, exempt=(Exemption(host, "a lab", datetime.date(2100, 1, 1)),)
    )
    cutoff = Cutoff(tmp_path, monkeypatch, settings)
    cutoff.passes(61, True, True)
    cutoff.hear()
    assert host not in {one.host for one in cutoff.alerts}


def test_that_others_show_replies_says_nothing_of_its_own_links(tmp_path, monkeypatch):
    for given, its in (("visible", "auto"), ("auto", "auto"), ("hidden", "hidden")):
        settings = msgspec.structs.replace(SETTINGS, replies=given)
        cutoff = Cutoff(tmp_path / given, monkeypatch, settings)
        cutoff.passes(61, True, True)
        assert cutoff.alone._pipeline.settings.replies == its


def test_brokers_that_come_and_go_are_one_cut():
    """Back for a moment does not end it; and what goes out in between is no reason to begin."""
    cut, now, turns = Cut(60.0), 0, []
    for _ in range(20):  # away for 50 s, back for 5 s, in which not all that waits is taken
        for second in range(55):
            away = second < 50
            turns.append(cut.look(now := now + 1, True, away))
    assert turns == sorted(turns), "it began once"
    assert turns[70]
    cut = Cut(60.0)
    for second in range(2000):  # and where all is taken each time, none is needed
        assert not cut.look(second, second % 55 < 50, second % 55 < 50)
    cut = Cut(60.0)
    for second in range(2000):  # much on disk, and Kafka takes it
        assert not cut.look(second, True, False)


def test_frames_are_counted_once(cutoff):
    cutoff.passes(61, True, True)
    cutoff.hear()
    sample = cutoff.alone.sample(10.0, 7, 0, 0.0)
    assert sample.hosts > 0 and sample.packets == 7 and sample.syns > 0
    assert np.isfinite(sample.loss)


def test_a_sensor_that_judges_from_now_on_takes_nothing_of_it_over(cutoff):
    cutoff.passes(61, True, True)
    cutoff.hear()
    left = cutoff.journal.open_hosts()
    mine = an_alert("198.51.100.77", at=time.time() - T0 / SECOND)
    cutoff.journal.write([mine])
    recorder = Recorder(cutoff.files, SETTINGS, lambda *_: None, usage=False)
    pipeline = recorder.new_pipeline()
    Snapshots(cutoff.files, pipeline, recorder, lambda *_: None, {}).restore()
    assert left and cutoff.journal.open_hosts() == [(mine.host, True)]
    assert pipeline.counters()["alerts"]["alerts_open"] == 1
    recorder.close()


def test_what_a_person_does_about_it_stays_here_too(cutoff):
    cutoff.passes(61, True, True)
    cutoff.hear()
    known = an_alert("198.51.100.77")
    cutoff.journal.write([known])
    desk = Desk(cutoff.files.desk)
    for number, about in enumerate((cutoff.alerts[0].id, known.id)):
        desk.act({about: 1}, number + 1, Act("take", "ann"))
    told = DeskActSource(of_alerts(cutoff.files, "north"), KafkaSettings(sensor="north"))
    assert [bool(one.topic) for one in told.read(0, 10)] == [False, True]
    assert len(told.resend(9)) == 1
    (feed, *_) = feeds(cutoff.files, "north")
    assert [act.alert for _, act in feed.read(0, 10)] == [cutoff.alerts[0].id, known.id]
