"""The sink Kafka: what is sent, and what is heard of other sensors, by threads of their own."""

import importlib
import time
from collections.abc import Container
from functools import cached_property
from typing import Any, Final

import msgspec

from sensor.alerts.notice import Health, Notice
from sensor.blocking.acts import ACTS, DeskAct, feeds, of_alerts, of_resumes
from sensor.blocking.desk_record import DeskRecord
from sensor.blocking.ledger import Ledger
from sensor.sinks.kafka.act_source import ActSource
from sensor.sinks.kafka.alert_source import AlertSource
from sensor.sinks.kafka.block_source import BlockSource
from sensor.sinks.kafka.connection import NAME, Connection
from sensor.sinks.kafka.desk_listener import DeskListener
from sensor.sinks.kafka.desk_source import DeskActSource, DeskResumeSource, DeskSource
from sensor.sinks.kafka.enforcement_listener import EnforcementListener
from sensor.sinks.kafka.message import Message, Source, headers
from sensor.sinks.kafka.producer import Producer
from sensor.sinks.outbox import Outbox
from sensor.sinks.sink import Around, Sink

__all__ = ["KafkaSink"]

_LATER: Final = ("kafka.producer", "kafka.consumer", "kafka.admin", "encodings.idna")
"""Modules that are first needed once privileges are gone."""
_PATIENCE: Final = 5.0


class KafkaSink(Sink):
    """See :class:`sensor.sinks.sink.Sink`."""

    name = NAME

    def __init__(self, connection: Connection) -> None:
        for module in _LATER:
            importlib.import_module(module)
        self._connection = connection
        self._settings = connection.settings
        self.title = connection.settings.title
        self.sensor = connection.settings.sensor
        self._around: Around
        self._producer: Producer
        self._listener: DeskListener | None = None
        self._carried_out: EnforcementListener | None = None
        self._health_at = -float("inf")

    def start(self, around: Around) -> None:
        """Begin to send; and to listen, where time is that of this machine.

        What is replayed is not to depend on what persons say meanwhile.
        """
        self._around = around
        self._producer = Producer(
            self._connection,
            lambda: Outbox(around.state.outbox),
            self._open_sources,
            around.notice,
        )
        self._producer.start()
        if around.live:
            self._listener = DeskListener(self._connection, around.notice)
            self._listener.start()
            self._carried_out = EnforcementListener(self._connection, around.state)
            self._carried_out.start()

    def _open_sources(self, known: Container[str]) -> list[Source]:
        """Those not ``known`` yet; in the producer's thread."""
        state, follows = self._around.state, self._around.follows
        found: list[Source] = [
            AlertSource(path, name, self._settings, told=self._around.from_topic)
            for path in state.journals
            if (name := state.source(path)) not in known
        ]
        if BlockSource.name not in known:
            found.append(
                BlockSource(
                    state.ledger, self._settings, self._around.hold, bool(self._around.follows)
                )
            )
        if DeskSource.name not in known and state.desk.exists():
            found.append(DeskSource(state.desk, self._settings))
        if DeskActSource.name not in known and state.desk.exists():
            found.append(DeskActSource(of_alerts(state, self.sensor), self._settings))
        if DeskResumeSource.name not in known and state.ledger.exists():
            resumes = of_resumes(Ledger(state.ledger, read_only=True), self.sensor, follows)
            found.append(DeskResumeSource(resumes, self._settings))
        if self._settings.acts_topic and state.desk.exists() and ACTS not in known:
            name = self._settings.sensor
            found += [ActSource(feed, self._settings) for feed in feeds(state, name)]
        return found

    @cached_property
    def _outbox(self) -> Outbox:
        """For who asks for positions; the producer's thread has its own."""
        return Outbox(self._around.state.outbox)

    def position(self, source: str) -> int:
        """See ``Sink``."""
        return self._outbox.position(self.name, source)

    def counters(self) -> dict[str, Any]:
        """What was sent, and what was heard."""
        heard = self._listener.counters() if self._listener is not None else {}
        told = self._carried_out.counters() if self._carried_out is not None else {}
        return self._producer.counters() | heard | told

    def tell(self, what: Notice | Health) -> None:
        """On the health topic; how the sensor is, only as often as the settings want."""
        if isinstance(what, Health):
            if time.monotonic() - self._health_at < 0.9 * self._settings.health_interval:
                return
            self._health_at = time.monotonic()
        key = self.sensor.encode()
        more = headers(what.schema, sensor=self.sensor)
        topic = self._settings.health_topic
        self._producer.tell(Message(0, topic, key, msgspec.json.encode(what), more))

    def heard(self) -> DeskRecord | DeskAct | None:
        """Of the desk topic."""
        return self._listener.next if self._listener is not None else None

    @property
    def all_heard(self) -> bool:
        """See ``Sink``."""
        return self._listener is None or self._listener.caught_up

    def obeyed(self) -> None:
        """See ``Sink``."""
        if self._listener is not None:
            self._listener.done()

    def stop(self) -> None:
        """Send what is on its way, for a moment."""
        if self._listener is not None:
            self._listener.stop()
        if self._carried_out is not None:
            self._carried_out.stop()
        self._producer.stop()
        self._producer.join(_PATIENCE)
