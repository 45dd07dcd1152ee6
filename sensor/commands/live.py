"""``port25 live``: the sensor on one or more interfaces."""

import argparse
import sys
from typing import TYPE_CHECKING, Final

from sensor.commands.options import settings_argument, settings_from, state_argument
from sensor.commands.terminal import Stop, announce, complain

if TYPE_CHECKING:
    from collections.abc import Callable

    from sensor.settings import Settings
    from sensor.sinks.screen import Screen

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "watch interfaces; print the alerts as they come"
PLACE: Final = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument(
        "-i", dest="interfaces", action="append", required=True, metavar="IFACE",
        help="interface; several may be named",
    )  # fmt: skip
    parser.add_argument(
        "-f", "--bpf", metavar="EXPRESSION", help="filter as in tcpdump, in place of the sensor's"
    )
    parser.add_argument(
        "-w", dest="record", metavar="FILE", help="write all that is captured, as tcpdump does"
    )
    parser.add_argument(
        "--forward",
        action="store_true",
        help="send segments to Kafka, for port25 correlate, which judges"
        ' (cluster.mode = "forward")',
    )
    parser.add_argument("--json", action="store_true", help="JSON lines, also on a terminal")
    state_argument(parser, "folder of journal, snapshot and evidence")
    parser.add_argument("--user", help="whom root becomes once the ring is open (port25)")
    parser.add_argument("--metrics", metavar="ADDRESS:PORT", help="for Prometheus; '' for none")


def run(options: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT; 1 when it cannot capture or an interface goes away."""
    from sensor.base.database import DatabaseError
    from sensor.capture.block import CaptureError
    from sensor.capture.bpf import FilterError
    from sensor.leases.file import LeaseFileError
    from sensor.leases.settings import LeaseSettingsError
    from sensor.service.live import open_live
    from sensor.service.metrics import MetricsError
    from sensor.service.workers import run_workers
    from sensor.sinks.screen import Screen
    from sensor.sinks.sink import SinkSettingsError
    from sensor.state.lock import StateInUseError

    settings = settings_from(options.config)
    announce()
    settings = _with_options(settings, options)
    screen = Screen(
        options.json or not sys.stdout.isatty(), sys.stderr.isatty(), _at_work(settings, options)
    )

    def reload() -> "Settings | None":
        try:
            return _with_options(settings_from(options.config), options)
        except Stop as stop:  # the old ones stay in force
            for mistake in stop.lines:
                complain(mistake)
            return None

    try:
        if settings.cluster.mode == "forward":
            return _forward(settings, options, screen, reload)
        common = (settings, options.interfaces, screen.tell, options.bpf, reload, screen.report)
        if settings.live.workers > 1:
            if options.record:
                raise Stop(2, "-w: several workers (live.workers) cannot write one file")
            return run_workers(*common)
        open_live(*common, options.record).run()
    except CaptureError as fault:
        raise Stop(1, str(fault)) from None
    except FilterError as fault:
        raise Stop(2, f"--bpf: {fault}" if options.bpf else str(fault)) from None
    except (LeaseSettingsError, SinkSettingsError) as fault:
        raise Stop(2, str(fault)) from None
    except (DatabaseError, LeaseFileError, MetricsError, LookupError, StateInUseError) as fault:
        raise Stop(1, str(fault.args[0])) from None
    except PermissionError:
        raise
    except OSError as error:
        raise Stop(1, f"{error.filename or 'live'}: {error.strerror or error}") from None
    return 0


def _at_work(settings: "Settings", options: argparse.Namespace) -> str:
    """What a sensor says once packets can come."""
    from sensor.settings import state_folder

    what = f"watching {', '.join(options.interfaces)}"
    what += f" for {options.bpf or 'port ' + ', '.join(map(str, settings.ports))}"
    if settings.cluster.mode == "forward":
        what += f"; segments go to Kafka at {', '.join(settings.kafka.bootstrap)}"
        after = settings.cluster.alone_after
        return what + f"; judges alone after {after:.0f} s without" * settings.cluster.alone
    return f"{what}; state in {state_folder(settings)}; blocking is {settings.blocking.mode}"


def _forward(
    settings: "Settings",
    options: argparse.Namespace,
    screen: "Screen",
    reload: "Callable[[], Settings | None]",
) -> int:
    """As one of many sensors."""
    from sensor.service.forwarding import open_forwarding

    common = (settings, options.interfaces, screen.tell, options.bpf, reload, screen.report)
    if fault := open_forwarding(*common, options.record).run():
        raise Stop(1, fault)
    return 0


def _with_options(settings: "Settings", options: argparse.Namespace) -> "Settings":
    """The command line has the last word."""
    import msgspec

    from sensor.settings import forward_faults, idle_settings

    changes = {
        name: value
        for name in ("state", "user", "metrics")
        if (value := getattr(options, name)) is not None
    }
    if options.forward:
        cluster = msgspec.structs.replace(settings.cluster, mode="forward")
        settings = msgspec.structs.replace(settings, cluster=cluster)
        for fault in forward_faults(settings):
            raise Stop(2, fault)
    for idle in idle_settings(settings):
        complain(idle)
    return msgspec.structs.replace(settings, live=msgspec.structs.replace(settings.live, **changes))
