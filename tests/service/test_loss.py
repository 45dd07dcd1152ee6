"""Loss by the kernel's count and by the gaps in streams, and when it is told."""

import pytest

from sensor.capture.afpacket import Statistics
from sensor.service.loss import LossMeter, Span


class Streams:
    """A pipeline as far as the meter looks at it."""

    def __init__(self, read: int = 0, missed: int = 0) -> None:
        self.read, self.missed = read, missed

    def counters(self):
        return {"connections": {"bytes_read": self.read, "bytes_missed": self.missed}}


def test_the_worse_of_packets_and_bytes():
    assert Span(10, received=100, dropped=2, gaps=0.01).loss == 0.02
    assert Span(10, received=100, dropped=2, gaps=0.5).loss == 0.5
    assert Span(10, received=0, dropped=0, gaps=0.0).loss == 0


def test_each_span_is_counted_by_itself():
    streams = Streams(read=1000, missed=900)
    meter = LossMeter(streams)
    streams.read, streams.missed = 1100, 910
    span = meter.measure(Statistics(50, 1, 0))
    assert (span.received, span.dropped, span.gaps) == (50, 1, 0.1), "not what was before a restart"
    assert meter.loss == 0.1
    span = meter.measure(Statistics(60, 1, 0))
    assert (span.received, span.dropped, span.gaps) == (10, 0, 0.0)
    assert meter.loss == 0 <= span.seconds


def test_no_alarm_while_nothing_is_lost():
    assert LossMeter(Streams()).alarm(Span(10, 100, 0, 0.009), 0.01) is None


def test_every_drop_is_told():
    meter = LossMeter(Streams())
    for _ in range(2):
        assert meter.alarm(Span(10, 1000, 1, 0.0), 0.01).text == (
            "1 of 1,000 packets dropped by the kernel (0.10%), 0.00% of stream bytes missing"
        )


@pytest.mark.parametrize("between", [0.0, 0.02])
def test_gaps_are_told_when_they_reach_the_level_and_again_after_they_were_below(between):
    meter = LossMeter(Streams())
    assert "2.00% of stream bytes" in meter.alarm(Span(10, 100, 0, 0.02), 0.01).text
    meter.alarm(Span(10, 100, 0, between), 0.01)
    assert bool(meter.alarm(Span(10, 100, 0, 0.02), 0.01)) == (between == 0.0)
