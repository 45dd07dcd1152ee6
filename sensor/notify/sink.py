"""The settings of the sink ``notify``: of all destinations."""

from typing import ClassVar, Final

from sensor.notify.chat import Chat
from sensor.notify.destination import Destination
from sensor.notify.letter_settings import LetterSettings
from sensor.notify.mail import Mail
from sensor.notify.syslog import Syslog
from sensor.notify.webhook import Webhook
from sensor.sinks.sink import Metrics, Sink, SinkSettings, SinkSettingsError

__all__ = ["COUNTERS", "NotifySettings"]

COUNTERS: Final = {
    "notify_sent": "alert messages that destinations have taken",
    "notify_failed": "tries that were not taken; they are made again",
    "notify_refused": "alert messages that a destination will never take",
    "notify_unwanted": "alert messages that a destination's rules leave out",
}


class NotifySettings(SinkSettings, frozen=True, forbid_unknown_fields=True):
    """Who is told of alerts; it takes effect at the start."""

    title: ClassVar[str] = "notifications"
    metrics: ClassVar[Metrics] = Metrics(counters=COUNTERS)

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
        from sensor.notify.lanes import Notify

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
