"""``port25 release``: end a block."""

import argparse
import ipaddress
import time
from typing import TYPE_CHECKING, Final

from sensor.commands.options import (
    ledger_from,
    person,
    person_arguments,
    settings_argument,
    state_argument,
)
from sensor.commands.terminal import Stop, printable

if TYPE_CHECKING:
    from sensor.blocking.decision import Decision
    from sensor.blocking.ledger import Ledger

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "end a block"
PLACE: Final = 70


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    person_arguments(parser)
    parser.add_argument(
        "host", nargs="?", metavar="HOST", help="an address of the host, or a customer"
    )
    parser.add_argument("--all", action="store_true", help="every block in force")


def run(options: argparse.Namespace) -> int:
    """End the blocks of one host, or all."""
    from sensor.base.database import DatabaseError

    try:
        return _release(ledger_from(options), options.by or person(), options)
    except DatabaseError as error:
        raise Stop(1, str(error)) from None


def _release(ledger: "Ledger", by: str, options: argparse.Namespace) -> int:
    from sensor.state.audit import note

    if options.all == bool(options.host):
        raise Stop(2, "release: name a HOST, or say --all")
    try:
        address = ipaddress.ip_address(options.host.partition("/")[0]) if options.host else None
    except ValueError:
        address = None  # an address with ports: as alerts name it

    def which(one: "Decision") -> bool:
        if options.all or options.host in (one.host, one.customer):
            return True
        return address is not None and address in ipaddress.ip_network(one.source)

    said = options.reason if options.host else f"all: {options.reason}"
    note(ledger.db.path.parent, by, "release", options.host or "", detail=said)
    ended = ledger.release(which, time.time_ns(), options.reason, by)
    for one in ended:
        print(f"released {printable(one.host)}{'' if one.enforced else ' (a dry run)'}")
    if not ended and not options.all and ledger.shared:
        try:
            one = ledger.tell(options.host, time.time_ns(), options.reason, by)
        except ValueError:
            pass
        else:
            print(f"released {printable(one.host)}: not blocked here; other sensors are told")
            return 0
    if not ended:
        raise Stop(1, f"no block of {options.host or 'anybody'} is in force")
    return 0
