"""Passes on what lies on disk, in order, until every broker has it.

A *source* lies on disk, such as a journal; its messages are sent in order, and its position moves
on when the brokers have acknowledged all before. Whatever goes wrong, the producer is given up and
sending begins anew from the last position: at least once on the wire, in order for each key.
Consumers that keep the first message of each ``id`` and ``revision`` (both are headers) have each
exactly once.

Where a broker is away nothing is held in memory beyond ``_WINDOW`` messages of a source: the rest
stays on disk.
"""

import collections
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Container, Sequence
from typing import Any, Final

from sensor.base.database import DatabaseError
from sensor.base.sentences import Sentence, sentence
from sensor.sinks.kafka.closing import close
from sensor.sinks.kafka.connection import NAME, Connection, import_kafka
from sensor.sinks.kafka.message import Message, Source
from sensor.sinks.kafka.topics import ensure_topics
from sensor.sinks.outbox import Outbox

__all__ = ["Producer"]

_OVERHEAD: Final = 61 + 30
"""Bytes of a batch's heading and of a record's own numbers."""
_BATCH: Final = 65_536
"""Bytes."""
_WINDOW: Final = 2000
"""Messages of a source on their way."""
_READ: Final = 500
_STALLED: Final = 5
"""Seconds without an acknowledgement after which the broker is called away."""
_GIVE_UP: Final = 30.0
"""Seconds after which a message is sent anew by a new producer."""
_LARGEST_PAUSE: Final = 15.0
_POSITIONS: Final = 0.1
"""Seconds between writes of positions: after a crash, so much is sent twice."""
_DELAYS: Final = 1000
_MOST_EPHEMERAL: Final = 1000


class _Progress:
    """A source and how far it is."""

    def __init__(self, source: Source, position: int) -> None:
        self.source = source
        self.position = position
        self.written = position
        self.sent = position
        self.changes = -1
        self.refused: dict[int, str] = {}
        self.in_flight: collections.deque[tuple[Message, Any]] = collections.deque()

    def rewind(self) -> None:
        self.in_flight.clear()
        self.sent = self.position
        self.changes = -1


def _size(message: Message) -> int:
    """Bytes that a message alone takes at most: it must be known beforehand what is too large.

    (Where the broker finds it out, kafka-python 3.0 gives up all that is on its way.)
    """
    headers = sum(len(name) + len(value) + 10 for name, value in message.headers)
    return _OVERHEAD + len(message.key) + len(message.value or b"") + headers


class _Overheard(logging.Handler):
    """What kafka-python only logs: why there is no connection (it raises a bare timeout)."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.error: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        for one in record.args if isinstance(record.args, tuple) else ():
            if isinstance(one, BaseException) and "Timeout" not in type(one).__name__:
                self.error = one


def _by_subscriber() -> Any:
    """Kafka's usual partitioner, by what precedes the ``@`` of a key."""
    from kafka.partitioner import DefaultPartitioner

    class BySubscriber(DefaultPartitioner):  # type: ignore[misc]
        """See ``Message.key``."""

        def partition(
            self, topic: Any, key: Any, serialized_key: Any, value: Any, text: Any, cluster: Any
        ) -> Any:
            before = serialized_key.partition(b"@")[0] if serialized_key else serialized_key
            return super().partition(topic, key, before, value, text, cluster)

    return BySubscriber()


