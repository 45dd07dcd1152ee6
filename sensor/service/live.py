"""The sensor on live interfaces: capture, pipeline, journal, evidence, snapshots, signals.

One loop, one thread (metrics answer from another). Blocks of the ring go through the same pipeline
as those of a file. Where nothing has come for ``QUIET`` seconds, time passes by the wall clock, so
that what is due is told; as no older packet can come any more, a replay of the same packets tells
the same.

An alert is in the journal before it is told. After a crash the last snapshot is taken up, and
alerts the journal has beyond it are adopted: they go on under their ids.
"""

import contextlib
import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor import __version__
from sensor.alerts.alert import Alert
from sensor.alerts.notice import Notice, notice
from sensor.base.database import DatabaseError
from sensor.base.kernel import table
from sensor.base.sentences import Sentence
from sensor.base.units import DAY
from sensor.blocking.desk import DeskReader
from sensor.blocking.feed_faults import FaultReader
from sensor.capture.afpacket import (
    Fanout,
    Interface,
    Interfaces,
    Statistics,
    link_of,
    probe,
    trouble_of,
)
from sensor.capture.block import FRAME, Block, CaptureError
from sensor.capture.bpf import ETHERNET, Instruction, expression, mail_filter, steering
from sensor.capture.ring import index_ring
from sensor.evidence.store import Writer
from sensor.hosts.subscribers import Exemption, fold
from sensor.pipeline import compile_kernels
from sensor.service import systemd
from sensor.service.delivery import Delivery
from sensor.service.metrics import Collector, free, serve
from sensor.service.recorder import Recorder, Sampler
from sensor.settings import SINKS, Settings, state_folder, subscriber_prefixes, subscribers_of
from sensor.state.folder import StateFolder
from sensor.state.lock import StateLock
from sensor.state.snapshot import SnapshotError, fork_and_write, read, write
from sensor.tracking.output import Output

__all__ = [
    "PATIENCE",
    "Counters",
    "Live",
    "Worker",
    "check",
    "compile_all",
    "give_away",
    "print_counters",
]

QUIET: Final = 2.0
"""Seconds without a frame after which time passes by the wall clock."""
_TURN: Final = 0.5
"""Seconds of reading packets after which clocks and signals have their turn."""
_LOSS_INTERVAL: Final = 10.0
PATIENCE: Final = 10.0
"""Seconds that Kafka is waited for at the end."""


def give_away(folder: Path, user: str) -> None:
    """Root makes a folder and all in it another's. Raises LookupError, OSError."""
    if os.geteuid() == 0:
        entry = systemd.account(user)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, entry.pw_uid, entry.pw_gid)


Counters = dict[str, dict[str, Any]]
"""Everything there is to count, by stage and name."""


def print_counters(counters: Counters) -> None:
    """One line of JSON on standard error."""
    sys.stderr.buffer.write(msgspec.json.encode(counters) + b"\n")
    sys.stderr.flush()


@cache
def compile_all() -> None:
    """The same as ``compile_kernels``, for what a live interface needs beside the pipeline."""
    compile_kernels()
    nothing, frames = np.zeros(64, np.uint8), table(0, FRAME)
    index_ring(nothing, 0, frames, ETHERNET)
    Writer(io.BytesIO()).write(nothing, table(1, FRAME), np.zeros(1, np.int64))
    subscribers = subscribers_of(Settings())
    fold(subscribers.classes[0], np.uint64(0), np.uint64(0), 0)


def check(settings: Settings, interfaces: Sequence[str], bpf: str | None) -> None:
    """Find out what cannot be before anything is made on disk. Raises what ``Live`` does."""
    for name in interfaces:
        link = probe(name)
        _filter(settings, name, bpf, link)
    if os.geteuid() == 0:
        systemd.account(settings.live.user)
    if settings.live.metrics:
        free(settings.live.metrics)


def _filter(settings: Settings, name: str, bpf: str | None, link: int) -> list[Instruction]:
    if bpf:
        return expression(bpf, name)
    return mail_filter(settings.ports, settings.reads_dns, settings.live.tunnels, link)


class Worker(NamedTuple):
    """One of several processes on the same interfaces."""

    number: int
    of: int
    group: int
    """of PACKET_FANOUT, for the first interface"""
    shown: NDArray[np.int64]
    """see ``Pipeline.share``"""

    def fanout(self, interface: int, settings: Settings, link: int) -> Fanout:
        """Its place among those that share an interface."""
        prefixes = subscriber_prefixes(settings)
        shortest = min([64, *(p.delegated for p in prefixes if p.delegated)])
        return Fanout(self.group + interface, steering(settings.ports, shortest, link))


