"""``port25 live``: the sensor on one or more interfaces."""

import argparse
import sys

import msgspec

from sensor.alerts.alert import Alert
from sensor.alerts.notice import Notice
from sensor.base.database import DatabaseError
from sensor.capture.block import CaptureError
from sensor.capture.bpf import FilterError
from sensor.commands import announce, complain, printable, settings_from
from sensor.service.live import Counters, Live
from sensor.service.metrics import MetricsError
from sensor.service.workers import run_workers
from sensor.settings import Settings
from sensor.sinks.connection import ConnectionSettingsError
from sensor.state.lock import StateInUseError

__all__ = ["run"]


class _Screen:
    """Lines above a status line, on a terminal; JSON lines elsewhere."""

    def __init__(self, lines: bool, status: bool) -> None:
        self._json = lines
        self._encoder = msgspec.json.Encoder()
        self._status = ""
        self._shown = status

    def tell(self, what: Alert | Notice) -> None:
        self._clear()
        if self._json:
            sys.stdout.buffer.write(self._encoder.encode(what) + b"\n")
            sys.stdout.buffer.flush()
        elif isinstance(what, Notice):
            print(f"{what.time[:19]}  {what.kind}: {printable(what.text)}", flush=True)
        else:
            why = "; ".join(line.reason for line in what.against)
            block = "block" if what.block_recommended else "watch"
            print(
                f"{what.time[:19]}  {what.state:<9} {what.severity:<8} {block}  {what.host}"
                f"  {what.score:+.1f}  {printable(why)}",
                flush=True,
            )
        self._draw()

    def report(self, counters: Counters) -> None:
        if self._shown:
            self._clear()
            capture = counters["capture"]
            self._status = (
                f"{capture['packets_per_second']:>9,.0f} packets/s"
                f"  {counters['hosts']['hosts']:,} hosts"
                f"  {counters['alerts']['alerts_open']:,} alerts open"
                f"  {capture['packets_dropped']:,} dropped  loss {capture['loss_ratio']:.2%}"
            )
            self._draw()

    def _clear(self) -> None:
        if self._status:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _draw(self) -> None:
        if self._status:
            print(self._status, end="", file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT; 1 when it cannot capture or an interface goes away."""
    settings = settings_from(options.config)
    if settings is None:
        return 2
    announce()
    settings = _with_options(settings, options)
    screen = _Screen(options.json or not sys.stdout.isatty(), sys.stderr.isatty())

    def reload() -> Settings | None:
        again = settings_from(options.config)
        return None if again is None else _with_options(again, options)

    try:
        common = (settings, options.interfaces, screen.tell, options.bpf, reload, screen.report)
        if settings.live.workers > 1:
            if options.record:
                complain("-w: several workers (live.workers) cannot write one file")
                return 2
            return run_workers(*common)
        Live(*common, options.record).run()
    except CaptureError as fault:
        complain(str(fault))
        return 1
    except FilterError as fault:
        complain(f"--bpf: {fault}" if options.bpf else str(fault))
        return 2
    except ConnectionSettingsError as fault:
        complain(str(fault))
        return 2
    except (DatabaseError, MetricsError, LookupError, StateInUseError) as fault:
        complain(str(fault.args[0]))
        return 1
    except PermissionError:
        raise
    except OSError as error:
        complain(f"{error.filename or 'live'}: {error.strerror or error}")
        return 1
    return 0


def _with_options(settings: Settings, options: argparse.Namespace) -> Settings:
    """The command line has the last word."""
    changes = {
        name: value
        for name in ("state", "user", "metrics")
        if (value := getattr(options, name)) is not None
    }
    return msgspec.structs.replace(settings, live=msgspec.structs.replace(settings.live, **changes))
