"""A live sensor's batches on their way to Kafka, by a thread of its own.

    loop ---> memory ---> Kafka           while it takes what comes
         \\-> spool on disk ---^          else; in the order in which they came, the oldest first

While Kafka is away, or anything is on disk, what comes goes there, too. What is not acknowledged is
sent again: the other side knows batches by their numbers, and leaves out what it had.
"""

import collections
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sensor.base.sentences import Sentence, sentence
from sensor.cluster.batch import segments_of
from sensor.cluster.sending import batch_headers
from sensor.cluster.spool import Record, Spool
from sensor.cluster.topics import ensure_segments_topic
from sensor.settings import Settings
from sensor.sinks.kafka.closing import close
from sensor.sinks.kafka.connection import Connection

__all__ = ["Outbound"]

_IN_MEMORY: Final = 32 << 20
"""Bytes that wait, or are on their way, before the disk takes what comes."""
_IN_FLIGHT: Final = 64
"""Batches that are not acknowledged yet; each is below a megabyte."""
_REQUEST: Final = 10.0
"""Seconds that a broker has for an answer; then it is asked again."""
_FOR_EVER: Final = (1 << 31) - 1
"""Milliseconds until the client gives a batch up: never, for those behind it would go out first."""
_SOON: Final = 3.0
"""Seconds without an acknowledgement after which Kafka is said to be away."""
_LARGEST_PAUSE: Final = 1.0
"""Seconds: who comes back late holds all others up."""
_LOOK: Final = 0.1
"""Seconds without anything to send, and without an acknowledgement, before it looks at the time."""
_PARTITIONS: Final = "partitions"
"""File beside the spool: how many the topic had."""


