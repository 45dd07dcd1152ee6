"""A whole compacted topic, read from its beginning and then on, outside of any group.

Every reader has all partitions. A topic that is not there is looked for again; partitions that are
added are read too.
"""

import time
from typing import Any, Final

from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.topic_id import METADATA_AGE, TopicId

__all__ = ["Follower"]

_LOOK: Final = 10.0
"""Seconds between looks for new partitions, or for the topic."""


class Follower:
    """Raises KafkaError from everything."""

    def __init__(self, connection: Connection, topic: str) -> None:
        from kafka import KafkaConsumer

        self._topic = topic
        self._consumer = KafkaConsumer(
            **connection.arguments,
            client_id=f"port25-{topic}",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            metadata_max_age_ms=METADATA_AGE,
        )
        self._id = TopicId(self._consumer, topic)
        self._ends: dict[Any, int] = {}
        self._looked = -_LOOK

    def poll(self, milliseconds: int) -> list[Any]:
        """The next messages."""
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            self._look()
        if not self._consumer.assignment():
            time.sleep(milliseconds / 1000)
            return []
        batches = self._consumer.poll(timeout_ms=milliseconds)
        return [message for messages in batches.values() for message in messages]

    def _look(self) -> None:
        from kafka import TopicPartition

        parts = self._consumer.partitions_for_topic(self._topic) or set()
        self._id.look()
        wanted = {TopicPartition(self._topic, part) for part in parts}
        new = wanted - set(self._consumer.assignment())
        if new:
            self._consumer.assign(sorted(wanted))
            self._consumer.seek_to_beginning(*new)
            self._ends |= self._consumer.end_offsets(sorted(new))

    @property
    def caught_up(self) -> bool:
        """Whether all is read that was there when each partition was first seen."""
        self._ends = {
            part: end
            for part, end in self._ends.items()
            if (self._consumer.position(part) or 0) < end
        }
        return not self._ends

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close()
