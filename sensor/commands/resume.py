"""``port25 resume``: let blocking go on after it stopped itself."""

import argparse
import re
import time
from typing import Final

from sensor.commands.options import (
    ledger_from,
    person,
    person_arguments,
    settings_argument,
    state_argument,
)
from sensor.commands.terminal import Stop

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "let blocking go on after it stopped itself, here or elsewhere"
PLACE: Final = 80


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    person_arguments(parser)
    parser.add_argument(
        "--of", metavar="NAME", default="",
        help="whose: a sensor that decides by itself, or who decides for all (this folder's)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """A person says so, once."""
    from sensor.base.database import DatabaseError
    from sensor.blocking.decision import SENSOR
    from sensor.blocking.resuming import let_go_on
    from sensor.state.audit import note

    try:
        ledger = ledger_from(options)
        by, of = options.by or person(), options.of
        if of and not re.search(SENSOR, of):
            raise Stop(2, f"--of: {of!r} is no name")
        note(ledger.db.path.parent, by, "resume", detail=f"{of}: {options.reason}".lstrip(": "))
        if let_go_on(ledger, of, time.time_ns(), options.reason, by):
            print("blocking goes on")
            return 0
        if not of:
            more = "; --of NAME lets it go on elsewhere" if ledger.shared else ""
            raise Stop(1, f"blocking had not stopped{more}")
        if not ledger.shared:
            raise Stop(1, f"{of} cannot be told: this folder has nothing to do with Kafka")
    except DatabaseError as error:
        raise Stop(1, str(error)) from None
    print(f"{of} is told; if blocking had stopped there, it goes on")
    return 0
