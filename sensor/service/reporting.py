"""What became of blocks, told by a controller: to Kafka, and to a state folder beside it.

Kafka is told by a thread of its own, so that nothing that is slow there holds up a block. Of each
subscriber the last word waits, and no more; what Kafka does not take is sent again.
"""

import socket
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from sensor.base.terminal import complain
from sensor.blocking.controller import Controller
from sensor.blocking.enforcement import SCHEMA, Enforcement, Reports, keep, kept
from sensor.sinks.kafka.closing import close
from sensor.sinks.kafka.connection import Connection, import_kafka
from sensor.sinks.kafka.message import headers
from sensor.sinks.kafka.topics import ensure_enforcement_topic
from sensor.state.folder import StateFolder

__all__ = ["Reporter"]

_LOOK: Final = 0.2
"""Seconds between looks while an answer is waited for."""
_AGAIN: Final = 15.0
"""Seconds after which what Kafka did not take is sent again."""
_PATIENCE: Final = 10


class Reporter:
    """Of one controller."""

    def __init__(self, connection: Connection, name: str = "", state: str | None = None) -> None:
        """``state``: a sensor's folder, whose page is to know."""
        self._path: Path | None = None
        before: list[Enforcement] = []
        name = (name or socket.gethostname())[:100]
        if state:
            self._path = StateFolder(Path(state)).enforcement(name)
            before = [one for ones in kept(Path(state)).values() for one in ones]
        self._reports = Reports(name, before)
        self._looked = 0.0
        self._fault = ""
        self._sender = _Sender(connection)
        self._sender.start()

    @property
    def counters(self) -> dict[str, int]:
        """What Kafka was told."""
        return dict(self._sender.counts)

    def turn(self, controller: Controller, ts: int, loaded: bool) -> None:
        """Say what has changed: after blocks were loaded, or while an answer is waited for."""
        now = time.monotonic()
        waits = self._reports.waits or bool(controller.waiting)
        if not loaded and not (waits and now - self._looked >= _LOOK):
            return
        self._looked = now
        changed = self._reports.look(controller, ts)
        for one in changed:
            self._sender.say(one)
        if self._path is not None and (changed or loaded):
            standing = [
                msgspec.structs.replace(one, ts=ts) for one in self._reports.standing.values()
            ]
            try:
                keep(self._path, standing)
                self._fault = ""
            except OSError as error:
                if (fault := str(error)) != self._fault:
                    complain(f"the page is not told what is in force: {fault}")
                self._fault = fault

    def close(self) -> None:
        """Say what is left, for a moment."""
        self._sender.stop()


class _Sender(threading.Thread):
    """To Kafka."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(name="enforcement", daemon=True)
        import_kafka()
        self.counts = {"reports_sent": 0, "reports_failed": 0}
        self._connection = connection
        self._topic = connection.settings.enforcement_topic
        self._waiting: dict[str, Enforcement] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._fault = ""

    def say(self, one: Enforcement) -> None:
        """The last word on a block."""
        with self._lock:
            self._waiting[one.key] = one
        self._wake.set()

    def stop(self) -> None:
        """Once what waits was sent, or not."""
        self._stopping.set()
        self._wake.set()
        self.join(_PATIENCE)

    def run(self) -> None:
        """The thread."""
        producer: Any = None
        while not self._stopping.is_set() or self._waiting:
            self._wake.wait()
            self._wake.clear()
            with self._lock:
                batch, self._waiting = self._waiting, {}
            if not batch:
                continue
            try:
                if producer is None:
                    producer = self._connected()
                self._send(producer, batch)
                self.counts["reports_sent"] += len(batch)
                self._fault = ""
            except Exception as error:  # whatever kafka-python raises: it is sent again
                self.counts["reports_failed"] += len(batch)
                self._failed(error)
                with self._lock:
                    self._waiting = batch | self._waiting
                if self._stopping.wait(_AGAIN):
                    break
                self._wake.set()
        if producer is not None:
            close(producer, _PATIENCE)

    def _connected(self) -> Any:
        from kafka import KafkaProducer

        ensure_enforcement_topic(self._connection)
        return KafkaProducer(
            **self._connection.arguments,
            client_id="port25-enforcement",
            acks="all",
            max_block_ms=_PATIENCE * 1000,
        )

    def _send(self, producer: Any, batch: dict[str, Enforcement]) -> None:
        sent = []
        for key, one in batch.items():
            more = headers(SCHEMA, sensor=one.controller)
            sent.append(producer.send(self._topic, msgspec.json.encode(one), key.encode(), more))
            if one.state == "ended":
                sent.append(producer.send(self._topic, None, key.encode(), more))
        producer.flush(timeout=_PATIENCE)
        for future in sent:
            future.get(timeout=_PATIENCE)

    def _failed(self, error: Exception) -> None:
        said = f"kafka: {self._topic}: {type(error).__name__}: {error}"
        if said != self._fault:
            complain(f"{said}; what is in force is told again")
        self._fault = said
