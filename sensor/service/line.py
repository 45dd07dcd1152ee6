"""The interfaces of a sensor, and what it says of them: how much is lost, which are down."""

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from sensor.base.sentences import sentence
from sensor.capture.block import Block, CaptureError
from sensor.service.announcer import Announcer
from sensor.service.loss import Counted, LossMeter, Span
from sensor.service.messages import Counters
from sensor.service.taps import Taps
from sensor.settings import Settings

__all__ = ["TURN", "Line"]

TURN: Final = 0.5
"""Seconds of reading packets after which all else has its turn."""


_SILENCE: Final = 30.0
"""Seconds without any packet since the start after which that is said."""


class Line:
    """What a loop looks at from second to second."""

    def __init__(
        self,
        taps: Taps,
        counted: Counted,
        announcer: Announcer,
        speaks: bool = True,
        alone: bool = True,
    ) -> None:
        """``speaks``: of cables, which several workers see; one is enough. ``alone``: sees all."""
        self.taps = taps
        self._speaks = speaks
        self._meter = LossMeter(counted)
        self._began = time.monotonic()
        self._heard = not alone
        self._announcer = announcer

    def measure(self, alarm: float) -> Span:
        """What was lost since the last time; said where it is more than the share ``alarm``."""
        span = self._meter.measure(self.taps.count())
        if said := self._meter.alarm(span, alarm):
            self._announcer.notify("capture_loss", said)
        return span

    def last_blocks(self) -> Iterator[Block]:
        """What has come, for so long as a turn takes; until an interface goes away."""
        end = time.monotonic() + TURN
        with contextlib.suppress(CaptureError):
            for block in self.taps.read(0):
                yield block
                if time.monotonic() > end:
                    break

    def reload(self, settings: Settings, later: list[str]) -> None:
        """Settings were taken, but for sections that wait for the next start: say so to all."""
        if self._announcer.delivery is not None:
            self._announcer.delivery.reload(settings)
        self.taps.reload(settings)
        self._announcer.notify("settings", sentence("settings.taken", later=later or None))

    def counters(self) -> Counters:
        """Of packets, as of the last second; and of who passes alerts on."""
        statistics, delivery = self.taps.statistics, self._announcer.delivery
        return {
            **(delivery.counters if delivery is not None else {}),
            "capture": {
                "packets_received": statistics.received,
                "packets_dropped": statistics.dropped,
                "ring_freezes": statistics.freezes,
                "ring_blocks_waiting": self.taps.waiting,
                "loss_ratio": self._meter.loss,
                "packets_per_second": self.taps.rate,
            },
        }

    def look_at_cables(self) -> None:
        """Say of an interface that it is down, or up again; of all, that nothing has come yet."""
        for name, trouble in self.taps.troubles.items() if self._speaks else ():
            well = sentence("interface.well", interface=name)
            self._announcer.notify_change("interface", f"interface {name}", trouble, well)
        if self._heard:
            return
        self._heard = self.taps.statistics.received > 0
        waited = time.monotonic() - self._began
        silence = None
        if not self._heard and waited >= _SILENCE:
            silence = sentence("interface.silent", seconds=round(_SILENCE))
        heard = sentence("interface.heard")
        self._announcer.notify_change("interface", "silence", silence, heard)
