"""What becomes of alerts after the journal: decisions and Kafka, in a process of its own.

    journals ---> ledger (decisions) ---> Kafka: block list
        \\-----------------------------> Kafka: alerts

The process that watches packets forks it before it allocates its tables, and speaks with it through
a pair of sockets, a JSON object a packet. Nothing here can slow that process down: it reads the
journal, and what it cannot do now it does later. A small process stands between the two and starts
it again if it dies.
"""

import contextlib
import fcntl
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Container
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from sensor import __version__
from sensor.alerts.alert import rfc3339
from sensor.alerts.notice import HEALTH, SCHEMA, Health, Notice, notice
from sensor.base.database import DatabaseError
from sensor.base.units import DAY
from sensor.blocking.block_lane import BlockLane, call
from sensor.blocking.bounds import Bounds
from sensor.blocking.decision import Decision
from sensor.blocking.desk import Desk, DeskReader, Exempted
from sensor.blocking.desk_lane import DeskLane
from sensor.blocking.desk_record import DeskRecord
from sensor.blocking.ears import Ears
from sensor.blocking.ledger import Ledger
from sensor.blocking.policy import Policy
from sensor.hosts.subscribers import Exemption
from sensor.service import systemd
from sensor.settings import Settings, subscriber_prefixes
from sensor.sinks.alert_lane import AlertLane
from sensor.sinks.connection import Connection, named
from sensor.sinks.kafka import Kafka, Lane, Message, headers
from sensor.sinks.outbox import Outbox
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal

__all__ = ["Delivery", "bounds_of", "policy_of"]

_LARGEST: Final = 1 << 20
"""Bytes of a packet between the two processes."""
_TICK: Final = 0.01
"""Seconds between looks at the journals."""
_AT_ONCE: Final = 500
_PRUNE: Final = 10.0
"""Seconds between looks at the size of the journals."""
_ACTIONS: Final = ("block", "lookup", "release", "refuse", "stop", "step", "resume", "alarm")


def bounds_of(settings: Settings) -> Bounds:
    """What must never be blocked, by the settings."""
    prefixes = subscriber_prefixes(settings)
    return Bounds(prefixes, settings.own_mail_servers, settings.exempt)


def policy_of(settings: Settings) -> Policy:
    """The policy of the settings."""
    return Policy(settings.blocking, bounds_of(settings))


class Delivery:
    """The process, as the one that watches packets sees it."""

    def __init__(
        self,
        settings: Settings,
        state: Path,
        tell: Callable[[Notice], None] = lambda _: None,
        live: bool = True,
    ) -> None:
        """Fork; it waits for :meth:`begin`. ``live``: blocks expire by the clock of this machine,
        else by packet time alone. Raises ConnectionSettingsError.
        """
        connection = Connection(named(settings.kafka))
        if settings.kafka.bootstrap:  # nothing can be imported once privileges are gone
            for module in ("kafka.producer", "kafka.consumer", "kafka.admin", "encodings.idna"):
                importlib.import_module(module)
        self._tell = tell
        self.counters: dict[str, dict[str, Any]] = {}
        self.waiting = 0
        self._early: list[Any] | None = []
        self._health_at = 0.0
        self._gone = self._stopping = False
        self._interval = settings.kafka.health_interval
        self._mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._mine.close()
                _supervise(settings, connection, state, live, theirs)
            finally:
                os._exit(0)
        theirs.close()
        self._mine.setblocking(False)

    def _say(self, what: Any) -> bool:
        """Whole or not at all; False: its buffer is full, or it is gone."""
        if self._early is not None:
            self._early.append(what)
            return True
        try:
            self._mine.send(msgspec.json.encode(what))
        except OSError:
            return False
        return True

    def begin(self) -> None:
        """The state folder is there and belongs to whom the sensor runs as."""
        early, self._early = self._early or [], None
        for what in [{"begin": True}, *early]:
            self._say(what)

    def reload(self, settings: Settings) -> None:
        """New settings are in force; those of Kafka at the next start."""
        if not self._say({"settings": settings}):
            text = "decisions go by the old settings: the new ones could not be passed on"
            self._tell(notice("settings", text, time.time_ns()))

    def notice(self, one: Notice) -> None:
        """Pass a notice on."""
        self._say({"notice": one})

    def turn(self, counters: Callable[[], Any] | None = None) -> None:
        """Hear what it says, and tell it how things are."""
        now = time.monotonic()
        if counters is not None and now - self._health_at >= self._interval:
            self._health_at = now
            self._say({"health": counters()})
        with contextlib.suppress(OSError):
            while said := self._mine.recv(_LARGEST):
                self._heard(json.loads(said))
            if not self._gone and not self._stopping:
                self.counters |= {"delivery": {"delivery_gone": 1}}
                text = "the process that passes alerts on is gone; they stay in the journal"
                self._tell(notice("delivery", text, time.time_ns()))
            self._gone = True

    def _heard(self, said: dict[str, Any]) -> None:
        if "notice" in said:
            self._tell(msgspec.convert(said["notice"], Notice))
        else:
            self.counters = said["counters"] | {"delivery": {"delivery_gone": 0}}
            self.waiting = said["waiting"]

    def leave(self) -> None:
        """In a child of this process: it is the parent's."""
        self._mine.close()

    def stop(self, patience: float) -> int:
        """Let it send what waits, for ``patience`` seconds beyond its last progress.

        How many messages still wait for Kafka.
        """
        self._stopping = True
        self._say({"stop": patience})
        with contextlib.suppress(OSError):
            self._mine.shutdown(socket.SHUT_WR)
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            self.turn()
            select.select([self._mine], [], [], 0.1)
        self.turn()
        self._mine.close()
        return self.waiting


