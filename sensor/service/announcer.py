"""What the sensor says: alerts and notices as they come, counters every second.

Whoever runs it gives the functions that are told; the process that passes alerts on is told of
notices too. Alerts it reads from the journal.
"""

import time
from collections.abc import Callable

from sensor.alerts.alert import Alert
from sensor.alerts.notice import Notice, notice
from sensor.base.sentences import Sentence
from sensor.service.delivery import Delivery
from sensor.service.messages import Counters

__all__ = ["Announcer"]


class Announcer:
    """Says things of one process of the sensor."""

    def __init__(
        self,
        tell: Callable[[Alert | Notice], None],
        report: Callable[[Counters], None],
        delivery: Delivery | None,
    ) -> None:
        self.delivery = delivery
        """the process that passes alerts on; None: it is another's"""
        self.counters = {"raised": 0, "escalated": 0, "refreshed": 0, "closed": 0}
        """alerts told, by state"""
        self._tell = tell
        self._report = report
        self._last: dict[str, Sentence | None] = {}

    def tell(self, alert: Alert) -> None:
        """An alert, once it is in the journal."""
        self.counters[alert.state] += 1
        self._tell(alert)

    def notify(self, kind: str, said: Sentence | str) -> None:
        """What a person should know, now."""
        one = notice(kind, said, time.time_ns())
        self._tell(one)
        if self.delivery is not None:
            self.delivery.notice(one)

    def notify_change(
        self, kind: str, topic: str, said: Sentence | None, well: Sentence | None = None
    ) -> None:
        """What there is to say on a topic (None: all is well), if it is not what was said last.

        ``well`` is said when all is well again.
        """
        if said != self._last.get(topic):
            self._last[topic] = said
            if now := said or well:
                self.notify(kind, now)

    def report(self, counters: Callable[[], Counters]) -> None:
        """How it goes, every second; and hear what the other process has to say."""
        if self.delivery is not None:
            self.delivery.turn(counters)
        self._report(counters())
