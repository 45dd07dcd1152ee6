"""The deliverer: decides on blocks, passes on to sinks, keeps the disk within its limits.

All it works on is in the state folder, so it does not matter who started it, or what it was doing
when it was killed: it goes on from there. A sensor starts it by itself
(:mod:`sensor.service.delivery`). Without one, for what a sensor left behind::

    python -m sensor.service.deliverer STATE             as long as it is wanted
    python -m sensor.service.deliverer STATE --drain 30  until nothing waits, or moves for 30 s

It goes by the settings that the sensor had (``delivery.json``; no secrets, and the page's users are
not in it), or by those of ``--config``.
"""

import argparse
import contextlib
import os
import pwd
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from sensor import __version__
from sensor.alerts.alert import rfc3339
from sensor.alerts.notice import HEALTH, Health, Notice, notice
from sensor.base.access import WebSettings
from sensor.base.database import DatabaseError
from sensor.base.sentences import Sentence, sentence
from sensor.base.terminal import complain
from sensor.base.units import DAY
from sensor.blocking.acts import DeskAct
from sensor.blocking.decision import Decision
from sensor.blocking.ledger import Ledger
from sensor.blocking.notices import as_notice
from sensor.blocking.precision import calibration
from sensor.service import privileges
from sensor.service.exemptions import Exemptions
from sensor.service.hearing import Hearing
from sensor.service.messages import (
    LARGEST,
    Counters,
    Noticed,
    Progress,
    Settled,
    Standing,
    Stopping,
    ToDeliverer,
    ToSensor,
    decode_to_deliverer,
    encode,
)
from sensor.service.pruning import Pruner, oldest_kept
from sensor.service.signals import collect_signals
from sensor.service.supervisor import locked
from sensor.settings import SINKS, Settings, SettingsError, load_settings, policy_of, settings_said
from sensor.sinks.outbox import Outbox
from sensor.sinks.sink import LEDGER, Around, Sink, SinkSettings, SinkSettingsError
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal

__all__ = [
    "Deliverer",
    "Link",
    "SensorLink",
    "TerminalLink",
    "forget_destinations",
    "main",
    "prepare_sinks",
]

_TICK: Final = 0.01
"""Seconds between looks at the journals."""
_AT_ONCE: Final = 500
_SECOND: Final = 1.0
_PRUNE: Final = 10.0
"""Seconds between looks at the size of the journals."""
_JUDGED: Final = 300.0
"""Seconds between looks at verdicts."""
_VERDICTS: Final = 28 * DAY
"""Nanoseconds for which a verdict counts."""
_HEARD: Final = 10.0
"""Seconds that who decides for all waits for what persons had said, so as to decide the same."""
_ACTIONS: Final = ("block", "lookup", "release", "refuse", "stop", "step", "resume", "alarm")


def prepare_sinks(settings: Settings) -> list[Sink]:
    """Those the settings want, not yet started. Raises SinkSettingsError."""
    sections: list[SinkSettings] = [getattr(settings, name) for name in SINKS]
    return [sink for section in sections if (sink := section.prepare()) is not None]


def forget_destinations(settings: Settings, files: StateFolder) -> None:
    """How far destinations of notifications were that are not in the settings any more.

    Here, and not where the others start: there may be none any more. Raises DatabaseError.
    """
    if files.outbox.exists():
        with contextlib.closing(Outbox(files.outbox)) as outbox:
            outbox.keep("notify/", [f"notify/{one.name}" for one in settings.notify.to])


class Link(Protocol):
    """Who started the deliverer."""

    gone: bool
    """whether nobody is there any more"""

    def hear(self, seconds: float) -> Sequence[ToDeliverer]:
        """What is said within so long."""

    def say(self, what: ToSensor) -> None:
        """Tell it something; it may be lost."""