class Outbound(threading.Thread):
    """Sends until :meth:`stop`."""

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        folder: Path,
        notice: Callable[[Sentence], None],
    ) -> None:
        """The spool is in ``folder``, which is made; ``notice`` is told what a person should know.

        Raises OSError.
        """
        super().__init__(name="outbound", daemon=True)
        self._connection = connection
        self._settings = settings
        self._notice = notice
        self._spool = Spool(folder, settings.cluster.spool_megabytes << 20)
        self._remembered = folder / _PARTITIONS
        self.partitions = self._remember()
        """that the topic has, as far as is known"""
        self.fault = ""
        """why this sensor must begin anew; empty: it need not"""
        self._lock = threading.Lock()
        self._memory: collections.deque[Record] = collections.deque()
        self._held = 0
        self._in_flight: collections.deque[tuple[Record, bool, Any]] = collections.deque()
        """what is on its way, whether it is on disk, its future"""
        self._producer: Any = None
        self._ending = threading.Event()
        self._stirred = threading.Event()
        """something is to be sent, or arrived: to ask every few ms costs more than to send"""
        self._patience = 0.0
        self._retry_at = self._pause = 0.0
        self._progress = time.monotonic()
        self._dropped = 0
        self.away = False
        self._counts = dict.fromkeys(
            ("batches_acknowledged", "batches_of_other_partitions", "forwarding_restarts"), 0
        )

    def _remember(self) -> int:
        try:
            return max(1, int(self._remembered.read_text()))
        except (OSError, ValueError):
            return self._settings.cluster.partitions

    # --- the loop's side --------------------------------------------------------------------------

    @property
    def spools(self) -> bool:
        """Whether what comes goes to disk."""
        with self._lock:
            return self._spools()

    def _spools(self) -> bool:
        return self.away or self._spool.batches > 0

    def send(self, partition: int, message: bytes) -> None:
        """Have a batch sent."""
        record = Record(partition, message, segments_of(message))
        with self._lock:
            if self._spools() or self._held + len(message) > _IN_MEMORY:
                self._spool.put(record)
            else:
                self._memory.append(record)
                self._held += len(message)
        self._stirred.set()

    def counters(self) -> dict[str, int]:
        """What was sent, and what waits."""
        with self._lock:
            return self._counts | self._spool.counters | {
                "forward_waiting": len(self._memory) + len(self._in_flight),
                "spool_batches": self._spool.batches,
                "spool_bytes": self._spool.size,
                "forwarding_away": int(self.away),
            }  # fmt: skip

    def say(self) -> None:
        """Say what the spool dropped since it was said last."""
        with self._lock:
            dropped = self._spool.counters["spool_segments_dropped"]
        if dropped > self._dropped:
            self._notice(sentence("cluster.dropped", segments=dropped - self._dropped))
            self._dropped = dropped

    def stop(self, patience: float) -> int:
        """Send what waits, for so many seconds without progress; how many batches stay on disk."""
        self._patience = patience
        self._progress = time.monotonic()
        self._ending.set()
        self._stirred.set()
        self.join()
        return self._spool.batches

    # --- the thread -------------------------------------------------------------------------------

    def run(self) -> None:
        """The thread."""
        logging.getLogger("kafka").addHandler(logging.NullHandler())
        while not self._over():
            self._stirred.clear()  # before looking: what comes meanwhile is seen, or stirs again
            try:
                if not self._turn():
                    self._stirred.wait(_LOOK)
            except Exception as error:  # whatever kafka-python raises, sending begins anew
                self._fail(error)
        self._give_up()
        with self._lock:
            self._to_disk()
            self._spool.close()

    def _over(self) -> bool:
        if not self._ending.is_set():
            return False
        with self._lock:
            waits = self._memory or self._in_flight or self._spool.batches
        return not waits or time.monotonic() - self._progress > self._patience

    def _turn(self) -> bool:
        """Send what there is, and see what arrived; False: there was nothing to do."""
        now = time.monotonic()
        if self._producer is None:
            if now < self._retry_at:
                return False
            self._connect()
        moved = self._arrived()
        while len(self._in_flight) < _IN_FLIGHT and (found := self._next()) is not None:
            record, on_disk = found
            with self._lock:  # at once: what cannot be sent is to be sent again
                self._in_flight.append((record, on_disk, None))
            if record.partition >= self.partitions:
                self._counts["batches_of_other_partitions"] += 1
            else:
                self._in_flight[-1] = record, on_disk, self._put(record)
            moved = True
        if not self._in_flight:
            self._progress = now
        elif now - self._progress > _SOON and not self.away:
            self._turned(True, "cluster.silent", seconds=_SOON)
        return moved

    def _next(self) -> tuple[Record, bool] | None:
        """What goes out next, and whether it is on disk."""
        with self._lock:
            if self._memory:
                return self._memory.popleft(), False
            record = self._spool.take()
        return None if record is None else (record, True)

    def _arrived(self) -> bool:
        moved = False
        while self._in_flight:
            record, on_disk, future = self._in_flight[0]
            if future is not None:
                if not future.is_done:
                    break
                if future.failed():
                    raise future.exception
                self._counts["batches_acknowledged"] += 1
            with self._lock:
                self._in_flight.popleft()
                if on_disk:
                    self._spool.done()
                else:
                    self._held -= len(record.message)
            moved = True
        if moved:
            self._progress = time.monotonic()
            if self.away:
                self._turned(False, "cluster.again", batches=self._spool.batches)
        return moved

    def _connect(self) -> None:
        from kafka import KafkaProducer

        partitions = ensure_segments_topic(self._connection, self._settings)
        if partitions != self.partitions:
            topic = self._settings.cluster.segments_topic
            self.fault = (
                f"{topic}: {partitions} partitions, this sensor knew of {self.partitions};"
                " it has to be started again"
            )
        self._remembered.write_text(f"{partitions}\n")
        sensor = self._connection.settings.sensor
        self._key = sensor.encode()
        self._headers = batch_headers(sensor)
        self._producer = KafkaProducer(
            **self._connection.arguments,
            client_id=f"port25-forward-{sensor}",
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            delivery_timeout_ms=_FOR_EVER,
            request_timeout_ms=int(_REQUEST * 1000),
            reconnect_backoff_max_ms=int(_LARGEST_PAUSE * 1000),
            max_block_ms=5000,
            allow_auto_create_topics=False,
        )
        self._pause = 0.0
        self._progress = time.monotonic()

    def _put(self, record: Record) -> Any:
        future = self._producer.send(
            self._settings.cluster.segments_topic,
            record.message,
            self._key,
            headers=self._headers,
            partition=record.partition,
        )
        future.add_both(self._stir)
        return future

    def _stir(self, _: object) -> None:
        """The client's thread: a batch is acknowledged, or never will be."""
        self._stirred.set()

    def _fail(self, error: BaseException) -> None:
        """Give the producer up; sending begins anew after a pause."""
        self._give_up()
        with self._lock:
            self._to_disk()
        self._counts["forwarding_restarts"] += 1
        self._pause = min(_LARGEST_PAUSE, max(0.1, 2 * self._pause))
        self._retry_at = time.monotonic() + self._pause
        self._turned(True, "cluster.away", error=f"{type(error).__name__}: {str(error)[:300]}")

    def _to_disk(self) -> None:
        """What is on its way or in memory is to be sent again, in the same order."""
        flying = [record for record, on_disk, _ in self._in_flight if not on_disk]
        self._in_flight.clear()
        self._spool.rewind()
        self._spool.put_first(flying + list(self._memory))
        self._memory.clear()
        self._held = 0

    def _give_up(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):  # it is given up, whatever it says
                close(producer, 0)  # with more it would send what is behind

    def _turned(self, away: bool, code: str, **figures: object) -> None:
        if away != self.away:
            self.away = away
            self._notice(sentence(code, brokers=self._connection.settings.bootstrap, **figures))
