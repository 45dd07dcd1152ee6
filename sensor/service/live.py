"""A live sensor is opened here, step by step; the order of the steps matters."""

import io
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Final

import numpy as np

from sensor.alerts.alert import Alert
from sensor.alerts.notice import Notice
from sensor.base.kernel import table
from sensor.blocking.feed_faults import FaultReader
from sensor.capture.block import FRAME
from sensor.capture.bpf import ETHERNET
from sensor.capture.ring import index_ring
from sensor.evidence.store import Writer
from sensor.hosts.subscribers import subscriber_key
from sensor.service import privileges
from sensor.service.announcer import Announcer
from sensor.service.delivery import Delivery
from sensor.service.exemptions import Exemptions
from sensor.service.leases import LeaseSources, prepare_sources
from sensor.service.loop import Loop
from sensor.service.messages import Counters
from sensor.service.metrics import Collector, free, serve
from sensor.service.recorder import Recorder
from sensor.service.rehearsal import compile_kernels
from sensor.service.snapshots import Snapshots
from sensor.service.taps import Taps, Worker, check_interfaces
from sensor.service.versions import refuse_newer
from sensor.settings import Settings, state_folder, subscribers_of
from sensor.state.folder import StateFolder
from sensor.state.lock import StateLock

__all__ = ["PATIENCE", "check", "compile_all", "open_live"]

PATIENCE: Final = 10.0
"""Seconds that Kafka is waited for at the end."""


@cache
def compile_all() -> None:
    """The same as ``compile_kernels``, for what a live interface needs beside the pipeline."""
    compile_kernels()
    nothing, frames = np.zeros(64, np.uint8), table(0, FRAME)
    index_ring(nothing, 0, frames, ETHERNET)
    Writer(io.BytesIO()).write(nothing, table(1, FRAME), np.zeros(1, np.int64))
    subscribers = subscribers_of(Settings())
    subscriber_key(subscribers.classes[0], np.uint64(0), np.uint64(0), 0)


def check(settings: Settings, interfaces: Sequence[str], bpf: str | None) -> None:
    """Find out what cannot be before anything is made on disk. Raises as ``open_live`` does."""
    check_interfaces(settings, interfaces, bpf)
    if os.geteuid() == 0:
        privileges.account(settings.live.user)
    if settings.live.metrics:
        free(settings.live.metrics)


def open_live(
    settings: Settings,
    interfaces: Sequence[str],
    tell: Callable[[Alert | Notice], None],
    bpf: str | None = None,
    reload: Callable[[], Settings | None] = lambda: None,
    report: Callable[[Counters], None] = lambda _: None,
    record: str | None = None,
    worker: Worker | None = None,
) -> Loop:
    """Open everything; packets come in from now on, and the loop may be run.

    ``tell`` is given alerts and notices, ``report`` every second the counters. ``reload`` reads the
    settings again, None when they are no good. All that is captured goes to the file ``record`` as
    well. A ``worker`` is one of several processes: it has a folder of its own, and leaves metrics,
    and passing alerts on, to its parent.

    Raises CaptureError, FilterError, DatabaseError, MetricsError, SnapshotError, LeaseFileError,
    LookupError or OSError, before anything is captured.
    """
    folder, at_end = StateFolder(state_folder(settings)), ExitStack()
    files = folder.worker(worker.number, worker.of) if worker else folder
    # 1. What cannot be is found out before anything is on disk; then the folder is ours alone.
    if worker is None:
        check(settings, interfaces, bpf)
        at_end.callback(StateLock(folder.path, "port25 live").release)
        refuse_newer(folder)
    files.path.mkdir(parents=True, exist_ok=True)
    # 2. Fork the processes that hear of leases and the one that passes alerts on, while this one is
    # small and has no threads.
    sources = (
        [] if worker else prepare_sources(settings.customers, settings.limits.max_leases, files)
    )
    leases = LeaseSources(settings, files, sources)
    at_end.callback(leases.stop)
    delivery = None
    if worker is None:
        delivery = Delivery(settings, files.path, tell)
        at_end.callback(delivery.stop, PATIENCE)
    announcer = Announcer(tell, report, delivery)
    # 3. Compile: later, without privileges, modules and cache may not be readable.
    compile_all()
    # 4. Journal and tables; go on with what was known.
    recorder = Recorder(files, settings, announcer.notify, settings.live.usage)
    at_end.callback(recorder.close)
    pipeline = recorder.new_pipeline()
    snapshots = Snapshots(files, pipeline, recorder, announcer.notify, leases.positions)
    snapshots.restore()
    leases.attach(pipeline, announcer.notify)
    recorder.begin_samples(pipeline)
    # 5. The rings need root, or a capability. From here on packets are waiting.
    taps = Taps(settings, interfaces, bpf, worker, record, announcer.notify)
    at_end.callback(taps.close)
    exemptions, feeds = Exemptions(folder.path, settings), FaultReader(folder.path)
    loop = Loop(
        pipeline, recorder, snapshots, taps, announcer, exemptions, feeds, leases, reload, worker,
        at_end,
    )  # fmt: skip
    # 6. The port of the metrics may be a privileged one.
    if worker is None and settings.live.metrics:
        at_end.callback(serve(settings.live.metrics, Collector(loop.counters)))
    # 7. No privilege is needed any more.
    privileges.give_away(files.path, settings.live.user)
    privileges.drop_privileges(settings.live.user)
    # 8. The folder is there and belongs to whom all these processes run as.
    leases.begin()
    if delivery is not None:
        delivery.begin()
    return loop
