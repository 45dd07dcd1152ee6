"""``port25 live`` as one of many sensors: what is captured and decoded goes to Kafka, masked.

One loop, as that of a sensor that judges alone (:mod:`sensor.service.loop`), without what comes
behind decoding, unless it is to judge alone while Kafka is away (:mod:`sensor.service.alone`).
Another thread sends, and has a spool for then; another process tells people and the health topic
how it goes, as it does for every sensor.
"""

import contextlib
import importlib
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final

import msgspec
import numpy as np

from sensor.alerts.alert import Alert
from sensor.alerts.notice import Notice
from sensor.alerts.vitals import Vitals
from sensor.base.database import DatabaseError
from sensor.base.sentences import Sentence, sentence
from sensor.base.units import SECOND
from sensor.capture.afpacket import AT_ONCE
from sensor.capture.block import Block
from sensor.cluster.forwarder import Forwarder, read_key
from sensor.cluster.outbound import Outbound
from sensor.decode.decoder import Decoder
from sensor.decode.segment import Outcome
from sensor.evidence.store import Store
from sensor.service import privileges, systemd
from sensor.service.alone import Alone
from sensor.service.announcer import Announcer
from sensor.service.delivery import Delivery
from sensor.service.exemptions import Exemptions
from sensor.service.line import TURN, Line
from sensor.service.live import PATIENCE, check
from sensor.service.loop import QUIET
from sensor.service.messages import Counters
from sensor.service.metrics import Collector, serve
from sensor.service.rehearsal import compile_kernels, one_syn
from sensor.service.signals import ENDING, collect_signals, obey
from sensor.service.taps import Taps
from sensor.settings import SINKS, Settings, state_folder
from sensor.sinks.kafka.connection import Connection, named
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from sensor.state.lock import StateLock

__all__ = ["Forwarding", "open_forwarding"]

_WORD: Final = 0.5
"""Seconds between words on how far this sensor is, and without a frame after which time passes by
the wall clock; a third of ``cluster.patience`` where that is less, or others would go on without
it."""
_GATHER: Final = 0.05
"""Seconds that packets gather in the ring before they are read, for what one block costs whatever
is in it; nobody waits for them sooner. With less than ``_ROOMY`` MB of ring so much less."""
_ROOMY: Final = 64
_FLUSH_TO_DISK: Final = 5.0
"""The same where they go to disk: nobody waits for them."""
_LATER: Final = ("kafka.producer", "kafka.admin", "encodings.idna")
"""Modules that are first needed once privileges are gone."""


class _NoStreams:
    """What a meter of losses asks: gaps in streams are seen by those who correlate."""

    def counters(self) -> dict[str, dict[str, int]]:
        return {"connections": {"bytes_read": 0, "bytes_missed": 0}}


def _compile(judges: bool) -> None:
    """Have the kernels compiled: later, modules and cache may not be readable."""
    if judges:
        compile_kernels()
    settings, block = Settings(), one_syn()
    segments = Decoder(settings.ports, settings.duplicate_window, True).decode(block)
    forwarder = Forwarder(settings, "none", 1, lambda partition, message: None)
    forwarder.add(segments, block.data, 0, "")
    forwarder.end()


