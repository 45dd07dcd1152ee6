"""The partitions a process has: read, followed, and their alerts told, each message once.

Alerts go out in a transaction together with the offsets up to which the log was read, so that who
reads committed messages only gets each once and in order. Beside an offset stands how many alerts
the partition has told by then, and where its last snapshot is. A partition that comes here from
elsewhere, or after a crash, is followed from its snapshot on (without one, from where its log
begins), and as many alerts are left out. Where the log has lost what they were counted from, those
are left out that come of messages before the offset.

Whatever Kafka raises, everything is given up and begun anew from what was committed last.
"""

import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from sensor.alerts.alert import Alert
from sensor.base.sentences import Sentence, sentence
from sensor.cluster.clocks import Clocks
from sensor.cluster.exempting import Exempting
from sensor.cluster.fencing import end_transaction, transactional_id
from sensor.cluster.share import Share
from sensor.cluster.snapshots import Writing, fetch, send, sweep
from sensor.cluster.standing import NAME, Counters, Latency, health, standing
from sensor.settings import Settings
from sensor.sinks.kafka.alert_source import alert_message
from sensor.sinks.kafka.closing import close
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.heart import Heart
from sensor.sinks.kafka.topic_id import METADATA_AGE, TopicId
from sensor.state.snapshot import SnapshotError

__all__ = ["LARGEST_FETCH", "Correlator"]

_TRANSACTION: Final = 15_000
"""Milliseconds after which the transaction of one that died comes to nothing."""
_POLL: Final = 100
"""Milliseconds."""
_UNHEARD: Final = 300
"""Seconds that a member may do without asking for messages: kafka-python's own."""
_NO_MEMBER: Final = 90.0
"""Seconds without a heartbeat after which one without partitions joins anew."""
_VACANT: Final = 20.0
"""Seconds without partitions until none are hoped for: those of one that died come after ten."""
_COMMIT: Final = 1.0
"""Seconds between commits of offsets when there is nothing to tell."""
_MOST: Final = 200
"""Batches read at once."""
_SENT: Final = 20
"""Seconds for what is told to be acknowledged: by then the brokers give up its transaction."""
_ANSWER: Final = 30_000
"""Milliseconds for the brokers to say what was committed: kafka-python asks for ever."""
LARGEST_FETCH: Final = 8 << 20
"""Bytes of one partition fetched at once."""


class _Note(msgspec.Struct, frozen=True):
    """What stands beside an offset."""

    alerts: int = 0
    state: int = -1
    """offset in the state topic of the first piece of the snapshot; -1: there is none"""
    pieces: int = 0
    by: str = ""
    """the member that told them"""
    topic: str = ""
    """id of the topic whose offset it is"""
    begin: int = 0
    """offset from which ``alerts`` were counted; -1: some before it are counted as well"""


def _note(text: str) -> _Note:
    try:
        return msgspec.json.decode(text or "{}", type=_Note)
    except msgspec.MsgspecError:  # another program's offsets
        return _Note()


