"""Blocks from the ledger on their way to Kafka, and calls for a person.

The block list topic is compacted and keyed by subscriber and sensor (``host@sensor``): the last
word of each sensor on each subscriber is its decision in force, or a tombstone, which takes only
its own. So it does under the names this sensor had before, and under none, as of old. Where leases
tell whose the address is, the customer stands before it (``customer@host@sensor``): as what
precedes the first ``@`` chooses the partition, all of his are in one, and in order. So nobody who
reads several partitions sees his next address blocked before the old one is freed. Of what was
decided while Kafka was away only the last word is told. A dry run puts nothing there.

What a person releases goes to the desk topic as well, for all sensors, whatever the mode; stops,
steps, resumes and alarms go to the health topic.
"""

import time
from pathlib import Path

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.alerts.notice import SCHEMA as NOTICE
from sensor.base.units import SECOND
from sensor.blocking.decision import Decision
from sensor.blocking.desk_record import record
from sensor.blocking.ledger import Ledger
from sensor.blocking.notices import as_notice
from sensor.sinks.kafka.connection import KafkaSettings
from sensor.sinks.kafka.desk_source import told
from sensor.sinks.kafka.message import Message, headers
from sensor.sinks.sink import LEDGER

__all__ = ["BlockSource", "block_key"]


def block_key(host: str, sensor: str, customer: str = "") -> bytes:
    """Under which a sensor's decision on a subscriber stands; without a name, as of old.

    >>> block_key("203.0.113.7", "north"), block_key("203.0.113.7", "north", "c-01")
    (b'203.0.113.7@north', b'c-01@203.0.113.7@north')
    """
    if customer:
        return f"{customer}@{host}@{sensor}".encode()
    return f"{host}@{sensor}".encode() if sensor else host.encode()


class BlockSource:
    """The ledger's decisions; see ``sensor.sinks.kafka.message.Source``."""

    name = LEDGER

    def __init__(
        self, path: Path, settings: KafkaSettings, hold: int, words_only: bool = False
    ) -> None:
        """``hold``: seconds of a release that does not say it itself. ``words_only``: what persons
        said here is told, and the decisions are those another tells.
        """
        self._words_only = words_only
        self._ledger = Ledger(path, read_only=True)
        self._settings = settings
        self._hold = hold * SECOND

    def changes(self) -> int:
        """See ``Source``."""
        return self._ledger.changes

    def last(self) -> int:
        """See ``Source``."""
        return self._ledger.last

    def read(self, after: int, most: int) -> list[Message]:
        """See ``Source``."""
        former = self._ledger.former(self._settings.sensor)
        made = []
        page = self._ledger.page(after, most)
        over = self._ledger.superseded(page)
        for number, one in page:
            # The row is done with when its last message is: the others bear the number before it.
            told = [] if number in over else self._messages(one, former)
            *first, last = told or [Message(number, "")]
            made += [message._replace(number=number - 1) for message in first]
            made.append(last._replace(number=number))
        return made

    def resend(self, position: int) -> list[Message]:
        """All in force: the topic may have been made anew."""
        former = self._ledger.former(self._settings.sensor)
        now, later = time.time_ns(), self._ledger.hosts_after(position)
        in_force = [one for one in self._ledger.in_force(now) if one.host not in later]
        in_force = [] if self._words_only else in_force
        made = [m for one in in_force for m in self._messages(one, former)]
        return made + [word for one in self._ledger.held(now) for word in self._words(one)]

    def _messages(self, one: Decision, former: list[str]) -> list[Message]:
        """Of one decision; often none."""
        sensor = self._settings.sensor
        if self._words_only:
            by_person = one.action == "release" and one.by != "port25" and not one.desk
            return self._words(one) if by_person else []
        if one.action in ("stop", "step", "resume", "alarm"):
            topic, key = self._settings.health_topic, self._settings.sensor.encode()
            text = msgspec.json.encode(as_notice(one))
            return [Message(0, topic, key, text, headers(NOTICE, id=one.id, sensor=sensor), one.ts)]
        made = []
        if one.action == "release" and one.by != "port25" and not one.desk:
            made += self._words(one)
        if one.action == "refuse" or not one.enforced or not one.source:
            return made
        more = headers(
            one.schema, id=one.id, action=one.action, expires=rfc3339(one.expires), host=one.host,
            sensor=sensor,
        )  # fmt: skip
        value = None
        if one.action != "release":
            value = msgspec.json.encode(msgspec.structs.replace(one, sensor=sensor))
        topic = self._settings.blocklist_topic
        customer = one.customer or ""
        keys = [block_key(one.host, name) for name in former]
        if customer:  # as of old, and of before it was known whose the address is
            keys += [block_key(one.host, sensor)]
            keys += [block_key(one.host, name, customer) for name in former if name]
        made.append(Message(0, topic, block_key(one.host, sensor, customer), value, more, one.ts))
        made += [Message(0, topic, key, None, more, one.ts) for key in keys]
        return made

    def _words(self, one: Decision) -> list[Message]:
        """A person's release, for all sensors: of a customer it holds for him, wherever he is.

        Who knows no customers is told of the address as well: nothing seen before is blocked there.
        """
        until = max(one.ts, one.held_until or one.ts + self._hold)
        whom = [(one.customer, until)] if one.customer else [(one.host, until)]
        if one.customer and one.source:
            whom.append((one.host, one.ts))
        return [
            told(0, record(
                "release", host, one.ts, end, one.by, one.reasons[0], self._settings.sensor,
                one.level, one.customer or "",
            ), self._settings)
            for host, end in whom
        ]  # fmt: skip
