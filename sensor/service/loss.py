"""How much a sensor misses: packets by the kernel's count, bytes by the gaps in TCP streams.

A mirror that is oversubscribed drops packets before the kernel can count them; of those only the
gaps tell. The worse of the two is the loss.
"""

import time
from typing import NamedTuple, Protocol

from sensor.base.sentences import Sentence, sentence
from sensor.capture.afpacket import Statistics

__all__ = ["Counted", "LossMeter", "Span"]


class Counted(Protocol):
    """Who counts bytes of streams."""

    def counters(self) -> dict[str, dict[str, int]]:
        """By stage; ``bytes_read`` and ``bytes_missed`` of ``connections``."""


class Span(NamedTuple):
    """What came, and what did not, between two looks."""

    seconds: float
    received: int
    """packets, the dropped ones included"""
    dropped: int
    """by the kernel"""
    gaps: float
    """share of the bytes of streams that is missing"""

    @property
    def dropped_share(self) -> float:
        """Of what was received."""
        return self.dropped / max(1, self.received)

    @property
    def loss(self) -> float:
        """The worse of the two."""
        return max(self.dropped_share, self.gaps)


class LossMeter:
    """Measures the loss of one pipeline's source, from now on."""

    def __init__(self, pipeline: Counted) -> None:
        self.loss = 0.0
        """in the last span"""
        self._measured_at = time.monotonic()
        self._pipeline = pipeline
        self._statistics = Statistics(0, 0, 0)
        self._streams = self._count_streams()
        self._alarmed = False

    def _count_streams(self) -> tuple[int, int]:
        counters = self._pipeline.counters()["connections"]
        return counters["bytes_read"], counters["bytes_missed"]

    def measure(self, statistics: Statistics) -> Span:
        """What came since the last look; ``statistics`` are the kernel's now."""
        now = time.monotonic()
        before, (read_before, missed_before) = self._statistics, self._streams
        self._statistics, self._streams = statistics, self._count_streams()
        read, missed = self._streams
        span = Span(
            now - self._measured_at,
            statistics.received - before.received,
            statistics.dropped - before.dropped,
            (missed - missed_before) / max(1, read - read_before),
        )
        self._measured_at = now
        self.loss = span.loss
        return span

    def alarm(self, span: Span, level: float) -> Sentence | None:
        """What there is to say of a span: of every drop, and of a loss that reached ``level``."""
        lossy, before = span.loss >= level, self._alarmed
        self._alarmed = lossy
        if not span.dropped and (not lossy or before):
            return None
        return sentence(
            "capture.loss", dropped=span.dropped, received=span.received,
            share=span.dropped_share, gaps=span.gaps,
        )  # fmt: skip
