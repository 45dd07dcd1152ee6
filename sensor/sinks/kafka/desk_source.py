"""What persons do at this sensor's desk on its way to Kafka, for all others.

Releases are the ledger's, and go with its source.
"""

from pathlib import Path
from typing import Final

import msgspec

from sensor.blocking.acts import ActFeed, DeskAct
from sensor.blocking.desk import Desk, Exempted
from sensor.blocking.desk_act import key
from sensor.blocking.desk_record import DeskRecord, record
from sensor.sinks.kafka.act_source import ActSource
from sensor.sinks.kafka.connection import KafkaSettings
from sensor.sinks.kafka.message import Message, headers

__all__ = ["DeskActSource", "DeskResumeSource", "DeskSource", "told"]

_AGAIN: Final = 10_000
"""Acts that are told again to a topic made anew: the newest."""


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

    def resend(self, position: int) -> list[Message]:
        """The last word on each host: the topic may have been made anew, or only now."""
        return [self._message(0, one) for one in self._desk.last_words()]

    def _message(self, number: int, one: Exempted) -> Message:
        said = record(
            "exempt", one.host, one.ts, max(one.ts, one.until), one.by, one.reason,
            self._settings.sensor,
        )  # fmt: skip
        return told(number, said, self._settings)


class DeskActSource(ActSource):
    """What was done about alerts and cases here, for all other desks."""

    name = "desk acts"

    def __init__(self, feed: ActFeed, settings: KafkaSettings) -> None:
        super().__init__(feed, settings, self.name)

    def resend(self, position: int) -> list[Message]:
        """The newest: the topic may have been made anew, or only now."""
        rows = self._feed.read(max(0, self._feed.last() - _AGAIN), _AGAIN)
        return [self._message(0, act) for _, act in rows if act is not None]

    def _message(self, number: int, act: DeskAct) -> Message:
        more = headers(act.schema, id=act.id, action=act.act, host=act.host, sensor=act.sensor)
        topic, value = self._settings.desk_topic, msgspec.json.encode(act)
        return Message(number, topic, key(act), value, more, act.ts)


class DeskResumeSource(DeskActSource):
    """Whose blocking was let go on here, for those it is told of."""

    name = "desk resumes"
