"""What persons exempt, at whichever page: alerts raised meanwhile are not told.

A partition's alerts follow from its log alone, and are counted so, whether they are told or not:
who follows the log again after a crash leaves out as many as were told or held back before. So a
word of the desk never moves an alert; it only holds one back. As at a sensor alone, an alert that
was open before goes on. Blocks are the policy's affair, which hears the desk, too.
"""

import collections
import time
from collections.abc import Callable
from typing import Final

from sensor.alerts.alert import Alert
from sensor.base.sentences import Sentence
from sensor.blocking.desk_record import DeskRecord, concerns, place
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.desk_listener import DeskListener

__all__ = ["Exempting", "Exemptions"]

_MOST: Final = 100_000
"""Hosts of which the last word is kept; of those beyond, the ones go first that were told first."""
_PATIENCE: Final = 10.0
"""Seconds that what was said before is waited for."""


class Exemptions:
    """The last word on each host or customer, whoever said it."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._last: collections.OrderedDict[str, DeskRecord] = collections.OrderedDict()
        self._near: dict[object, set[str]] = {}
        self.forgotten = 0
        """words that made room"""

    def take(self, one: DeskRecord) -> None:
        """Somebody exempted a host, or lifted that."""
        before = self._last.get(one.host)
        if one.action != "exempt" or (before is not None and before.ts > one.ts):
            return
        self._last[one.host] = one
        self._near.setdefault(place(one.host), set()).add(one.host)
        if len(self._last) > self._most:
            host, _ = self._last.popitem(last=False)
            self._near[place(host)].discard(host)
            self.forgotten += 1

    def holds(self, alert: Alert) -> bool:
        """Whether the alert was raised while its host was exempt, and that is so now."""
        customer = alert.customer or ""
        near = set(self._near.get(place(alert.host), ())) | self._near.get(customer, set())
        for host in near:
            one = self._last[host]
            if one.ts <= alert.opened and alert.ts < one.until:
                if concerns(one, alert.host, customer):
                    return True
        return False


class Exempting:
    """Hears the desk's topic. What Kafka refuses is said, and hinders no alert."""

    def __init__(self, connection: Connection, notice: Callable[[Sentence], None]) -> None:
        """Returns when all was heard that was there, or after ten seconds."""
        self._exemptions = Exemptions()
        self._held = 0
        self._listener = DeskListener(connection, notice)
        self._listener.start()
        until = time.monotonic() + _PATIENCE
        while not self._listener.caught_up and time.monotonic() < until:
            time.sleep(0.02)
            self._hear()

    def _hear(self) -> None:
        while (one := self._listener.next) is not None:
            if isinstance(one, DeskRecord):
                self._exemptions.take(one)
            self._listener.done()

    def told(self, alerts: list[Alert]) -> list[Alert]:
        """Those of them that are told."""
        self._hear()
        found = [alert for alert in alerts if not self._exemptions.holds(alert)]
        self._held += len(alerts) - len(found)
        return found

    def counters(self) -> dict[str, int]:
        """What was heard, and held back."""
        return {
            **self._listener.counters(),
            "alerts_held_back": self._held, "exemptions_forgotten": self._exemptions.forgotten,
        }  # fmt: skip

    def close(self) -> None:
        """End the thread."""
        self._listener.stop()