class SensorLink:
    """A sensor at the other end of a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.gone = False

    def hear(self, seconds: float) -> Sequence[ToDeliverer]:
        """See ``Link``."""
        if self.gone:
            time.sleep(seconds)
            return []
        if not select.select([self._sock], [], [], seconds)[0]:
            return []
        try:
            said = self._sock.recv(LARGEST)
        except OSError:  # it was killed
            said = b""
        if not said:
            self.gone = True
            return []
        return [decode_to_deliverer(said)]

    def say(self, what: ToSensor) -> None:
        """See ``Link``."""
        with contextlib.suppress(OSError):
            self._sock.send(encode(what))


class TerminalLink:
    """A person, or a script: signals end the work, notices are lines on standard error."""

    gone = False

    def __init__(self, drain: float | None) -> None:
        """``drain``: end when nothing waits, or nothing moved for so many seconds."""
        self._wanted = collect_signals()
        self._drain = drain
        self._told = False

    def hear(self, seconds: float) -> Sequence[ToDeliverer]:
        """See ``Link``."""
        time.sleep(seconds)
        stopped = bool(self._wanted & {signal.SIGTERM, signal.SIGINT})
        if self._told or not (stopped or self._drain is not None):
            return []
        self._told = stopped or self._drain is None
        drain, self._drain = self._drain, None
        return [Stopping(0.0 if stopped or drain is None else drain)]

    def say(self, what: ToSensor) -> None:
        """See ``Link``."""
        if isinstance(what, Noticed):
            complain(f"{what.notice.kind}: {what.notice.text}")


class Kept(msgspec.Struct):
    """What the deliverer goes by, for the next one."""

    live: bool
    settings: Settings
    from_topic: bool = False
    follows: str = ""

    def write(self, path: Path) -> None:
        """Whole or not at all, for nobody else to read. Raises OSError."""
        new = path.with_name(f".{path.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(msgspec.json.encode(self))
        new.replace(path)


class Deliverer:
    """Decide, pass on, prune; until told to stop or nobody is there any more."""

    def __init__(
        self,
        settings: Settings,
        state: Path,
        sinks: Iterable[Sink],
        live: bool,
        link: Link,
        from_topic: bool = False,
        follows: str = "",
    ) -> None:
        self._follows = follows
        self._files = StateFolder(state)
        self._sinks = list(sinks)
        self._live = live
        self._from_topic = from_topic
        self._link = link
        self._ledger = Ledger(self._files.ledger)
        self._exemptions = Exemptions(state, settings)
        self._policy = policy_of(settings)
        self._journals: dict[str, Journal] = {}
        self._changes: dict[str, int] = {}
        self._pruner = Pruner(self._ledger, self._sinks, self._notice)
        self._counts = dict.fromkeys((f"decisions_{name}" for name in _ACTIONS), 0)
        self._hearing = Hearing(self._files, self._ledger, self._counts)
        self._judged: dict[str, dict[str, float]] = {}
        self._judged_again = 0.0
        self._fault = ""
        self._left = 0
        self._sick_until = 0.0
        self._stop_after: float | None = None
        self._name()

    # --- with who started it ---------------------------------------------------------------------

    def _notice(self, kind: str, said: Sentence) -> None:
        self._link.say(Noticed(notice(kind, said, time.time_ns())))

    def _hear(self) -> None:
        """For a moment."""
        for what in self._link.hear(_TICK):
            match what:
                case Stopping(patience):
                    self._stop_after = patience
                case Settled(settings):
                    self._exemptions.settings = settings
                    self._policy = policy_of(self._exemptions.effective)
                    self._guarded(self._name)
                    self._keep()
                case Standing(counters):
                    self._tell_health(counters | self._counters())
                case Noticed(one):
                    self._pass_on(one)

    def _tell_health(self, counters: Counters) -> None:
        now = time.time_ns()
        counters = counters | {"settings": settings_said(self._exemptions.settings)}
        for sink in self._sinks:
            sink.tell(Health(HEALTH, now, rfc3339(now), sink.sensor, __version__, counters))

    def _pass_on(self, one: Notice) -> None:
        for sink in self._sinks:
            sink.tell(one)

    def _counters(self) -> Counters:
        now = time.time_ns()
        enforced = self._policy.enforced
        found: Counters = {
            "blocking": self._counts | self._pruner.counters,
            "verdicts": self._calibration(),
        }
        with contextlib.suppress(DatabaseError):
            found["blocking"] |= {
                "blocks_in_force": len(self._ledger.in_force(now, enforced)),
                "blocking_enforced": int(enforced),
                "blocking_stopped": int(self._ledger.stopped(enforced)),
            }
        return found | {sink.name: sink.counters() for sink in self._sinks}

    def _calibration(self) -> dict[str, dict[str, float]]:
        """Whether detectors say what the desk finds; looked at every few minutes."""
        if (now := time.monotonic()) >= self._judged_again:
            self._judged_again = now + _JUDGED
            since = time.time_ns() - _VERDICTS
            miss_rate = self._exemptions.settings.score.miss_rate
            with contextlib.suppress(DatabaseError):
                self._judged = calibration(self._files.path, since, miss_rate)
        return self._judged

    def _report(self, waiting: int) -> None:
        self._link.say(Progress(self._counters(), waiting))

    # --- the work -------------------------------------------------------------------------------

    def run(self, again: bool = False) -> int:
        """Until the end; how many rows still wait for sinks. ``again``: one before it died."""
        if again:
            self._notice("delivery", Sentence("delivery.again"))
        self._keep()
        for sink in self._sinks:
            sink.start(self._around(sink))
        if self._live:
            self._guarded(lambda: forget_destinations(self._exemptions.settings, self._files))
        shown, pruned = 0.0, time.monotonic()
        began = progress = time.monotonic()
        waiting = -1
        while not self._link.gone or self._stop_after is not None:
            self._hear()
            now = time.monotonic()
            if now >= self._sick_until:
                waits = self._from_topic and not all(sink.all_heard for sink in self._sinks)
                self._guarded(self._obey)
                if not waits or now - began > _HEARD:
                    self._guarded(self._decide)
            if now - shown >= _SECOND or self._link.gone:
                shown = now
                self._guarded(self._look_around)
                left = self._waiting()
                if left != waiting:
                    progress, waiting = now, left
                self._report(left)
            if now - pruned >= _PRUNE:
                pruned = now
                self._guarded(self._prune)
                self._guarded(self._name)
            patience = self._stop_after
            if patience is not None and (self._all_done() or now - progress > patience):
                break
        return self._stop()

    def _around(self, sink: Sink) -> Around:
        def say(said: Sentence) -> None:
            self._notice(sink.name, said)

        hold = self._exemptions.settings.blocking.hold
        return Around(self._files, say, self._live, hold, self._from_topic, self._follows)

    def _stop(self) -> int:
        for sink in self._sinks:
            sink.stop()
        left = self._waiting()
        self._report(left)
        return left

    def _keep(self) -> None:
        """Leave for the next one what it goes by, without the page's users."""
        settings = msgspec.structs.replace(self._exemptions.settings, web=WebSettings())
        try:
            Kept(self._live, settings, self._from_topic, self._follows).write(
                self._files.delivery_settings
            )
        except OSError as error:
            why = sentence("delivery.settings", error=error.strerror or str(error))
            self._notice("delivery", why)

    def _guarded(self, work: Callable[[], None]) -> None:
        """What the disk refuses is said once, and tried again."""
        try:
            work()
        except DatabaseError as error:
            if str(error) != self._fault:
                self._notice("blocking", sentence("delivery.waits", error=str(error)))
            self._fault = str(error)
            self._sick_until = time.monotonic() + 1
        else:
            self._fault = ""

    def _look_around(self) -> None:
        if self._exemptions.read(time.time_ns()):
            self._policy = policy_of(self._exemptions.effective)
        for name, path in self._named().items():
            if name not in self._journals:
                self._journals[name] = Journal(path, read_only=True)

    def _named(self) -> dict[str, Path]:
        """The journals there are, by the names under which positions are kept."""
        return {self._files.source(path): path for path in self._files.journals}

    def _name(self) -> None:
        """Have the ledger know the names its decisions bear, and how long releases hold."""
        for sink in self._sinks:
            if sink.sensor:
                self._ledger.named(
                    sink.sensor, self._exemptions.settings.blocking.hold, time.time_ns()
                )

    def _obey(self) -> None:
        """What persons decided at other sensors."""
        names = {sink.sensor for sink in self._sinks if sink.sensor}
        names = {self._follows} if self._follows else names
        for sink in self._sinks:
            while (word := sink.heard()) is not None:
                made = self._hearing.take(word, names, self._journals.values(), time.time_ns())
                self._count(made)
                if not isinstance(word, DeskAct):
                    self._look_around()  # no alert is decided on without it
                sink.obeyed()

    def _decide(self) -> None:
        whole = bool(self._journals)
        for name, journal in self._journals.items():
            changes = journal.changes
            if changes == self._changes.get(name):
                continue
            rows = journal.page(self._ledger.position(name), 0, _AT_ONCE)
            if rows:
                self._count(self._ledger.take(name, rows, self._policy))
            whole &= len(rows) < _AT_ONCE
            if len(rows) < _AT_ONCE:
                self._changes[name] = changes
        if self._live:
            self._count(self._ledger.expire(time.time_ns()))
            if whole:
                self._count(self._ledger.go_on(time.time_ns()))

    def _count(self, made: list[Decision]) -> None:
        for one in made:
            self._counts[f"decisions_{one.action}"] += 1
            if one.action in ("stop", "step", "resume", "alarm"):
                self._link.say(Noticed(as_notice(one)))

    def _waiting(self) -> int:
        """Rows on disk that sinks are not done with; as before where the disk does not tell."""
        with contextlib.suppress(DatabaseError):
            newest = {name: journal.last for name, journal in self._journals.items()}
            newest[LEDGER] = self._ledger.last
            self._left = sum(sink.waiting(newest) for sink in self._sinks)
        return self._left

    def _all_done(self) -> bool:
        for name, journal in self._journals.items():
            if self._ledger.position(name) < journal.last:
                return False
        return not self._waiting()

    def _prune(self) -> None:
        live = self._exemptions.settings.live
        before = oldest_kept(time.time_ns(), live) if self._live else None
        self._pruner.prune(self._named(), live, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Without a sensor; the exit code: 1 where something still waits or cannot be, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m sensor.service.deliverer")
    parser.add_argument("state", metavar="STATE", help="state folder")
    parser.add_argument("-c", "--config", metavar="FILE", help="settings (TOML), not those kept")
    parser.add_argument("--drain", metavar="SECONDS", type=float, help="end when nothing waits")
    options = parser.parse_args(arguments)
    files = StateFolder(Path(options.state))
    try:
        kept = _kept(files, options.config)
        sinks = prepare_sinks(kept.settings)
    except (SettingsError, SinkSettingsError) as error:
        complain(str(error))
        return 2
    try:
        _become_owner(files.path)
        with files.delivery_lock.open("wb") as lock:
            if not locked(lock):
                raise OSError(f"{files.path}: a sensor passes on what is there already")
            deliverer = Deliverer(
                kept.settings,
                files.path,
                sinks,
                kept.live,
                TerminalLink(options.drain),
                kept.from_topic,
                kept.follows,
            )
            return 1 if deliverer.run() else 0
    except (OSError, DatabaseError) as error:
        complain(str(error))
        return 1


def _kept(files: StateFolder, config: str | None) -> Kept:
    """What to go by. Raises SettingsError."""
    path = files.delivery_settings
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except OSError as error:
        if config is None:
            raise SettingsError([f"{path}: {error.strerror}; name settings (-c)"]) from None
        kept = Kept(True, Settings())
    except msgspec.DecodeError as error:
        raise SettingsError([f"{path}: {error}"]) from None
    return msgspec.structs.replace(kept, settings=load_settings(config)) if config else kept


def _become_owner(state: Path) -> None:
    """Root becomes whose the folder is: what is made in it is to be theirs."""
    owner = state.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        privileges.drop_privileges(pwd.getpwuid(owner).pw_name)


if __name__ == "__main__":
    raise SystemExit(main())