def _supervise(
    settings: Settings, connection: Connection, state: Path, live: bool, sock: socket.socket
) -> None:
    """Start the process, and start it again whenever it dies, until the other side is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    if not sock.recv(1 << 10, socket.MSG_PEEK):  # `begin`, or the end
        return
    if live:
        systemd.drop_privileges(settings.live.user)
    lock = StateFolder(state).delivery_lock.open("wb")
    hung_up = select.poll()
    hung_up.register(sock, select.POLLRDHUP)
    while not _locked(lock):  # the process of a sensor that was killed, about to end
        if hung_up.poll(100):
            return
    again = False
    while True:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with sock:
                    _Process(settings, connection, state, live, sock).run(again)
                code = 0
            except (OSError, DatabaseError) as error:
                sys.stderr.write(f"port25: delivery: {error}\n")
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        if status == 0 or hung_up.poll(0):  # whoever starts next goes on from the disk
            return
        again = True
        time.sleep(1)


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Process:
    """Decide, pass on, prune; until told to stop or the other side is gone."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        state: Path,
        live: bool,
        sock: socket.socket,
    ) -> None:
        self._settings = settings
        self._files = StateFolder(state)
        self._live = live
        self._sock = sock
        self._ledger_path = self._files.ledger
        self._ledger = Ledger(self._ledger_path)
        self._desk = DeskReader(state)
        self._exempted: tuple[Exemption, ...] = ()
        self._policy = policy_of(settings)
        self._journals: dict[str, Journal] = {}
        self._changes: dict[str, int] = {}
        self._counts = dict.fromkeys((f"decisions_{name}" for name in _ACTIONS), 0)
        self._counts |= {"journal_messages_dropped": 0, "outbox_messages_dropped": 0}
        self._fault = ""
        self._sick_until = 0.0
        self._stop_after: float | None = None
        self._kafka_settings = connection.settings
        self._kafka: Kafka | None = None
        self._ears: Ears | None = None
        if connection.settings.bootstrap:
            self._kafka = Kafka(
                connection, lambda: Outbox(self._files.outbox), self._open_lanes, self._said
            )
            self._ledger.named(connection.settings.sensor, settings.blocking.hold, time.time_ns())
            if live:  # what is replayed is not to depend on what persons say meanwhile
                self._ears = Ears(connection, self._said)

    @cached_property
    def _outbox(self) -> Outbox:
        """For this thread; Kafka's has its own."""
        return Outbox(self._files.outbox)

    # --- speaking with the other side -------------------------------------------------------------

    def _say(self, what: Any) -> None:
        with contextlib.suppress(OSError):
            self._sock.send(msgspec.json.encode(what))

    def _said(self, text: str, kind: str = "kafka") -> None:
        self._say({"notice": notice(kind, text, time.time_ns())})

    def _hear(self) -> bool:
        """For a moment; False when the other side is gone."""
        if not select.select([self._sock], [], [], _TICK)[0]:
            return True
        try:
            said = self._sock.recv(_LARGEST)
        except OSError:  # it was killed
            return False
        if not said:
            return False
        what = json.loads(said)
        if "stop" in what:
            self._stop_after = float(what["stop"])
        elif "settings" in what:
            self._settings = msgspec.convert(what["settings"], Settings)
            self._policy = policy_of(self._effective)
            self._guarded(self._name)
        elif "health" in what:
            now = time.time_ns()
            words = (self._kafka_settings.sensor, __version__)
            counters = what["health"] | self._counters()
            self._pass_on(HEALTH, Health(HEALTH, now, rfc3339(now), *words, counters))
        elif "notice" in what:
            self._pass_on(SCHEMA, what["notice"])
        return True

    def _pass_on(self, schema: str, what: Any) -> None:
        if self._kafka is not None:
            topic, key = self._kafka_settings.health_topic, self._kafka_settings.sensor.encode()
            more = headers(schema, sensor=self._kafka_settings.sensor)
            self._kafka.tell(Message(0, topic, key, msgspec.json.encode(what), more))

    def _counters(self) -> dict[str, dict[str, Any]]:
        now = time.time_ns()
        enforced = self._policy.enforced
        found: dict[str, dict[str, Any]] = {"blocking": dict(self._counts)}
        with contextlib.suppress(DatabaseError):
            found["blocking"] |= {
                "blocks_in_force": len(self._ledger.in_force(now, enforced)),
                "blocking_enforced": int(enforced),
                "blocking_stopped": int(self._ledger.stopped(enforced)),
            }
        if self._kafka is not None:
            found["kafka"] = self._kafka.counters()
        if self._ears is not None:
            found["kafka"] |= self._ears.counters()
        return found

    # --- the work -------------------------------------------------------------------------------

    def run(self, again: bool) -> None:
        """Until the end."""
        if again:
            self._said("the process that passes alerts on had died; it goes on", "delivery")
        if self._kafka is not None:
            self._kafka.start()
        if self._ears is not None:
            self._ears.start()
        shown, pruned = 0.0, time.monotonic()
        progress, waiting = time.monotonic(), -1
        gone = False
        while not gone or self._stop_after is not None:
            gone = gone or not self._hear()
            now = time.monotonic()
            if now >= self._sick_until:
                self._guarded(self._listen)
                self._guarded(self._decide)
            if now - shown >= 1 or gone:
                shown = now
                self._guarded(self._look_around)
                left = self._kafka.waiting if self._kafka is not None else 0
                if left != waiting:
                    progress, waiting = now, left
                self._say({"counters": self._counters(), "waiting": left})
            if now - pruned >= _PRUNE:
                pruned = now
                self._guarded(self._prune)
                self._guarded(self._name)
            if self._stop_after is not None:
                time.sleep(_TICK if gone else 0)
                if self._all_done() or now - progress > self._stop_after:
                    break
        if self._ears is not None:
            self._ears.stop()
        if self._kafka is not None:
            self._kafka.stop()
            self._kafka.join(5)
            self._say({"counters": self._counters(), "waiting": self._kafka_waiting()})

    def _guarded(self, work: Callable[[], None]) -> None:
        """What the disk refuses is said once, and tried again."""
        try:
            work()
        except DatabaseError as error:
            if str(error) != self._fault:
                self._said(f"decisions wait: {error}", "blocking")
            self._fault = str(error)
            self._sick_until = time.monotonic() + 1
        else:
            self._fault = ""

    @property
    def _effective(self) -> Settings:
        """The settings with what persons at the desk exempt."""
        exempt = (*self._settings.exempt, *self._exempted)
        return msgspec.structs.replace(self._settings, exempt=exempt)

    def _look_around(self) -> None:
        exempted = self._desk.exemptions(time.time_ns())
        if exempted != self._exempted:
            self._exempted = exempted
            self._policy = policy_of(self._effective)
        for name, path in self._named().items():
            if name not in self._journals:
                self._journals[name] = Journal(path, read_only=True)

    def _named(self) -> dict[str, Path]:
        """The journals there are, by the names under which positions are kept."""
        return {self._files.source(path): path for path in self._files.journals}

    def _name(self) -> None:
        """Have the ledger know the name its decisions bear, and how long releases hold."""
        if self._kafka is not None:
            hold = self._settings.blocking.hold
            self._ledger.named(self._kafka_settings.sensor, hold, time.time_ns())

    def _listen(self) -> None:
        """Obey what persons decided at other sensors."""
        ears = self._ears
        while ears is not None and (told := ears.next) is not None:
            now = time.time_ns()
            if told.action == "exempt":
                self._count(self._hear_exemption(told, now))
                self._look_around()  # no alert is decided on without it
            else:
                self._count(self._ledger.obey(told, now))
            ears.done()

    def _hear_exemption(self, told: DeskRecord, now: int) -> list[Decision]:
        """Into this sensor's desk, for all who obey it; what ends by it."""
        desk = Desk(self._files.desk)
        try:
            if desk.newest(told.host) > told.ts:
                return []
            made = self._ledger.obey(told, now)  # again does nothing
            by = f"{told.by} at {told.sensor}"
            one = Exempted(told.host, told.ts, told.until, by, told.reason)
            desk.hear(one, told.sensor)
            return made
        finally:
            desk.close()

    def _decide(self) -> None:
        for name, journal in self._journals.items():
            changes = journal.changes
            if changes == self._changes.get(name):
                continue
            rows = journal.page(self._ledger.position(name), 0, _AT_ONCE)
            if rows:
                self._count(self._ledger.take(name, rows, self._policy))
            if len(rows) < _AT_ONCE:
                self._changes[name] = changes
        if self._live:
            self._count(self._ledger.expire(time.time_ns()))

    def _count(self, made: list[Decision]) -> None:
        for one in made:
            self._counts[f"decisions_{one.action}"] += 1
            if one.action in ("stop", "step", "resume", "alarm"):
                self._say({"notice": call(one)})

    def _open_lanes(self, known: Container[str]) -> list[Lane]:
        """Those not ``known`` yet; in Kafka's thread."""
        settings = self._kafka_settings
        lanes: list[Lane] = [
            AlertLane(path, name, settings)
            for name, path in self._named().items()
            if name not in known
        ]
        if BlockLane.name not in known:
            hold = self._settings.blocking.hold
            lanes.append(BlockLane(self._ledger_path, settings, hold))
        if DeskLane.name not in known and self._files.desk.exists():
            lanes.append(DeskLane(self._files.desk, settings))
        return lanes

    def _all_done(self) -> bool:
        for name, journal in self._journals.items():
            if self._ledger.position(name) < journal.last:
                return False
        return self._kafka is None or not self._kafka_waiting()

    def _kafka_waiting(self) -> int:
        """Messages on disk that Kafka does not have, by the positions written."""
        left = max(0, self._ledger.last - self._outbox.position("kafka", BlockLane.name))
        for name, journal in self._journals.items():
            left += max(0, journal.last - self._outbox.position("kafka", name))
        return left

    # --- keeping the disk -----------------------------------------------------------------------

    def _prune(self) -> None:
        """Forget what is too old, then what is too much: first what every sink has."""
        settings = self._settings.live
        before = time.time_ns() - settings.journal_days * DAY
        ceiling = settings.journal_megabytes * 1_000_000 // max(1, len(self._journals))
        if self._live:
            self._ledger.forget(before)
        for name, path in self._named().items():
            journal = Journal(path)
            if self._live:
                journal.forget(before)
            while journal.db.size > ceiling:
                done = self._ledger.position(name)
                if self._kafka is not None:
                    done = min(done, self._outbox.position("kafka", name))
                numbers = journal.forget_oldest(done)
                self._counts["journal_messages_dropped"] += len(numbers)
                if not numbers:
                    numbers = journal.forget_oldest(journal.last)
                    self._counts["outbox_messages_dropped"] += len(numbers)
                    self._said(
                        f"{name}: {len(numbers)} alerts were dropped that Kafka never had:"
                        " live.journal_megabytes is reached",
                        "journal",
                    )
                if not numbers:
                    break
            journal.close()
