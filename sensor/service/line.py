"""The interfaces of a sensor, and what it says of them: how much is lost, which are down."""

from sensor.base.sentences import sentence
from sensor.service.announcer import Announcer
from sensor.service.loss import Counted, LossMeter, Span
from sensor.service.taps import Taps

__all__ = ["Line"]


class Line:
    """What a loop looks at from second to second."""

    def __init__(
        self, taps: Taps, counted: Counted, announcer: Announcer, speaks: bool = True
    ) -> None:
        """``speaks``: of cables, which several workers see; one is enough."""
        self.taps = taps
        self._speaks = speaks
        self._meter = LossMeter(counted)
        self._announcer = announcer

    @property
    def loss(self) -> float:
        """In the last span."""
        return self._meter.loss

    def measure(self, alarm: float) -> Span:
        """What was lost since the last time; said where it is more than the share ``alarm``."""
        span = self._meter.measure(self.taps.count())
        if said := self._meter.alarm(span, alarm):
            self._announcer.notify("capture_loss", said)
        return span

    def look_at_cables(self) -> None:
        """Say of an interface that it is down, or up again."""
        for name, trouble in self.taps.troubles.items() if self._speaks else ():
            well = sentence("interface.well", interface=name)
            self._announcer.notify_change("interface", f"interface {name}", trouble, well)