def open_forwarding(
    settings: Settings,
    interfaces: Sequence[str],
    tell: Callable[[Alert | Notice], None],
    bpf: str | None = None,
    reload: Callable[[], Settings | None] = lambda: None,
    report: Callable[[Counters], None] = lambda _: None,
    record: str | None = None,
) -> "Forwarding":
    """Open everything; packets come in from now on, and :meth:`Forwarding.run` may be called.

    See ``open_live``, whose arguments these are; raises the same, and ConnectionSettingsError.
    """
    files, at_end = StateFolder(state_folder(settings)), ExitStack()
    # 1. What cannot be is found out before anything is on disk; then the folder is ours alone.
    check(settings, interfaces, bpf)
    connection = Connection(named(settings.kafka))
    key = read_key(settings)
    for module in _LATER:
        importlib.import_module(module)
    at_end.callback(StateLock(files.path, "port25 live").release)
    # 2. Fork the process that tells people, while this one is small and has no threads.
    delivery = Delivery(settings, files.path, tell)
    at_end.callback(delivery.stop, PATIENCE)
    announcer = Announcer(tell, report, delivery)
    _compile(settings.cluster.alone)
    # 3. The spool, the rings, the metrics.
    files.evidence.mkdir(parents=True, exist_ok=True)
    journal = Journal(files.journal)  # a page over this folder has packets to give, and few alerts
    at_end.callback(journal.close)
    outbound = Outbound(
        connection, settings, files.spool, lambda said: announcer.notify("cluster", said)
    )
    evidence = settings.evidence
    store = Store(files.evidence, evidence.max_megabytes * 1_000_000, evidence.max_hours)
    taps = Taps(settings, interfaces, bpf, None, record, announcer.notify)
    at_end.callback(taps.close)
    at_end.callback(store.close)
    sensor = connection.settings.sensor
    exemptions, alone = Exemptions(files.path, settings), None
    if settings.cluster.alone:
        alone = Alone(settings, sensor, journal, announcer, exemptions)
        alone.begin()
    loop = Forwarding(
        exemptions, sensor, key, taps, outbound, store, journal, announcer, alone, reload, at_end
    )  # fmt: skip
    if settings.live.metrics:
        at_end.callback(serve(settings.live.metrics, Collector(loop.counters)))
    # 4. No privilege is needed any more; the folder belongs to whom all these run as.
    privileges.give_away(files.path, settings.live.user)
    privileges.drop_privileges(settings.live.user)
    delivery.begin()
    outbound.start()
    return loop


