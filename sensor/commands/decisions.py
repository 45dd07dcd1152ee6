"""``port25 decisions``: every decision to block, and why."""

import argparse
import sys
import time
from typing import TYPE_CHECKING, Final

from sensor.commands.options import ledger_from, settings_argument, state_argument
from sensor.commands.terminal import Stop, printable

if TYPE_CHECKING:
    from sensor.blocking.ledger import Ledger

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "every decision to block, and why"
PLACE: Final = 60


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    parser.add_argument("--host", help="only of this host, as alerts name it, or customer")
    parser.add_argument("--json", action="store_true", help="JSON lines, also on a terminal")


def run(options: argparse.Namespace) -> int:
    """The audit log, oldest first."""
    from sensor.base.database import DatabaseError

    try:
        return _show(ledger_from(options, read_only=True), options)
    except DatabaseError as error:
        raise Stop(1, str(error)) from None


def _show(ledger: "Ledger", options: argparse.Namespace) -> int:
    import msgspec
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = options.json or not sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("time (UTC)", "action", "host", "until", "by", "why"):
        table.add_column(title, no_wrap=title != "why")
    after = 0
    while page := ledger.page(after):
        after = page[-1].number
        for _, one in page:
            if options.host and options.host not in (one.host, one.customer):
                continue
            if lines:
                sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")
                continue
            action = one.action if one.enforced else f"({one.action})"
            until = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one.expires // 10**9))
            cells = one.time[:19].replace("T", " "), action, one.host, until if one.expires else ""
            texts = (*cells, one.by, "; ".join(one.reasons))
            table.add_row(*(Text(printable(text)) for text in texts))
    if not lines:
        Console().print(table)
        Console().print(Text("in brackets: a dry run, nothing was blocked"))
    return 0
