"""``port25 resume``: let blocking go on after it stopped itself."""

import argparse
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

HELP: Final = "let blocking go on after it stopped itself"
PLACE: Final = 80


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    person_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """A person says so, once."""
    from sensor.base.database import DatabaseError
    from sensor.state.audit import note

    try:
        ledger = ledger_from(options)
        by = options.by or person()
        note(ledger.db.path.parent, by, "resume", detail=options.reason)
        if not ledger.resume(time.time_ns(), options.reason, by):
            raise Stop(1, "blocking had not stopped")
    except DatabaseError as error:
        raise Stop(1, str(error)) from None
    print("blocking goes on")
    return 0