class Forwarding:
    """All that is open, and what is done with it from second to second."""

    def __init__(
        self,
        exemptions: Exemptions,
        sensor: str,
        key: np.uint64,
        taps: Taps,
        outbound: Outbound,
        store: Store,
        journal: Journal,
        announcer: Announcer,
        alone: Alone | None,
        reload: Callable[[], Settings | None],
        at_end: ExitStack,
    ) -> None:
        """``key``: of local parts; ``alone`` judges while Kafka is away; ``at_end`` closes what is
        open.
        """
        self._exemptions = exemptions
        self._sensor = sensor
        self._key = key
        self._line = Line(taps, _NoStreams(), announcer)
        self._outbound = outbound
        self._store = store
        self._journal = journal
        self._announcer = announcer
        self._alone = alone
        self._reload = reload
        self._at_end = at_end
        self._before: dict[str, int] = {}
        settings = self._settings
        self._decoder = Decoder(settings.ports, settings.duplicate_window, settings.reads_dns)
        self._newest = 0
        self._link = ""
        self._begin()

    @property
    def _settings(self) -> Settings:
        return self._exemptions.settings

    def _begin(self) -> None:
        """Another run, by the settings as they are now."""
        settings = self._settings
        self._word = min(_WORD, settings.cluster.patience / 3)
        self._gather = min(_GATHER, _GATHER * settings.live.ring / _ROOMY)
        self._decoder.set(settings.ports, settings.duplicate_window, settings.reads_dns)
        self._forwarder = Forwarder(
            settings, self._sensor, self._outbound.partitions, self._outbound.send, self._key, True
        )

    def _end(self) -> None:
        """This run is over; it counts on."""
        self._forwarder.end(self._link)
        self._before = self._forwarded()

    def run(self) -> str:
        """Until SIGTERM or SIGINT, or until it must begin anew: then, why.

        Raises CaptureError when an interface goes away.
        """
        got = collect_signals()
        systemd.notify("READY=1")
        now = last_packet_at = second = tens = time.monotonic()
        watchdog = systemd.Watchdog(now)
        self._line.look_at_cables()
        try:
            while not got & ENDING and not self._outbound.fault:
                last_packet_at = self._read(last_packet_at)
                now = time.monotonic()
                word = _FLUSH_TO_DISK if self._outbound.spools else self._word
                self._forwarder.speak(now, word, self._link)
                if now - second >= 1:
                    self._every_second(now - second)
                    second = now
                if now - tens >= 10:
                    tens = now
                    self._sample()
                    self._line.look_at_cables()
                watchdog.feed(now)
                obey(got, self.counters, self._read_settings)
            return self._outbound.fault
        finally:
            self._stop()

    def _read(self, last_packet_at: float) -> float:
        """Read what comes, or let time pass; gives when the last packet came."""
        if self._line.taps.waiting < AT_ONCE:
            time.sleep(self._gather)
        now, clock = time.monotonic(), time.time_ns()
        for block in self._line.taps.read(0.1):
            self._on_block(block)
            last_packet_at = time.monotonic()
            if last_packet_at - now > TURN:
                break
        if now - last_packet_at > self._word:  # what is older than this turn's begin has been read
            self._forwarder.advance(clock - int(self._word * SECOND))
        if self._alone is not None and now - last_packet_at > QUIET:
            self._alone.pass_time(clock - int(QUIET * SECOND))
        return last_packet_at

    def _on_block(self, block: Block) -> None:
        segments = self._decoder.decode(block)
        self._newest = max(self._newest, int(block.frames["ts"].max()))
        self._link = block.source
        self._forwarder.add(segments, block.data, self._newest, self._link)
        fault = self._store.fault
        self._store.keep(block, segments, payload=False)
        if self._store.fault and not fault:
            said = sentence("evidence.packets", error=self._store.fault)
            self._announcer.notify("evidence", said)
        if self._alone is not None:
            self._alone.hear(block, segments, self._decoder.counts)

    def _every_second(self, seconds: float) -> None:
        self._line.taps.count(seconds)
        self._outbound.say()
        if self._alone is not None:
            self._alone.turn(self._outbound.spools, self._outbound.away)
            self._alone.every_second()
        self._announcer.report(self.counters)

    def _sample(self) -> None:
        """For the page over this folder: that the sensor runs, and what it loses."""
        span = self._line.measure(self._settings.live.loss_alarm)
        how = None
        if self._alone is not None:
            how = self._alone.sample(span.seconds, span.received, span.dropped, span.loss)
            self._alone.strain()
        if self._newest:
            with contextlib.suppress(DatabaseError):  # a full disk; the next comes
                self._journal.add_sample(how or Vitals(
                    ts=self._newest, seconds=round(span.seconds, 3), packets=span.received,
                    dropped=span.dropped, syns=0, answered=0, loss=span.loss, hosts=0,
                    alerts_open=0,
                ))  # fmt: skip

    def _read_settings(self) -> None:
        """Settings as they are on disk now: another run; some stay until the next start."""
        new, old = self._reload(), self._settings
        if new is None:
            self._announcer.notify("settings", Sentence("settings.refused"))
            return
        fixed = ["limits", "live", "evidence", "cluster", *SINKS]
        later = [name for name in fixed if getattr(new, name) != getattr(old, name)]
        kept: dict[str, Any] = {name: getattr(old, name) for name in fixed}
        self._exemptions.settings = msgspec.structs.replace(new, **kept)
        self._end()
        self._begin()
        if self._alone is not None:
            self._alone.reload()
        self._line.reload(self._settings, later)

    def _stop(self) -> None:
        """Read what has come, send it or leave it on disk, close."""
        systemd.notify("STOPPING=1")
        for block in self._line.last_blocks():
            self._on_block(block)
        self._line.measure(self._settings.live.loss_alarm)  # what comes from here on is nobody's
        self._forwarder.end(self._link)
        if self._alone is not None:
            self._alone.stop()
        if left := self._outbound.stop(PATIENCE):
            self._announcer.notify("cluster", sentence("cluster.left", batches=left))
        self._outbound.say()
        self._announcer.report(self.counters)
        self._at_end.close()

    def _forwarded(self) -> dict[str, int]:
        """What forwarders counted, in all runs."""
        forwarder = self._forwarder
        now = {
            "segments_forwarded": forwarder.segments,
            "batches_forwarded": forwarder.batches,
            "bytes_forwarded": forwarder.bytes,
            "dns_withheld": forwarder.withheld,
        }
        return {name: value + self._before.get(name, 0) for name, value in now.items()}

    def counters(self) -> Counters:
        """Everything there is to count, by stage; the kernel's counts as of the last second."""
        frames = self._decoder.counts
        return {
            **(self._alone.counters() if self._alone is not None else {}),
            "frames": {o.name.lower(): int(frames[o]) for o in Outcome},
            **self._line.counters(),
            "cluster": self._forwarded() | self._outbound.counters(),
            "disk": dict(self._store.counters),
            "uptime": {"packet_time_seconds": self._newest / 1e9},
        }