class Live:
    """Open everything; then :meth:`run` until told to stop."""

    def __init__(
        self,
        settings: Settings,
        interfaces: Sequence[str],
        tell: Callable[[Alert | Notice], None],
        bpf: str | None = None,
        reload: Callable[[], Settings | None] = lambda: None,
        report: Callable[[Counters], None] = lambda _: None,
        record: str | None = None,
        worker: Worker | None = None,
    ) -> None:
        """``tell`` is given alerts and notices, ``report`` every second the counters.

        All that is captured goes to the file ``record`` as well. A ``worker`` is one of several
        processes: it has a folder of its own and leaves metrics to its parent.

        ``reload`` reads the settings again, None when they are no good. Raises CaptureError,
        FilterError, DatabaseError, MetricsError, SnapshotError, LookupError or OSError, before
        anything is captured.
        """
        self.settings = settings
        self._tell = tell
        self._reload = reload
        self._report = report
        self._worker = worker
        self._bpf = bpf
        self._child = 0
        self._snapshot_time = 0.0
        self._loss = 0.0
        self._lossy = False
        self._counted = Statistics(0, 0, 0)
        self._last = self._counted, 0, 0
        self._frames = 0
        self._rate = 0.0
        self._felt = time.monotonic()
        self._desk = DeskReader(state_folder(settings))
        self._feeds = FaultReader(state_folder(settings))
        self._desk_fault = ""
        self._exempted: tuple[Exemption, ...] = ()
        self._unexpected: set[str] = set()
        self._troubles: dict[str, str] = {}
        self._told = {"raised": 0, "escalated": 0, "refreshed": 0, "closed": 0}

        live = settings.live
        if worker is None:
            check(settings, interfaces, bpf)
            self._lock = StateLock(state_folder(settings), "port25 live")
        folder = StateFolder(state_folder(settings))
        self._files = folder.worker(worker.number, worker.of) if worker else folder
        self.folder = self._files.path
        self.folder.mkdir(parents=True, exist_ok=True)
        self._delivery = None if worker else Delivery(settings, self.folder, tell)
        compile_all()
        self._recorder = Recorder(self._files, settings, self._notice, live.usage)
        self.journal = self._recorder.journal
        self.pipeline = self._recorder.new_pipeline()
        self._snapshot = self._files.snapshot
        self._restore()
        self._sampler = Sampler(self.pipeline)
        # Held open for as long as the sensor runs.
        self._record = Writer(Path(record).open("wb")) if record else None  # noqa: SIM115
        self._interfaces = [
            Interface(
                name,
                self._filter(name),
                live.ring,
                live.promiscuous,
                live.incoming_only,
                worker.fanout(number, settings, link_of(name)) if worker else None,
            )
            for number, name in enumerate(interfaces)
        ]
        self._source = Interfaces(self._interfaces)
        metrics = "" if worker else live.metrics
        self._metrics = serve(metrics, Collector(self.counters)) if metrics else None
        self._drop()
        if self._delivery is not None:
            self._delivery.begin()

    def _filter(self, interface: str) -> list[Instruction]:
        return _filter(self.settings, interface, self._bpf, link_of(interface))

    def _drop(self) -> None:
        """The ring is open: no privilege is needed any more."""
        give_away(self.folder, self.settings.live.user)
        systemd.drop_privileges(self.settings.live.user)

    # --- state -----------------------------------------------------------------------------------

    def _restore(self) -> None:
        after = 0
        if self._snapshot.exists():
            try:
                arrays, facts = read(self._snapshot)
                self.pipeline.restore(arrays, facts["pipeline"])
                after = facts["journal"]
            except (SnapshotError, KeyError) as error:
                shutil.move(self._snapshot, self._files.refused_snapshot)
                self._notice("snapshot", f"starting without its evidence: {error}")
        newest = {a.id: a for _, a in self.journal.read(after, since=time.time_ns() - DAY)}
        for alert in newest.values():
            with contextlib.suppress(ValueError):  # settings by which it is no host any more
                self.pipeline.adopt(alert)

    def _save(self, wait: bool = False) -> None:
        """Write a snapshot, in a child unless ``wait``."""
        facts = {
            "version": __version__,
            "pipeline": self.pipeline.facts(),
            "journal": self.journal.last,
        }
        arrays = self.pipeline.arrays()
        write_usage = self._recorder.take_usage()
        if wait:
            try:
                write(self._snapshot, arrays, facts)
                write_usage()
            except (SnapshotError, DatabaseError) as error:
                self._notice("snapshot", str(error))
        else:
            self._child = fork_and_write(self._snapshot, arrays, facts, write_usage)

    def _reap(self) -> None:
        if self._child:
            pid, status = os.waitpid(self._child, os.WNOHANG)
            if pid:
                self._child = 0
                if status:
                    self._notice("snapshot", "could not be written; evidence would not survive")
                else:
                    self._snapshot_time = time.time()

    # --- running ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises CaptureError when an interface goes away."""
        wanted = systemd.collect_signals()
        systemd.notify("READY=1")
        streams = self.pipeline.counters()["connections"]
        self._last = self._counted, streams["bytes_read"], streams["bytes_missed"]
        now = time.monotonic()
        watchdog = systemd.watchdog_seconds()
        self._look_at_cables()
        heard, shown, weighed, saved, wagged = now, now, now, now, now
        try:
            while not wanted & {signal.SIGTERM, signal.SIGINT}:
                now, clock = time.monotonic(), time.time_ns()
                for block in self._source.read(0.1):
                    self._take(block)
                    heard = time.monotonic()
                    if heard - now > _TURN:  # a flood must not starve all else
                        break
                if now - heard > QUIET:  # what was older than this turn's begin has been read
                    self._keep(self.pipeline.catch_up(clock - int(QUIET * 1e9)))
                now = time.monotonic()
                if now - shown >= 1:
                    self._second(now - shown)
                    shown = now
                if now - weighed >= _LOSS_INTERVAL:
                    self._weigh_loss()
                    self._look_at_cables()
                    weighed = now
                self._reap()
                if now - saved >= self.settings.live.snapshot and not self._child:
                    self._save()
                    saved = now
                if watchdog is not None and now - wagged >= watchdog:
                    systemd.notify("WATCHDOG=1")
                    wagged = now
                self._signals(wanted)
        finally:
            self._stop()

    def _take(self, block: Block) -> None:
        if self._record is not None:
            whole = block.frames["captured"].astype(np.int64)
            try:
                self._record.write(block.data, block.frames, whole)
            except OSError as error:
                self._notice("evidence", f"-w: nothing more is written: {error.strerror}")
                self._record = None
        self._keep(self.pipeline.feed(block))
        if self._worker is not None:
            self.pipeline.share(self._worker.shown, self._worker.number)
        self._frames += len(block.frames)

    def _stop(self) -> None:
        systemd.notify("STOPPING=1")
        if self._child:
            os.waitpid(self._child, 0)
        end = time.monotonic() + _TURN
        with contextlib.suppress(CaptureError):
            for block in self._source.read(0):
                self._take(block)
                if time.monotonic() > end:
                    break
        # Connections stay open, for the snapshot: the next start goes on with them.
        self._keep(self.pipeline.catch_up(self.pipeline.packet_time))
        self._weigh_loss()
        self._save(wait=True)
        for interface in self._interfaces:
            interface.close()
        if self._metrics is not None:
            self._metrics()
        self._recorder.close()
        if self._delivery is not None:
            self._delivery.stop(PATIENCE)
        if self._record is not None:
            self._record.close()

    def _keep(self, outputs: Iterable[Output]) -> None:
        """Keep what came out, then tell it."""
        for output in outputs:
            for text in output.notices:
                self._notice("flood", text)
            for alert in self._recorder.keep(output):
                self._told[alert.state] += 1
                self._tell(alert)

    def _notice(self, kind: str, said: Sentence | str) -> None:
        told = notice(kind, said, time.time_ns())
        self._tell(told)
        if self._delivery is not None:
            self._delivery.notice(told)

    def _signals(self, wanted: set[int]) -> None:
        if signal.SIGUSR1 in wanted:
            wanted.discard(signal.SIGUSR1)
            print_counters(self.counters())
        if signal.SIGHUP in wanted:
            wanted.discard(signal.SIGHUP)
            systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            self._read_settings()
            systemd.notify("READY=1")

    def _read_settings(self) -> None:
        settings = self._reload()
        if settings is None:
            self._notice("settings", "the new settings are no good; the old ones stay in force")
            return
        fixed = ["limits", "live", "evidence", *SINKS] + ["ports"] * (self._worker is not None)
        later = [name for name in fixed if getattr(settings, name) != getattr(self.settings, name)]
        kept = {name: getattr(self.settings, name) for name in fixed}
        self.settings = msgspec.structs.replace(settings, **kept)
        self._apply()
        if self._delivery is not None:
            self._delivery.reload(self.settings)
        for interface in self._interfaces if not self._bpf else ():
            interface.set_filter(self._filter(interface.name))
        more = f"; at the next start: {', '.join(later)}" if later else ""
        self._notice("settings", f"the new settings are in force{more}")

    # --- how it goes -----------------------------------------------------------------------------

    def _statistics(self) -> Statistics:
        """The kernel's counts, of all interfaces; only this thread may ask for them."""
        columns = zip(*(i.statistics for i in self._interfaces), strict=True)
        self._counted = Statistics(*map(sum, columns))
        return self._counted

    def _weigh_loss(self) -> None:
        """How much was lost since last time: packets by the kernel's count, bytes by TCP's gaps."""
        if strain := self.pipeline.strain():
            self._notice("limits", strain)
        statistics = self._statistics()
        streams = self.pipeline.counters()["connections"]
        read, missed = streams["bytes_read"], streams["bytes_missed"]
        before, read_before, missed_before = self._last
        self._last = statistics, read, missed
        received = statistics.received - before.received
        dropped = statistics.dropped - before.dropped
        share = dropped / max(1, received)
        gaps = (missed - missed_before) / max(1, read - read_before)
        self._loss = max(share, gaps)
        lossy = self._loss >= self.settings.live.loss_alarm
        if dropped or (lossy and not self._lossy):
            self._notice(
                "capture_loss",
                f"{dropped:,} of {received:,} packets dropped by the kernel ({share:.2%}),"
                f" {gaps:.2%} of stream bytes missing",
            )
        self._lossy = lossy
        now = time.monotonic()
        sample = self._sampler.sample(now - self._felt, received, dropped, self._loss)
        if sample is not None:
            self._recorder.add_sample(sample)
        self._felt = now

    def _obey(self) -> None:
        """Take exemptions from the desk as if they stood in the settings."""
        try:
            exempted = self._desk.exemptions(self.pipeline.packet_time or time.time_ns())
        except DatabaseError as error:
            if self._desk_fault != str(error):
                self._desk_fault = str(error)
                self._notice("settings", f"exemptions made at the desk are not known: {error}")
            return
        if exempted != self._exempted:
            self._exempted = exempted
            self._apply()
            self._notice("settings", f"{len(exempted)} exemptions made at the desk are in force")

    def _look_at_cables(self) -> None:
        """Say of an interface that it is down, or up again; one worker does."""
        for interface in self._interfaces if not (self._worker and self._worker.number) else ():
            name = interface.name
            trouble, before = trouble_of(name), self._troubles.get(name, "")
            self._troubles[name] = trouble
            if trouble != before:
                self._notice("interface", trouble or f"{name} is up again")

    def _say_what_was_unexpected(self) -> None:
        """Once for each reader: its counter goes on by itself."""
        for counter, reason in self.pipeline.reasons().items():
            if counter not in self._unexpected:
                self._unexpected.add(counter)
                self._notice("reader", f"{counter}: something was left out: {reason}")

    def _apply(self) -> None:
        """The settings, and what the desk exempts, are in force from now on."""
        replace = msgspec.structs.replace
        effective = replace(self.settings, exempt=(*self.settings.exempt, *self._exempted))
        self.pipeline.reload(effective)
        self._recorder.reload(effective)

    def _second(self, seconds: float) -> None:
        self._statistics()
        self._recorder.flush()
        self._obey()
        self._say_what_was_unexpected()
        if self._worker is None or self._worker.number == 0:
            for said in self._feeds.news():
                self._notice("blocking", said)
        if self._delivery is not None:
            self._delivery.turn(self.counters)
        self._rate = self._frames / seconds
        self._frames = 0
        self._report(self.counters())

    def counters(self) -> Counters:
        """Everything there is to count, by stage; the kernel's counts as of the last second."""
        statistics = self._counted
        passed_on = self._delivery.counters if self._delivery is not None else {}
        return {
            **self.pipeline.counters(),
            **passed_on,
            "capture": {
                "packets_received": statistics.received,
                "packets_dropped": statistics.dropped,
                "ring_freezes": statistics.freezes,
                "ring_blocks_waiting": sum(i.waiting for i in self._interfaces),
                "loss_ratio": self._loss,
                "packets_per_second": self._rate,
            },
            "told": {f"alerts_{state}": count for state, count in self._told.items()},
            "disk": {
                **self._recorder.counters,
                "snapshot_time_seconds": self._snapshot_time,
            },
            "uptime": {"packet_time_seconds": self.pipeline.packet_time / 1e9},
        }
