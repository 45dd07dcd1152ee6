"""Whether a topic is still the one that was first seen.

Who deletes a topic and makes it again begins its log anew. Its offsets say nothing then of what was
read before: those that are there already would be passed over.
"""

from typing import Any, Final

__all__ = ["METADATA_AGE", "TopicId"]

METADATA_AGE: Final = 10_000
"""Milliseconds after which a consumer asks anew which topics there are."""


class TopicId:
    """Of one topic, as a consumer knows it."""

    def __init__(self, consumer: Any, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self.value = ""
        """which one it is; empty: not known yet"""

    def look(self) -> None:
        """Raises KafkaError where it is another by now."""
        # kafka-python knows it, and has no public name for it.
        found = self._consumer._cluster.topic_id(self._topic)
        now = found.hex if found and found.int else ""
        if self.value and now and now != self.value:
            from kafka.errors import KafkaError

            raise KafkaError(f"topic {self._topic} was deleted and made again")
        self.value = now or self.value
