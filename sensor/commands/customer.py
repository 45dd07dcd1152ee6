"""``port25 customer``: the name behind a pseudonym, and the pseudonym of a name."""

import argparse
import re
from typing import Final

from sensor.commands.options import (
    customer_from,
    person,
    settings_argument,
    settings_from,
    state_argument,
    state_from,
)
from sensor.commands.terminal import Stop, printable

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "the name behind a customer's pseudonym (the look is logged), and back"
PLACE: Final = 95


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    parser.add_argument(
        "customer",
        metavar="CUSTOMER",
        help="c-..., as alerts have it; or a name, as leases have it",
    )


def run(options: argparse.Namespace) -> int:
    """Print it; a name once the look is in the audit book."""
    from sensor.base.database import DatabaseError
    from sensor.console.naming import told_name
    from sensor.console.view import View

    settings = settings_from(options.config)
    if not re.fullmatch("c-[0-9a-f]{24}", options.customer):
        print(customer_from(options.customer, settings))
        return 0
    try:
        view = View(state_from(options, settings))
        is_seen, name = told_name(view, person(), options.customer)
        view.close()
    except DatabaseError as error:
        raise Stop(1, str(error)) from None
    if not is_seen:
        raise Stop(1, f"{printable(options.customer)}: no alert is about a customer of this name")
    if not name:
        raise Stop(1, f"{options.customer}: no name is kept (customers.names)")
    print(printable(name))
    return 0
