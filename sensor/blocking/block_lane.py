"""Blocks from the ledger on their way to Kafka, and calls for a person.

The block list topic is compacted and keyed by subscriber: the last word on each is the decision in
force, or a tombstone. A dry run puts nothing there. Stops, steps, resumes and alarms go to the
health topic whatever the mode.
"""

import time
from pathlib import Path

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.alerts.notice import SCHEMA as NOTICE
from sensor.alerts.notice import Notice, notice
from sensor.blocking.decision import Decision
from sensor.blocking.ledger import Ledger
from sensor.sinks.connection import KafkaSettings
from sensor.sinks.kafka import Message, headers

__all__ = ["BlockLane", "call"]


def call(one: Decision) -> Notice:
    """A stop, step, resume or alarm, in words for a person."""
    mode = "" if one.enforced else "dry run: "
    return notice("blocking", f"{mode}{one.action} by {one.by}: {one.reasons[0]}", one.ts)


class BlockLane:
    """The ledger's decisions; see ``sensor.sinks.kafka.Lane``."""

    name = "ledger"

    def __init__(self, path: Path, settings: KafkaSettings) -> None:
        self._ledger = Ledger(path, read_only=True)
        self._settings = settings

    def changes(self) -> int:
        """See ``Lane``."""
        return self._ledger.db.changes

    def last(self) -> int:
        """See ``Lane``."""
        return self._ledger.last

    def read(self, after: int, most: int) -> list[Message]:
        """See ``Lane``."""
        return [self._message(n, one) for n, one in self._ledger.page(after, most)]

    def again(self) -> list[Message]:
        """All in force: the topic may have been made anew."""
        return [self._message(0, one) for one in self._ledger.in_force(time.time_ns())]

    def _message(self, number: int, one: Decision) -> Message:
        if one.action in ("stop", "step", "resume", "alarm"):
            topic, key = self._settings.health_topic, self._settings.sensor.encode()
            told = msgspec.json.encode(call(one))
            return Message(number, topic, key, told, headers(NOTICE, id=one.id), one.ts)
        if one.action == "refuse" or not one.enforced:
            return Message(number, "")
        topic, key = self._settings.blocklist_topic, one.host.encode()
        value = None if one.action == "release" else msgspec.json.encode(one)
        more = headers(one.schema, id=one.id, action=one.action, expires=rfc3339(one.expires))
        return Message(number, topic, key, value, more, one.ts)
