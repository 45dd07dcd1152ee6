"""Exemptions made at this sensor's desk on their way to Kafka, for all other sensors.

Releases are the ledger's, and go with its source.
"""

from pathlib import Path

import msgspec

from sensor.blocking.desk import Desk, Exempted
from sensor.blocking.desk_record import DeskRecord, record
from sensor.sinks.kafka.connection import KafkaSettings
from sensor.sinks.kafka.message import Message, headers

__all__ = ["DeskSource", "told"]


def told(number: int, one: DeskRecord, settings: KafkaSettings) -> Message:
    """A person's word, ready to be sent."""
    more = headers(one.schema, id=one.id, action=one.action, host=one.host, sensor=one.sensor)
    value = msgspec.json.encode(one)
    return Message(number, settings.desk_topic, one.key.encode(), value, more, one.ts)


class DeskSource:
    """What was said at the desk; see ``sensor.sinks.kafka.message.Source``."""

    name = "desk"

    def __init__(self, path: Path, settings: KafkaSettings) -> None:
        self._desk = Desk(path, read_only=True)
        self._settings = settings

    def changes(self) -> int:
        """See ``Source``."""
        return self._desk.changes

    def last(self) -> int:
        """See ``Source``."""
        return self._desk.last

    def read(self, after: int, most: int) -> list[Message]:
        """See ``Source``: what was said elsewhere is not said again."""
        return [
            Message(number, "") if sensor else self._message(number, one)
            for number, sensor, one in self._desk.said(after, most)
        ]

    def resend(self) -> list[Message]:
        """The last word on each host: the topic may have been made anew, or only now."""
        return [self._message(0, one) for one in self._desk.last_words()]

    def _message(self, number: int, one: Exempted) -> Message:
        said = record(
            "exempt", one.host, one.ts, max(one.ts, one.until), one.by, one.reason,
            self._settings.sensor,
        )  # fmt: skip
        return told(number, said, self._settings)