class Correlator:
    """Raises KafkaError from everything; then a new one is to be made."""

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        notice: Callable[[Sentence | str], None],
        waiting: bool = False,
        name: str = "",
    ) -> None:
        """``notice`` tells people; ``waiting``: nothing goes on before :meth:`finish`.

        ``name``: of this member, another for each, the same after a restart: then its partitions
        wait for it. Without one they are given to others when it ends.
        """
        from kafka import KafkaConsumer, KafkaProducer
        from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

        self._connection = connection
        self._settings = settings
        self._kafka = connection.settings
        self._notice = notice
        self._waiting = waiting
        self._tells = not waiting
        """whether what was read is followed by now: an offset says what was told"""
        self._arrived: list[Any] = []
        self._shares: dict[Any, Share] = {}
        self._read: dict[Any, int] = {}
        self._committed: dict[Any, int] = {}
        self._told_below: dict[Any, int] = {}
        """of partitions whose alerts cannot be counted: those of messages below were told before"""
        self._joined = False
        self._divided = not name
        """whether partitions were divided since it is here"""
        self._at = self.heard = time.monotonic()
        """when offsets were committed last, and when the last message came"""
        self._notes: dict[Any, _Note] = {}
        self._writing: dict[Any, tuple[float, Writing | None]] = {}
        self._member: Final = name or secrets.token_hex(4)
        self.name: Final = NAME + self._member
        self._latency = Latency()
        self._unwritten = 0
        """snapshots that could not be written"""
        self._failing: set[Any] = set()
        self._refusals: set[tuple[int, str]] = set()
        """partitions and counters of which it was said why something was refused"""
        self._said = 0.0
        self._clocks = Clocks(settings.cluster.skew)
        self._producer = KafkaProducer(
            **connection.arguments,
            client_id=self.name,
            transactional_id=transactional_id(settings, self._member),
            transaction_timeout_ms=_TRANSACTION,
            acks="all",
            compression_type=None if self._kafka.compression == "none" else self._kafka.compression,
            allow_auto_create_topics=False,
            max_block_ms=30_000,
        )
        self._producer.init_transactions()
        sweep()
        self._consumer = KafkaConsumer(
            **connection.arguments,
            client_id=self.name,
            group_id=settings.cluster.group,
            group_instance_id=name or None,
            partition_assignment_strategy=(CooperativeStickyAssignor,),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            metadata_max_age_ms=METADATA_AGE,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_000,
            max_poll_interval_ms=_UNHEARD * 1000,
            max_poll_records=_MOST,
            max_partition_fetch_bytes=LARGEST_FETCH,
            fetch_max_wait_ms=_POLL,
        )
        self._topic = TopicId(self._consumer, settings.cluster.segments_topic)
        self._has_health = self._kafka.health_topic in self._consumer.topics()
        self._desk = Exempting(connection, notice)
        self._subscribe()

    def _subscribe(self) -> None:
        """Join the group."""
        from kafka import ConsumerRebalanceListener

        correlator = self

        class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
            """kafka-python insists on its own class."""

            def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
                if correlator._shares:  # none once it leaves, perhaps after a failure
                    correlator.commit()
                correlator.lose(revoked)

            def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
                correlator.arrive(assigned)

            def on_partitions_lost(self, lost: Iterable[Any]) -> None:
                correlator.lose(lost)

        self._consumer.subscribe([self._settings.cluster.segments_topic], listener=Listener())
        self._heart = Heart(self._consumer)

    # --- whose partitions are ---------------------------------------------------------------------

    def lose(self, parts: Iterable[Any]) -> None:
        """These are another's now, some perhaps before they were followed here."""
        parts = list(parts)
        self._arrived = [part for part in self._arrived if part not in parts]
        for part in parts:
            known = self._shares, self._read, self._committed, self._notes, self._told_below
            for facts in known:
                facts.pop(part, None)
            self._failing.discard(part)
            _, writing = self._writing.pop(part, (0.0, None))
            if writing is not None:
                writing.abandon()

    def arrive(self, parts: Iterable[Any]) -> None:
        """These are to be ours."""
        self.heard = time.monotonic()
        self._arrived += [part for part in parts if part not in self._shares]

    def _divide(self) -> None:
        """Once it has joined, note that; where by name, have partitions divided anew.

        The brokers give a member that comes back what it had. If it died after it had given a
        partition up for another, and before it said so, nobody would be given that one; nor those
        of a topic that was made again while it was away.
        """
        if not self._joined and self._consumer.group_metadata().generation_id >= 0:
            self._joined = True  # the listener is not told of that, where it is given nothing
            self.heard = time.monotonic()
        if self._joined and not self._divided:
            self._divided = True
            # What Java's clients call enforceRebalance has no public name in kafka-python.
            self._consumer._coordinator.request_rejoin()

    def take_over(self) -> None:
        """Those that are ours now: follow each from where its log begins.

        Not while the group is being joined, for this asks Kafka, too.
        """
        arrived, self._arrived = self._arrived, []
        if arrived:
            self._check_state(arrived)
        before = {self._member, ""}
        for part in arrived:
            found = self._consumer.committed(part, metadata=True, timeout_ms=_ANSWER)
            note = _note(found.metadata) if found else _Note()
            if note.by not in before:
                before.add(note.by)
                end_transaction(self._connection, self._settings, note.by, self._notice)
            begin = self._consumer.beginning_offsets([part])[part]
            committed = found.offset if found else 0
            another = bool(note.topic) and self._topic.value not in ("", note.topic)
            if another or committed > self._consumer.end_offsets([part])[part]:
                self._notice(f"partition {part.partition}: its log is another than was followed")
                note, committed = _Note(), 0
            elif found and committed < begin:
                gone = f"{begin - committed:,} messages were deleted before they were followed"
                self._notice(f"partition {part.partition}: {gone}")
            share, offset = self._resumed(part, note)
            at = max(begin, offset or 0)
            if at != (note.begin if offset is None else offset):  # as many say nothing
                self._told_below[part] = committed
                share.tell_none()
                note = msgspec.structs.replace(note, alerts=share.alerts)
            counted = begin if offset is None else note.begin if at == offset else -1
            self._notes[part] = msgspec.structs.replace(note, begin=counted)
            self._committed[part] = committed
            self._shares[part] = share
            self._writing[part] = time.monotonic(), None
            self._consumer.seek(part, at)
            self.heard = time.monotonic()

    def _check_state(self, parts: Iterable[Any]) -> None:
        """Raises KafkaError where the state of one has no place: the log was given partitions."""
        from kafka.errors import InvalidPartitionsError

        topic = self._settings.cluster.state_topic
        if missing := {part.partition for part in parts} - self._producer.partitions_for(topic):
            raise InvalidPartitionsError(f"{topic}: there is no partition {min(missing)}")

    def _resumed(self, part: Any, note: _Note) -> tuple[Share, int | None]:
        """A partition by its snapshot, and where in its log to go on; None: the beginning."""
        share = Share(self._settings, note.alerts)
        if note.state < 0:
            return share, None
        where = self._connection, self._settings, part.partition, note.state, note.pieces
        try:
            arrays, facts = fetch(*where)
            share.restore(arrays, facts)
        except (SnapshotError, KeyError, ValueError) as error:
            said = f"partition {part.partition}: {error}; followed from where its log begins"
            self._notice(said)
            return Share(self._settings, note.alerts), None
        return share, facts["offset"]

    @property
    def partitions(self) -> list[int]:
        """Numbers of those it has."""
        return sorted(part.partition for part in self._shares)

    @property
    def all_ended(self) -> bool:
        """Whether all sensors of all its partitions have said their end."""
        return all(share.merge.all_ended for share in self._shares.values())

    def silent(self, seconds: float) -> bool:
        """Whether it has read all there is, and nothing came for so long."""
        seconds = seconds if self._shares else max(seconds, _VACANT)
        if not self._joined or time.monotonic() - self.heard <= seconds:
            return False
        ends = self._consumer.end_offsets(list(self._shares)) if self._shares else {}
        return all(self._consumer.position(part) >= end for part, end in ends.items())

    @property
    def waits(self) -> bool:
        """Whether any segment waits for a sensor."""
        return any(share.merge.waits for share in self._shares.values())

    # --- the work ---------------------------------------------------------------------------------

    def turn(self) -> None:
        """Take what has come, follow it, and tell."""
        for part, records in self._consumer.poll(_POLL).items():
            if part not in self._shares:
                continue
            for record in records:
                self._take(part, record)
            self.heard = time.monotonic()
        self._topic.look()
        self._heart.check(_UNHEARD + 30 if self._shares else _NO_MEMBER)
        self._divide()
        self.take_over()
        self._tell({part: share.turn() for part, share in self._shares.items()})

    def _take(self, part: Any, record: Any) -> None:
        """One message of a partition."""
        if record.offset < self._read.get(part, 0):
            from kafka.errors import KafkaError

            raise KafkaError(f"the log of partition {part.partition} began anew")
        share = self._shares[part]
        if record.offset >= self._told_below.get(part, record.offset + 1):
            del self._told_below[part]
            share.tell_rest(self._waiting)
        share.add(record.value or b"", record.timestamp, self._waiting)
        self._read[part] = record.offset + 1

    def finish(self) -> None:
        """All have said their end and nothing more comes: the rest."""
        self._tells = True
        self._tell({part: share.finish() for part, share in self._shares.items()})
        self.commit()

    def _tell(self, alerts: dict[Any, list[Alert]]) -> None:
        for part, share in self._shares.items():
            for said in share.notices:
                self._notice(said)
            for counter, reason in share.reasons().items():
                if (part.partition, counter) not in self._refusals:
                    self._refusals.add((part.partition, counter))
                    self._notice(sentence("reader.refused", counter=counter, reason=reason))
            share.notices.clear()
            for what, sensor in share.merge.news:
                self._notice(f"sensor {sensor}: {what}")
            share.merge.news.clear()
        for word in self._clocks.told([share.merge for share in self._shares.values()]):
            self._notice(word)
        if any(alerts.values()) or time.monotonic() - self._at > _COMMIT:
            self.commit(self._desk.told([alert for told in alerts.values() for alert in told]))

    def commit(self, alerts: Iterable[Alert] = ()) -> None:
        """Tell ``alerts`` and how far the log was read, both or neither."""
        from kafka.structs import OffsetAndMetadata

        self._at = time.monotonic()
        alerts = list(alerts)
        snapshots = self._written()
        offsets = self._offsets()
        fresh = any(at > self._committed[part] for part, at in offsets.items())
        word = self._has_health and self._at - self._said >= self._kafka.health_interval
        if not (alerts or fresh or snapshots or word):
            return
        self._producer.begin_transaction()
        transaction = self._producer._transaction_manager
        messages = [alert_message(0, alert, self._kafka) for alert in alerts]
        if word:
            self._said = self._at
            messages.append(health(self.name, self.standing(), self._settings))
        for message in messages:
            self._producer.send(
                message.topic, message.value, message.key, headers=list(message.headers)
            )
        for part, written in snapshots.items():
            self._notes[part] = self._sent(part, written)
        committed = {}
        for part, at in offsets.items():
            told = self._shares[part].alerts
            note = msgspec.structs.replace(
                self._notes[part], alerts=told, by=self._member, topic=self._topic.value
            )
            text = msgspec.json.encode(note).decode()
            committed[part] = OffsetAndMetadata(at, text, -1)
        if committed:
            group = self._consumer.group_metadata()
            self._await(transaction.send_offsets_to_transaction(committed, group))
        self._await(transaction.begin_commit())
        self._committed |= offsets
        self._latency.measure(self._shares, word)

    def _offsets(self) -> dict[Any, int]:
        """What is to be committed: how far was read, where all of that was followed.

        Who waits has not; but of too much that waits some is followed, and told. Then only how many
        alerts that were changes.
        """
        if self._tells:  # behind what was committed before, alerts are only counted again
            return {part: at for part, at in self._read.items() if at >= self._committed[part]}
        more = {part for part, one in self._shares.items() if one.alerts > self._notes[part].alerts}
        return {part: self._committed[part] for part in more - self._told_below.keys()}

    def _sent(self, part: Any, written: bytes) -> _Note:
        """Send a snapshot; what is to be noted of it."""
        topic = self._settings.cluster.state_topic
        futures = send(
            written,
            lambda key, value: self._producer.send(
                topic, value, key.encode(), partition=part.partition
            ),
        )
        first = futures[0].get(timeout=_SENT).offset
        return msgspec.structs.replace(self._notes[part], state=first, pieces=len(futures))

    def _await(self, result: Any) -> None:
        """Until the brokers have done it; raises KafkaTimeoutError where they do not.

        kafka-python waits for ever. After a broker begins anew its producer may keep what it was
        given, and send nothing: the group waits for a member that does not ask for messages.
        """
        self._producer._sender.wakeup()
        if not result.wait(_SENT * 1000):
            from kafka.errors import KafkaTimeoutError

            raise KafkaTimeoutError("a transaction was not ended in time")

    def _written(self) -> dict[Any, bytes]:
        """Snapshots that are done; others are begun when it is time."""
        done = {}
        now = time.monotonic()
        for part, (begun, writing) in list(self._writing.items()):
            if writing is not None:
                written = writing.done()
                if written is None:
                    continue
                self._writing[part] = begun, None
                self._judge_snapshot(part, "" if written else "its process failed")
                if written and self._read.get(part, -1) >= self._committed[part]:
                    done[part] = written
            elif (
                not self._waiting
                and now - begun >= self._settings.cluster.snapshot
                and self._read.get(part, -1) >= self._committed[part]
            ):
                self._writing[part] = now, None
                try:
                    writing = Writing(self._shares[part], self._read[part])
                    self._writing[part] = now, writing
                except OSError as error:  # no room, no process
                    self._judge_snapshot(part, str(error))
        return done

    def _judge_snapshot(self, part: Any, fault: str) -> None:
        """One was written, or not: that is counted, and said until the next is."""
        self._unwritten += bool(fault)
        if fault and part not in self._failing:
            self._notice(
                f"partition {part.partition}: no snapshot could be written ({fault}); who takes"
                " over follows all again since the last"
            )
        (self._failing.add if fault else self._failing.discard)(part)

    def counters(self) -> dict[str, int]:
        """Of all its partitions together."""
        total: dict[str, int] = {}
        for share in self._shares.values():
            for name, value in share.counters().items():
                total[name] = total.get(name, 0) + value
        return total

    def standing(self) -> Counters:
        """The same by stage; and of each partition how far it is, of each sensor what is known."""
        lags = {}
        for part in self._shares:
            end = self._consumer.highwater(part)
            if end is not None:
                lags[part.partition] = max(0, end - self._read.get(part, end))
        shares = {part.partition: share for part, share in self._shares.items()}
        others = self._desk.counters() | self._latency.counters()
        return standing(shares, lags, others | {"snapshots_unwritten": self._unwritten})

    def close(self) -> None:
        """Leave the group. A transaction that is open comes to nothing."""
        self._desk.close()
        self.lose(list(self._shares))
        self._consumer.close(autocommit=False)
        close(self._producer, 5)
