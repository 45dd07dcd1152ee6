"""The sink ``notify``: a lane for each destination; the settings of all."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from sensor.alerts.notice import Health, Notice
from sensor.notify.chat import Chat
from sensor.notify.destination import ActWay, Destination, Way
from sensor.notify.lane import Lane
from sensor.notify.letters import LetterSettings
from sensor.notify.mail import Mail
from sensor.notify.syslog import Syslog
from sensor.notify.webhook import Webhook
from sensor.sinks.outbox import Outbox
from sensor.sinks.sink import LEDGER, Around, Metrics, Sink, SinkSettings, SinkSettingsError

__all__ = ["Notify", "NotifySettings"]

_COUNTERS: Final = {
    "notify_sent": "alert messages that destinations have taken",
    "notify_failed": "tries that were not taken; they are made again",
    "notify_refused": "alert messages that a destination will never take",
    "notify_unwanted": "alert messages that a destination's rules leave out",
}


class NotifySettings(SinkSettings, frozen=True, forbid_unknown_fields=True):
    """Who is told of alerts; it takes effect at the start."""

    title: ClassVar[str] = "notifications"
    metrics: ClassVar[Metrics] = Metrics(counters=_COUNTERS)

    mail: tuple[Mail, ...] = ()
    webhook: tuple[Webhook, ...] = ()
    syslog: tuple[Syslog, ...] = ()
    chat: tuple[Chat, ...] = ()
    letters: LetterSettings = LetterSettings()

    @property
    def to(self) -> list[Destination]:
        """All of them."""
        return [*self.mail, *self.webhook, *self.syslog, *self.chat]

    def prepare(self) -> Sink | None:
        """See ``SinkSettings``."""
        names = [one.name for one in self.to]
        for name in names:
            if names.count(name) > 1:
                raise SinkSettingsError(f"notify: {name} is there twice")
        ways = []
        for one in self.to:
            try:
                ways.append((one, one.opened(), one.opened_for_acts()))
            except (OSError, ValueError) as error:
                raise SinkSettingsError(f"notify: {one.name}: {error}") from None
        return Notify(ways) if ways else None


class Notify(Sink):
    """See :class:`sensor.sinks.sink.Sink`."""

    name = "notify"
    title = "notifications"

    def __init__(self, ways: Sequence[tuple[Destination, Way, ActWay | None]]) -> None:
        self._ways = ways
        self._lanes: list[Lane] = []

    def start(self, around: Around) -> None:
        """A thread for each."""
        self._outbox = Outbox(around.state.outbox)
        self._lanes = [Lane(one, way, around, around.notice, acts) for one, way, acts in self._ways]
        self._outbox.keep("notify/", [lane.key for lane in self._lanes])
        for lane in self._lanes:
            lane.start()

    def position(self, source: str) -> int:
        """Of the slowest: what it has not seen must not be forgotten."""
        return min(self._outbox.position(lane.key, source) for lane in self._lanes)

    def waiting(self, newest: Mapping[str, int]) -> int:
        """Of the slowest, without what waits for more or for an hour of the day."""
        busy = [lane.key for lane in self._lanes if not lane.holding]
        return sum(
            max((max(0, last - self._outbox.position(key, name)) for key in busy), default=0)
            for name, last in newest.items()
            if name != LEDGER
        )

    def counters(self) -> dict[str, Any]:
        """Of all together."""
        names = [name.removeprefix("notify_") for name in _COUNTERS]
        return {f"notify_{n}": sum(getattr(one, n) for one in self._lanes) for n in names}

    def tell(self, what: Notice | Health) -> None:
        """Of alerts alone."""
        return

    def obeyed(self) -> None:
        """Nothing is heard."""
        return

    def stop(self) -> None:
        """See ``Sink``."""
        for lane in self._lanes:
            lane.stop()
