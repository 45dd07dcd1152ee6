"""Kafka's block list carried out with nftables on this machine, for as long as that is wanted.

Blocks are in force once both topics are read to their ends; what Kafka or the firewall refuse is
said once, and tried again.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.base.terminal import complain
from sensor.blocking.controller import ApplyError, Controller
from sensor.blocking.feeds.nftables import SETS, SHAPE
from sensor.blocking.loading import Key
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.follower import Follower
from sensor.sinks.kafka.heart import Heart

__all__ = ["carry_out", "count", "follow", "load", "shape", "show"]

Report = Callable[[Controller, int, bool], None]

_AGAIN: Final = 60.0
"""Seconds after which the firewall is given what is in force even if nothing changed."""
_LOOK: Final = 2.0
"""Seconds between looks at whether the table is still there, and as it was made."""
_NAMED: Final = 20
"""Hosts named in a line, of those whose block the firewall refuses."""
_RETRY: Final = 5.0
_SILENT: Final = 30.0
"""Seconds of waiting for the topics after which that is said."""
_DESK_AGAIN: Final = 15.0
"""Seconds after which the desk topic is tried again."""
_NO_MEMBER: Final = 60.0
_SILENCE: Final = 330.0
"""Seconds without a heartbeat after which membership is begun anew, without and with partitions."""
_PLAIN: Final = os.environ | {"LC_ALL": "C"}
"""What nft says shall be what is looked for in it."""
_GONE: Final = "Error: No such file or directory"
_METADATA: Final = 10_000
"""Milliseconds after which a topic that was not there is looked for again."""
_JOIN: Final = 3000
_POLL: Final = 200
"""Milliseconds."""


def carry_out(
    connection: Connection,
    controller: Controller,
    group: str,
    wanted: set[int],
    work: Callable[[int], bool] = lambda now: False,
    report: Report = lambda controller, now, loaded: None,
) -> None:
    """Until ``wanted`` holds SIGTERM or SIGINT. The rules stay when it ends: they time out.

    ``work`` is called several times a second, with the time in ns: what goes on beside Kafka. It
    says whether blocks are refused that were not, or the other way round. ``report`` is called as
    often, with whether blocks were just given: it looks at the controller, and tells others.
    """
    told = ""
    while not wanted & {signal.SIGTERM, signal.SIGINT}:
        try:
            follow(connection, controller, group, wanted, work, report)
        except Exception as error:  # whatever kafka-python raises: what is in force times out
            said = f"kafka: {type(error).__name__}: {error}"
            if said != told:
                complain(said)
            told = said
            time.sleep(1)


def _run(command: Sequence[str], script: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=script, capture_output=True, text=True, timeout=60, env=_PLAIN
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplyError(f"nft: {error}") from None
    if done.returncode:
        raise ApplyError(f"nft: {done.stderr.strip()[:500]}")
    return done.stdout


def load(script: str) -> None:
    """Have nft carry out a script. Raises ApplyError."""
    _run(("nft", "-f", "-"), script)


def shape() -> str | None:
    """The table but for its blocks; empty: it, or a part of it, is gone; None: nft cannot say."""
    try:
        return "".join(_run(command) for command in SHAPE)
    except ApplyError as error:
        return "" if _GONE in str(error) else None


def count() -> dict[Key, int]:
    """Packets each block has stopped; nothing where that cannot be read."""
    found: dict[Key, int] = {}
    for name in SETS:
        try:
            said = _run(("nft", "-j", "list", "set", "inet", "port25", name))
            entries = msgspec.json.decode(said)["nftables"]
            for one in next(e["set"] for e in entries if "set" in e).get("elem", []):
                found[_key(one["elem"]["val"])] = one["elem"]["counter"]["packets"]
        except (ApplyError, msgspec.DecodeError, LookupError, TypeError, StopIteration):
            continue  # there is no table yet, or one of before
    return found


def _key(value: Any) -> Key:
    """An element as nft shows it: an address, a prefix, or an address with ports."""
    if isinstance(value, str):
        return value if ":" not in value else f"{value}/128", None
    if "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}", None
    address, ports = value["concat"]
    return address, tuple(ports["range"]) if isinstance(ports, dict) else (ports, ports)


def show(script: str) -> None:
    """Print a script in place of it."""
    sys.stdout.write(script)
    sys.stdout.flush()


def follow(
    connection: Connection,
    controller: Controller,
    group: str,
    wanted: set[int],
    work: Callable[[int], bool] = lambda now: False,
    report: Report = lambda controller, now, loaded: None,
) -> None:
    """Read both topics from their beginning, then on; carry out once all that was there is read."""
    topic = connection.settings.blocklist_topic
    ends: dict[Any, int] = {}
    consumer = _subscribed(connection, controller, group, ends)
    heart = Heart(consumer)
    desk = _Desk(connection)
    duty = _Duty(controller)
    ready, waited = time.monotonic(), False
    try:
        while not wanted & {signal.SIGTERM, signal.SIGINT}:
            now = _take(consumer, desk, controller)
            assigned = consumer.assignment()
            heart.check(_SILENCE if assigned else _NO_MEMBER)
            if work(now):
                controller.dirty = True  # so that it is told
            if time.monotonic() - ready > _SILENT and not waited:
                waited = True
                what = "read whole yet" if assigned else "given to this controller: is it there?"
                complain(f"kafka: {topic} and the desk's topic are not {what}")
            if not assigned:
                continue
            if not ends:
                ends |= consumer.end_offsets(assigned)
            behind = any(consumer.position(tp) < end for tp, end in ends.items())
            if behind or not desk.caught_up:
                continue
            ready, waited = time.monotonic(), False
            loaded = duty.turn(now)
            report(controller, now, loaded)
            if loaded:
                consumer.commit()
    finally:
        desk.close()
        consumer.close()


def _subscribed(
    connection: Connection, controller: Controller, group: str, ends: dict[Any, int]
) -> Any:
    """A consumer of the block list; ``ends`` is emptied whenever its partitions change."""
    from kafka import ConsumerRebalanceListener, KafkaConsumer

    consumer = KafkaConsumer(
        **connection.arguments,
        client_id="port25-controller",
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        metadata_max_age_ms=_METADATA,
    )

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        """The whole of a partition is read whenever it is given to this controller."""

        def on_partitions_revoked(self, revoked: Any) -> None:
            controller.lose({tp.partition for tp in revoked})
            ends.clear()

        def on_partitions_assigned(self, assigned: Any) -> None:
            ends.clear()
            if assigned:
                consumer.seek_to_beginning(*assigned)

    consumer.subscribe([connection.settings.blocklist_topic], listener=Listener())
    return consumer


def _take(consumer: Any, desk: "_Desk", controller: Controller) -> int:
    """The next messages of both topics, those that are refused logged; when they came, ns."""
    # Joining a group takes several answers of the brokers, each soon enough on a quiet day.
    batches = consumer.poll(timeout_ms=_POLL if consumer.assignment() else _JOIN)
    now = time.time_ns()
    for tp, messages in batches.items():
        for m in messages:
            if refused := controller.take(tp.partition, m.key or b"", m.value, now):
                _log(refused=refused, host=(m.key or b"")[:200].decode(errors="replace"))
    for m in desk.poll(0 if batches else _POLL // 4):
        if refused := controller.hear(m.key or b"", m.value, now):
            _log(refused=refused, host=(m.key or b"")[:200].decode(errors="replace"))
    return now


class _Duty:
    """When the firewall is made to hold what is in force: on a change, and again now and then."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._applied = self._tried = self._looked = 0.0
        self._told = ""
        self._unloaded: dict[str, str] = {}

    def turn(self, now: int) -> bool:
        """Carry out if it is time to; whether that was done."""
        controller = self._controller
        clock = time.monotonic()
        if self._applied and clock - self._looked > _LOOK:
            self._looked = clock
            if not controller.dirty and not controller.intact():
                controller.dirty = True
                complain("nft: somebody changed or deleted the table inet port25; making it anew")
        due = controller.dirty and clock - self._tried > (_RETRY if self._told else 0)
        if not due and clock - self._applied < _AGAIN:
            return False
        self._tried = clock
        try:
            blocked = controller.carry_out(now)
        except ApplyError as error:
            if str(error) != self._told:
                complain(f"{error}; trying again")
            self._told = str(error)
            controller.dirty = True
            return False
        refused, more = dict(controller.refused), {}
        if controller.counters:
            more = {"counters": controller.counters}
        _log(blocked=blocked, refused=refused, released=controller.released(), **more)
        if controller.unloaded != self._unloaded:
            self._unloaded = controller.unloaded
            _tell_unloaded(self._unloaded, controller.phrase)
        self._applied, self._told = clock, ""
        return True


