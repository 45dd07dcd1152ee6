"""``port25 controller``: carry out Kafka's block list, with nftables here or by RADIUS."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sensor.base.terminal import complain
from sensor.commands.options import settings_argument, settings_from
from sensor.commands.terminal import Stop

if TYPE_CHECKING:
    from sensor.blocking.coa.enforcing import Coa
    from sensor.settings import Settings

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "carry out Kafka's block list with nftables, or by RADIUS"
PLACE: Final = 50


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument("--group", help="consumer group (port25-controller-HOSTNAME)")
    parser.add_argument("--dry-run", action="store_true", help="print what nftables would be told")
    parser.add_argument(
        "--coa", action="store_true", help="ask NASes by RADIUS CoA or Disconnect (blocking.coa)"
    )
    parser.add_argument(
        "--state",
        metavar="DIR",
        help="a sensor's folder, whose page is told what is in force, and what is refused",
    )


def run(options: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT. The rules stay when it ends: they time out."""
    from sensor.blocking.controller import Controller
    from sensor.service import systemd
    from sensor.service.controlling import carry_out, count, load, shape, show
    from sensor.service.reporting import Reporter
    from sensor.service.signals import collect_signals
    from sensor.settings import bounds_of
    from sensor.sinks.kafka.connection import Connection, ConnectionSettingsError

    settings = settings_from(options.config)
    if not settings.kafka.bootstrap:
        raise Stop(2, "kafka.bootstrap: missing; the controller reads the block list from Kafka")
    try:
        connection = Connection(settings.kafka)
    except ConnectionSettingsError as fault:
        raise Stop(2, str(fault)) from None
    if options.coa and options.dry_run:
        raise Stop(2, "--coa: not with --dry-run, which is nftables'")
    coa = _by_radius(settings) if options.coa else None
    controller = Controller(
        bounds_of(settings),
        settings.own_mail_servers,
        settings.blocking.max_blocks,
        show if options.dry_run else load,
        None if options.dry_run else shape,
        coa,
        None if options.dry_run else count,
    )
    what = "coa" if coa else "controller"
    group = options.group or f"port25-{what}-{os.uname().nodename}"
    wanted = collect_signals()
    systemd.notify("READY=1")
    work = (lambda now: False) if coa is None else _work(coa, options.state)
    if options.dry_run:
        carry_out(connection, controller, group, wanted, work)
        return 0
    name = settings.kafka.sensor or os.uname().nodename
    reporter = Reporter(connection, f"{name}-coa" if coa else name, options.state)
    carry_out(connection, controller, group, wanted, work, reporter.turn)
    reporter.close()
    return 0


def _by_radius(settings: "Settings") -> "Coa":
    from sensor.blocking.coa.enforcing import Coa
    from sensor.blocking.coa.settings import CoaSettingsError

    try:
        return Coa(settings.blocking.coa, complain)
    except CoaSettingsError as fault:
        raise Stop(2, str(fault)) from None
    except OSError as error:
        what = error.filename or "blocking.coa"
        raise Stop(1, f"{what}: {error.strerror}" if error.strerror else str(error)) from None


def _work(coa: "Coa", state: str | None) -> Callable[[int], bool]:
    """What goes on beside Kafka. What NASes refuse is left in a state folder, if one is named."""
    from sensor.blocking import feed_faults

    told: list[str] | None = None

    def work(now: int) -> bool:
        nonlocal told
        changed = coa.turn(now)
        if state and (changed or told is None):
            found = [f"{host}: {why}" for host, why in sorted(coa.refused.items())]
            if found != told:
                told = found
                try:
                    feed_faults.tell(Path(state), "coa", found, now)
                except OSError as error:
                    complain(f"coa: the page is not told what is refused: {error}")
        return changed

    return work