class Producer(threading.Thread):
    """Sends all sources from a thread of its own until :meth:`stop`."""

    def __init__(
        self,
        connection: Connection,
        open_outbox: Callable[[], Outbox],
        open_sources: Callable[[Container[str]], Sequence[Source]],
        notice: Callable[[Sentence], None],
    ) -> None:
        """``open_sources`` opens what is not known by name yet; called every second in the thread.

        ``notice`` is told when the state changes.
        """
        super().__init__(name="kafka", daemon=True)
        import_kafka()
        self._connection = connection
        self._open_outbox = open_outbox
        self._open_sources = open_sources
        self._notice = notice
        self._stopping = threading.Event()
        self._sources: dict[str, _Progress] = {}
        self._producer: Any = None
        self._pause = 0.0
        self._retry_at = 0.0
        self._progress = time.monotonic()
        self._written = 0.0
        self._ephemeral: collections.deque[Message] = collections.deque(maxlen=_MOST_EPHEMERAL)
        self._delays: collections.deque[float] = collections.deque(maxlen=_DELAYS)
        self.state = "connecting"
        self.waiting = 0
        self._counts = dict.fromkeys(
            ("kafka_acknowledged", "kafka_refused_messages", "kafka_restarts", "kafka_unheard"), 0
        )
        self._unfit = 0
        self._largest = 0
        self._missing: frozenset[str] = frozenset()
        self._overheard = _Overheard()

    def tell(self, message: Message) -> None:
        """Send what is on no disk, if there is a connection; the oldest is dropped for room."""
        self._ephemeral.append(message)

    def counters(self) -> dict[str, Any]:
        """Counts and the state, as metrics have them."""
        delays = sorted(self._delays)
        return {
            **self._counts,
            "kafka_waiting": self.waiting,
            "kafka_topics_unfit": self._unfit,
            "kafka_delay_p99_seconds": delays[len(delays) * 99 // 100] if delays else 0.0,
            "kafka_state": self.state,
        }

    def stop(self) -> None:
        """End the thread; what was not acknowledged is sent again at the next start."""
        self._stopping.set()

    def run(self) -> None:
        """The thread."""
        logging.getLogger("kafka").addHandler(self._overheard)
        outbox: Outbox | None = None
        looked = 0.0
        fault = ""
        while not self._stopping.is_set():
            try:
                if outbox is None:
                    outbox = self._open_outbox()
                now = time.monotonic()
                if now - looked > 1:
                    self._look_around(outbox)
                    looked = now
                if not self._turn(outbox, now):
                    self._stopping.wait(0.005)
            except DatabaseError as error:
                if str(error) != fault:
                    fault = str(error)
                    self._notice(sentence("kafka.disk", error=fault))
                self._stopping.wait(1)
            except Exception as error:  # whatever kafka-python raises, sending begins anew
                self._fail(error)
        if outbox is not None:
            with contextlib.suppress(DatabaseError):
                self._write_positions(outbox)
            outbox.close()
        self._give_up()

    def _look_around(self, outbox: Outbox) -> None:
        for source in self._open_sources(self._sources):
            at = outbox.position(NAME, source.name)
            outbox.done(NAME, source.name, at, {})  # who looks on knows that it is sent
            self._sources[source.name] = _Progress(source, at)
        self.waiting = sum(max(0, s.source.last() - s.position) for s in self._sources.values())

    def _turn(self, outbox: Outbox, now: float) -> bool:
        """Send what there is and see what arrived; False: there was nothing to do."""
        if self._producer is None:
            if now < self._retry_at:
                return False
            self._connect()
        moved = False
        for sending in self._sources.values():
            moved |= self._arrived(sending)
            moved |= self._send(sending)
        while self._ephemeral:
            self._put(self._ephemeral.popleft())
        if moved:
            self._progress = now
            if self.state == "away":
                self._turned("connected", "kafka.again")
        if any(sending.in_flight for sending in self._sources.values()):
            if now - self._progress > _STALLED and self.state == "connected":
                self._turned("away", "kafka.stalled", seconds=_STALLED)
        else:
            self._progress = now
        if moved or now - self._written > _POSITIONS:
            self._write_positions(outbox)
        return moved

    def _write_positions(self, outbox: Outbox) -> None:
        now = time.monotonic()
        if now - self._written < _POSITIONS and not self._stopping.is_set():
            return
        self._written = now
        for sending in self._sources.values():
            if sending.position > sending.written:
                outbox.done(NAME, sending.source.name, sending.position, sending.refused)
                sending.written = sending.position
                sending.refused = {}

    def _connect(self) -> None:
        from kafka import KafkaProducer

        settings = self._connection.settings
        self._overheard.error = None
        faults, self._largest, self._missing = ensure_topics(self._connection)
        self._producer = KafkaProducer(
            **self._connection.arguments,
            client_id=f"port25-{settings.sensor}",
            acks="all",
            enable_idempotence=True,
            compression_type=None if settings.compression == "none" else settings.compression,
            batch_size=min(_BATCH, self._largest),
            linger_ms=0,
            delivery_timeout_ms=int(_GIVE_UP * 1000),
            request_timeout_ms=int(_GIVE_UP * 500),
            max_block_ms=5000,
            allow_auto_create_topics=False,
            partitioner=_by_subscriber(),
        )
        if faults and len(faults) != self._unfit:
            self._notice(sentence("kafka.topics", faults=faults))
        self._unfit = len(faults)
        self._pause = 0.0
        for sending in self._sources.values():
            sending.rewind()
            for message in sending.source.resend(sending.position):
                if message.topic not in self._missing:
                    self._put(message)
        self._turned("connected", "connected")

    def _put(self, message: Message) -> Any:
        headers = list(message.headers)
        return self._producer.send(
            message.topic, key=message.key, value=message.value, headers=headers
        )

    def _send(self, sending: _Progress) -> bool:
        room = min(_READ, _WINDOW - len(sending.in_flight))
        if room <= 0:
            return False
        changes = sending.source.changes()
        if changes == sending.changes:
            return False
        messages = sending.source.read(sending.sent, room)
        if len(messages) < room:
            sending.changes = changes  # all is read that was there
        for message in messages:
            future = None
            if _size(message) > self._largest:
                self._counts["kafka_refused_messages"] += 1
                sending.refused[message.number] = "too large for the topic"
                of = {"source": sending.source.name, "number": message.number}
                self._notice(Sentence("kafka.size", of))
            elif message.topic in self._missing:
                self._counts["kafka_unheard"] += 1
            elif message.topic:
                future = self._put(message)
            sending.in_flight.append((message, future))
            sending.sent = message.number
        return bool(messages)

    def _arrived(self, sending: _Progress) -> bool:
        moved = False
        while sending.in_flight:
            message, future = sending.in_flight[0]
            if future is not None:
                if not future.is_done:
                    break
                if future.failed():
                    raise future.exception
                self._counts["kafka_acknowledged"] += 1
                self._delays.append(time.time() - message.ts / 1e9)
            sending.position = message.number
            sending.in_flight.popleft()
            moved = True
        return moved

    def _fail(self, error: BaseException) -> None:
        """Give the producer up; sending begins anew after a pause."""
        from kafka import errors

        if isinstance(error, errors.KafkaTimeoutError) and self._overheard.error is not None:
            error = self._overheard.error
        denied = (
            errors.SaslAuthenticationFailedError,
            errors.UnsupportedSaslMechanismError,
            errors.AuthorizationError,
        )
        state = "away"
        sasl = self._connection.settings.sasl != "none"
        if isinstance(error, denied):
            state = "refused"
        elif sasl and isinstance(error, errors.KafkaConnectionError) and "disconn" in str(error):
            # A broker that refuses hangs up, and over TLS its answer is lost.
            state, error = "refused", errors.SaslAuthenticationFailedError("it hung up on us")
        elif isinstance(error, errors.UnknownTopicOrPartitionError):
            state = "no_topic"
        self._give_up()
        for sending in self._sources.values():
            sending.rewind()
        self._counts["kafka_restarts"] += 1
        self._pause = min(_LARGEST_PAUSE, max(0.25, 2 * self._pause))
        self._retry_at = time.monotonic() + self._pause
        said = str(error)
        said = said if len(said) < 300 else f"{said[:300]}..."
        self._turned(state, "kafka.away", error=f"{type(error).__name__}: {said}")

    def _give_up(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                close(producer, 1)
            except Exception as error:  # it is given up, whatever it says
                self._notice(sentence("kafka.closing", error=f"{type(error).__name__}: {error}"))

    def _turned(self, state: str, code: str, **figures: object) -> None:
        if state != self.state:
            self.state = state
            brokers = self._connection.settings.bootstrap
            self._notice(sentence(code, brokers=brokers, **figures))
