"""``port25 controller``: carry out Kafka's block list with nftables on this machine."""

import argparse
import socket
from typing import Final

from sensor.commands.options import settings_argument, settings_from
from sensor.commands.terminal import Stop

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "carry out Kafka's block list with nftables"
PLACE: Final = 50


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument("--group", help="consumer group (port25-controller-HOSTNAME)")
    parser.add_argument("--dry-run", action="store_true", help="print what nftables would be told")


def run(options: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT. The rules stay when it ends: they time out."""
    from sensor.blocking.controller import Controller
    from sensor.service import systemd
    from sensor.service.controlling import carry_out, load, shape, show
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
    controller = Controller(
        bounds_of(settings),
        settings.own_mail_servers,
        settings.blocking.max_blocks,
        show if options.dry_run else load,
        None if options.dry_run else shape,
    )
    group = options.group or f"port25-controller-{socket.gethostname()}"
    wanted = collect_signals()
    systemd.notify("READY=1")
    carry_out(connection, controller, group, wanted)
    return 0