class _Desk:
    """What persons decided; blocks are carried out even where that cannot be read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._follower: Follower | None = None
        self._try_at = 0.0
        self._told = ""

    def poll(self, milliseconds: int) -> list[Any]:
        """The next messages."""
        if self._follower is None and time.monotonic() < self._try_at:
            return []
        try:
            if self._follower is None:
                topic = self._connection.settings.desk_topic
                self._follower = Follower(self._connection, topic)
            return self._follower.poll(milliseconds)
        except Exception as error:  # whatever kafka-python raises
            self._failed(error)
            return []

    def _failed(self, error: Exception) -> None:
        said = f"kafka: what persons released cannot be read: {type(error).__name__}: {error}"
        if said != self._told:
            complain(said)
        self._told = said
        self.close()
        self._try_at = time.monotonic() + _DESK_AGAIN

    @property
    def caught_up(self) -> bool:
        """Whether nothing more is to be waited for."""
        try:
            return self._follower is None or self._follower.caught_up
        except Exception as error:  # whatever kafka-python raises
            self._failed(error)
            return True

    def close(self) -> None:
        """Leave the brokers."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.close()


def _tell_unloaded(unloaded: dict[str, str], phrase: str) -> None:
    """Which blocks are not in force; the others are."""
    named = dict(list(unloaded.items())[:_NAMED])
    _log(not_loaded=len(unloaded), hosts=named)
    for host, why in named.items():
        complain(f"{host}: not blocked, {phrase}: {why.partition(chr(10))[0]}")
    if len(unloaded) > len(named):
        complain(f"{len(unloaded) - len(named)} more are not blocked")


def _log(**what: Any) -> None:
    now = time.time_ns()
    head = {"schema": "port25.controller/1", "ts": now, "time": rfc3339(now)}
    sys.stdout.buffer.write(msgspec.json.encode(head | what) + b"\n")
    sys.stdout.flush()
