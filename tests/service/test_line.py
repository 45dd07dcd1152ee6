"""What a sensor says of its interfaces."""

from types import SimpleNamespace

from sensor.base.sentences import sentence
from sensor.service import line as of_line
from sensor.service.announcer import Announcer
from sensor.service.line import Line


class Clock:
    """Time that passes when told to."""

    def __init__(self, monkeypatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(of_line.time, "monotonic", lambda: self.now)


def opened(said: list, **words) -> tuple[Line, SimpleNamespace]:
    taps = SimpleNamespace(statistics=SimpleNamespace(received=0), troubles={"eth1": None})
    counted = SimpleNamespace(
        counters=lambda: {"connections": {"bytes_read": 0, "bytes_missed": 0}}
    )
    return Line(taps, counted, Announcer(said.append, print, None), **words), taps


def look(line: Line, clock: Clock, seconds: float) -> None:
    clock.now += seconds
    line.look_at_cables()


def test_that_nothing_has_come_is_said_once_and_that_it_comes(monkeypatch):
    said: list = []
    clock = Clock(monkeypatch)
    line, taps = opened(said)
    for _ in range(2):
        look(line, clock, 10)
    assert said == []
    for _ in range(5):
        look(line, clock, 10)
    assert [one.code for one in said] == ["interface.silent"]
    assert said[0].text.startswith("no packet for 30 s, and none since the start")
    taps.statistics.received = 3
    look(line, clock, 10)
    look(line, clock, 3600)
    assert [one.code for one in said] == ["interface.silent", "interface.heard"]


def test_a_line_that_once_showed_packets_may_be_quiet(monkeypatch):
    said: list = []
    clock = Clock(monkeypatch)
    line, taps = opened(said)
    taps.statistics.received = 1
    look(line, clock, 10)
    taps.statistics.received = 0  # counted anew
    look(line, clock, 3600)
    assert said == []


def test_one_of_several_workers_does_not_speak_for_all(monkeypatch):
    said: list = []
    clock = Clock(monkeypatch)
    line, _ = opened(said, alone=False)
    look(line, clock, 3600)
    assert said == []


def test_cables(monkeypatch):
    said: list = []
    clock = Clock(monkeypatch)
    line, taps = opened(said, alone=False)
    taps.troubles["eth1"] = sentence("interface.down", interface="eth1")
    look(line, clock, 1)
    look(line, clock, 10)
    taps.troubles["eth1"] = None
    look(line, clock, 10)
    assert [one.code for one in said] == ["interface.down", "interface.well"]
