"""All alerts of the topic, in the order of packet time as far as that can be told.

Partitions are read side by side. As long as one of them has not been read to where it ended when
it was first seen, its next alert is waited for, and the oldest of all is given; from then on alerts
are given as they come. So who begins anew a month later is given them as they happened.
"""

import collections
import time
from typing import Any, Final

import msgspec

from sensor.alerts.alert import SCHEMA, Alert
from sensor.base.door import Door
from sensor.cluster.batch import LATEST
from sensor.cluster.correlator import LARGEST_FETCH
from sensor.hosts.customer_key import parse_pseudonym
from sensor.hosts.subscribers import where
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.topic_id import METADATA_AGE, TopicId

__all__ = ["AlertFollower", "alert_of"]

_READ_AHEAD: Final = 500
"""Alerts of a partition that may wait for older ones of others."""
_LONGEST: Final = 80
"""Characters of a host."""
_WIDEST: Final = {4: 32, 6: 16}
"""Bits of the addresses of a subscriber, at least: of IPv6 whatever may be delegated."""
_POLL: Final = 100
"""Milliseconds."""
_LOOK: Final = 10.0
"""Seconds between looks for new partitions."""


def alert_of(value: bytes) -> Alert:
    """The alert that a message is.

    Raises ValueError (MsgspecError among them) or RecursionError where it is none, or none that can
    be decided on.
    """
    alert = msgspec.json.decode(value, type=Alert)
    if alert.schema != SCHEMA:
        raise ValueError(f"schema {alert.schema}, not {SCHEMA}")
    if not all(0 <= number <= LATEST for number in (alert.ts, alert.opened, alert.revision)):
        raise ValueError(f"ts {alert.ts}, opened {alert.opened} or revision {alert.revision}")
    if not _is_subscriber(alert.host):
        raise ValueError(f"no subscriber: {alert.host}")
    return alert


def _is_subscriber(host: str) -> bool:
    """Whether it is what sensors call one, and no wide network; else False or ValueError."""
    if len(host) > _LONGEST:
        return False
    if parse_pseudonym(host) is not None:
        return True
    network, ports = where(host)
    first, last = ports or (0, 0)
    return network.prefixlen >= _WIDEST[network.version] and 0 <= first <= last < 1 << 16


class AlertFollower:
    """Raises KafkaError from everything."""

    def __init__(
        self, connection: Connection, door: Door, positions: dict[int, int], topic_id: str = ""
    ) -> None:
        """``door``: what is no alert is refused there.

        ``positions``: by partition, how far alerts were taken before; others from the start.

        ``topic_id``: of which topic they are; of another by now, they mean nothing.
        """
        from kafka import KafkaConsumer

        self._topic = connection.settings.alerts_topic
        self.positions = positions
        """of what was given, by partition"""
        self._door = door
        self._ends: dict[Any, int] = {}
        self._queues: dict[Any, collections.deque[tuple[int, Alert | None]]] = {}
        self._resting: dict[Any, int] = {}
        """partitions that are not read for now, and from where on they will be"""
        self._looked = -_LOOK
        self._consumer = KafkaConsumer(
            **connection.arguments,
            client_id="port25-decide-alerts",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=LARGEST_FETCH,
            fetch_max_wait_ms=_POLL,
            metadata_max_age_ms=METADATA_AGE,
        )
        self._before = topic_id
        self.topic_id = TopicId(self._consumer, self._topic)

    def poll(self) -> list[Alert]:
        """What is next; empty: nothing came, or something older has to come first."""
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            self._look()
        if not self._queues:
            time.sleep(_POLL / 1000)
            return []
        for part, records in self._consumer.poll(_POLL).items():
            self._queues[part] += [
                (r.offset, self._door.read(alert_of, r.value or b"")) for r in records
            ]
        found = self._in_order()
        self._rest()
        return found

    def _rest(self) -> None:
        """Do not read partitions of which enough waits until all of that was given.

        They are given up and taken again rather than paused and resumed: in kafka-python 3.0 what
        had been fetched of one that is resumed is never given if nothing else comes.
        """
        for part, queue in self._queues.items():
            if len(queue) >= _READ_AHEAD and part not in self._resting:
                self._resting[part] = queue[-1][0] + 1
                self._assign()
            elif not queue and part in self._resting:
                at = self._resting.pop(part)
                self._assign()
                self._consumer.seek(part, at)

    def _assign(self) -> None:
        self._consumer.assign([part for part in self._queues if part not in self._resting])

    @property
    def caught_up(self) -> bool:
        """Whether all was given that was there when each partition was first seen."""
        return bool(self._queues) and all(self._is_past(part) for part in self._queues)

    def _look(self) -> None:
        from kafka import TopicPartition

        numbers = self._consumer.partitions_for_topic(self._topic) or set()
        self.topic_id.look()
        if self.topic_id.value:
            if self._before not in ("", self.topic_id.value):
                self.positions.clear()
            self._before = ""
        new = [TopicPartition(self._topic, n) for n in sorted(numbers)]
        new = [part for part in new if part not in self._queues]
        if not new:
            return
        self._queues |= {part: collections.deque() for part in new}
        self._assign()
        for part in new:
            self._consumer.seek_to_beginning(part)
            begin = self._consumer.beginning_offsets([part])[part]
            at = max(begin, self.positions.get(part.partition, 0))
            self._consumer.seek(part, at)
        self._ends |= self._consumer.end_offsets(new)

    def _is_past(self, part: Any) -> bool:
        """Whether a partition was read, and given, to its end of then."""
        if self._queues[part] or part in self._resting:
            return False
        return (self._consumer.position(part) or 0) >= self._ends[part]

    def _in_order(self) -> list[Alert]:
        found: list[Alert] = []
        while True:
            waiting = [part for part, queue in self._queues.items() if queue]
            if not waiting or not all(
                queue or self._is_past(part) for part, queue in self._queues.items()
            ):
                return found
            oldest = min(waiting, key=lambda part: self._ts(part))
            offset, alert = self._queues[oldest].popleft()
            self.positions[oldest.partition] = offset + 1
            if alert is not None:
                found.append(alert)

    def _ts(self, part: Any) -> int:
        alert = self._queues[part][0][1]
        return alert.ts if alert is not None else 0

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close()
