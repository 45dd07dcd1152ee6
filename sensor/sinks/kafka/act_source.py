"""What persons do at the desk on its way to Kafka (``kafka.acts_topic``)."""

import msgspec

from sensor.blocking.acts import SCHEMA, ActFeed, DeskAct
from sensor.sinks.kafka.connection import KafkaSettings
from sensor.sinks.kafka.message import Message, headers

__all__ = ["ActSource"]


class ActSource:
    """One table of acts, keyed by who it is about; see ``sensor.sinks.kafka.message.Source``."""

    def __init__(self, feed: ActFeed, settings: KafkaSettings, name: str = "") -> None:
        self.name = name or feed.name
        self._feed = feed
        self._settings = settings

    def changes(self) -> int:
        """See ``Source``."""
        return self._feed.changes()

    def last(self) -> int:
        """See ``Source``."""
        return self._feed.last()

    def read(self, after: int, most: int) -> list[Message]:
        """See ``Source``: what was done elsewhere is not told again."""
        return [
            self._message(number, act) if act is not None else Message(number, "")
            for number, act in self._feed.read(after, most)
        ]

    def resend(self, position: int) -> list[Message]:
        """Nothing: an act is told once."""
        return []

    def _message(self, number: int, act: DeskAct) -> Message:
        more = headers(SCHEMA, id=act.id, action=act.act, host=act.host, sensor=act.sensor)
        key = (act.customer or act.host or act.alert).encode()
        value = msgspec.json.encode(act)
        return Message(number, self._settings.acts_topic, key, value, more, act.ts)
