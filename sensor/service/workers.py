"""Several processes on the same interfaces, and the parent that speaks for them.

The kernel gives each packet to one of them by its subscriber (``bpf.steering``), so that all that
is known of a subscriber is one process's; only whether the mirror shows replies at all is judged
together, in shared memory. What a subscriber's alerts may lack is what only other subscribers tell:
the *name* of a server that they had looked up, that they use it as well, that they met him there.

The parent captures nothing. It prints what the workers tell, adds up their counters, passes signals
on, and ends them all when one ends.
"""

import mmap
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sensor.alerts.alert import Alert
from sensor.alerts.notice import Notice
from sensor.service import privileges, systemd
from sensor.service.delivery import Delivery
from sensor.service.live import PATIENCE, check, compile_all, open_live
from sensor.service.messages import (
    Counted,
    Counters,
    Failed,
    Noticed,
    Raised,
    ToParent,
    decode_to_parent,
    encode,
)
from sensor.service.metrics import Collector, MetricsError, serve
from sensor.service.signals import collect_signals, print_counters
from sensor.service.taps import Worker
from sensor.service.versions import refuse_newer
from sensor.settings import Settings, state_folder
from sensor.state.folder import StateFolder
from sensor.state.lock import StateLock

__all__ = ["run_workers"]

_LARGEST_NOT_ADDED: Final = ("loss_ratio", "snapshot_time_seconds", "packet_time_seconds")
_PATIENCE: Final = 10.0
"""Seconds without a word from a worker after which the watchdog is no longer fed."""

Tell = Callable[[Alert | Notice], None]


def add_up(all_counters: Sequence[Counters]) -> Counters:
    """The counters of all workers together."""
    total: Counters = {}
    for counters in all_counters:
        for stage, values in counters.items():
            mine = total.setdefault(stage, {})
            for name, value in values.items():
                before = mine.get(name, 0)
                mine[name] = max(before, value) if name in _LARGEST_NOT_ADDED else before + value
    return total


class _Child:
    """One worker as its parent sees it."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self.pipe = pipe
        self.counters: Counters = {}
        self.heard = 0.0
        self._rest = b""

    def lines(self) -> list[bytes] | None:
        """What it said; None when it has ended."""
        said = os.read(self.pipe, 1 << 16)
        if not said:
            return None
        *whole, self._rest = (self._rest + said).split(b"\n")
        return whole


def _work(pipe: int, worker: Worker, settings: Settings, *common: Any) -> int:
    """The life of a worker; its exit code. What cannot be opened is one line to the parent.

    ``common`` is what ``run_workers`` was given: interfaces, bpf, reload.
    """
    interfaces, bpf, reload = common

    def say(what: ToParent) -> None:
        text = memoryview(encode(what) + b"\n")
        while text:
            text = text[os.write(pipe, text) :]

    def tell(what: Alert | Notice) -> None:
        say(Raised(what) if isinstance(what, Alert) else Noticed(what))

    def report(counters: Counters) -> None:
        say(Counted(counters))

    try:
        live = open_live(settings, interfaces, tell, bpf, reload, report, worker=worker)
        report(live.counters())
        live.run()
    except Exception as error:
        say(Failed(str(error.args[0] if len(error.args) == 1 else error)))
        return 1
    return 0


def run_workers(
    settings: Settings,
    interfaces: Sequence[str],
    tell: Tell,
    bpf: str | None,
    reload: Callable[[], Settings | None],
    report: Callable[[Counters], None],
) -> int:
    """Until SIGTERM or SIGINT, or until a worker ends; the exit code."""
    check(settings, interfaces, bpf)
    folder = state_folder(settings)
    lock = StateLock(folder, "port25 live")
    refuse_newer(StateFolder(folder))
    delivery = Delivery(settings, folder, tell)
    compile_all()
    count = settings.live.workers
    shown: NDArray[np.int64] = np.frombuffer(mmap.mmap(-1, count * 32), np.int64).reshape(count, 4)
    children: list[_Child] = []
    for number in range(count):
        worker = Worker(number, count, os.getpid() & 0xFFFF, shown)
        receive, send = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                delivery.leave()
                for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):
                    os.environ.pop(name, None)
                code = _work(send, worker, settings, interfaces, bpf, reload)
            finally:
                os._exit(code)
        os.close(send)
        children.append(_Child(pid, receive))
    code = _Parent(settings, children, tell, report, delivery, reload).run()
    lock.release()
    return code


class _Parent:
    def __init__(
        self,
        settings: Settings,
        children: list[_Child],
        tell: Tell,
        report: Callable[[Counters], None],
        delivery: Delivery,
        reload: Callable[[], Settings | None],
    ) -> None:
        self._delivery = delivery
        self._reload = reload
        self._children = children
        self._tell = tell
        self._report = report
        self._faults: list[str] = []
        self._metrics_at = settings.live.metrics
        self._user = settings.live.user
        self._folder = state_folder(settings)

    def _counters(self) -> Counters:
        return add_up([child.counters for child in self._children]) | self._delivery.counters

    def run(self) -> int:
        wanted = collect_signals()
        stopping = False
        ready = False
        stop_metrics = None
        shown = time.monotonic()
        watchdog = systemd.Watchdog(shown)
        alive = list(self._children)
        while alive:
            for child in self._said(alive):
                alive.remove(child)
                if not stopping:
                    wanted.add(signal.SIGTERM)
            now = time.monotonic()
            if not ready and all(child.counters for child in self._children):
                ready = True
                try:
                    if self._metrics_at:
                        stop_metrics = serve(self._metrics_at, Collector(self._counters))
                except MetricsError as fault:
                    self._faults.append(str(fault))
                    wanted.add(signal.SIGTERM)
                privileges.give_away(self._folder, self._user)
                privileges.drop_privileges(self._user)
                self._delivery.begin()
                systemd.notify("READY=1")
            while wanted:
                got = wanted.pop()
                stopping |= got in (signal.SIGTERM, signal.SIGINT)
                if stopping:
                    systemd.notify("STOPPING=1")
                if got == signal.SIGUSR1:
                    print_counters(self._counters())
                    continue
                for child in alive:
                    os.kill(child.pid, got)
                if got == signal.SIGHUP and (settings := self._reload()) is not None:
                    self._delivery.reload(settings)
            quietest = min(child.heard for child in self._children)
            if now - quietest < _PATIENCE:
                watchdog.feed(now)
            if ready and now - shown >= 1:
                self._report(self._counters())
                self._delivery.turn(self._counters)
                shown = now
        codes = [os.waitpid(child.pid, 0)[1] for child in self._children]
        self._delivery.stop(PATIENCE)
        if stop_metrics is not None:
            stop_metrics()
        for said in dict.fromkeys(self._faults):
            sys.stderr.write(f"port25: {said}\n")
        return 1 if any(codes) or self._faults else 0

    def _said(self, alive: list[_Child]) -> list[_Child]:
        """Hear what workers say within a tenth of a second; those that have ended."""
        by_pipe = {child.pipe: child for child in alive}
        ended = []
        for pipe in select.select(list(by_pipe), [], [], 0.1)[0]:
            child = by_pipe[pipe]
            lines = child.lines()
            if lines is None:
                ended.append(child)
                continue
            for line in lines:
                child.heard = time.monotonic()
                match decode_to_parent(line):
                    case Counted(counters):
                        child.counters = counters
                    case Failed(reason):
                        self._faults.append(reason)
                    case Noticed(one):
                        self._tell(one)
                        self._delivery.notice(one)
                    case Raised(alert):
                        self._tell(alert)
        return ended
