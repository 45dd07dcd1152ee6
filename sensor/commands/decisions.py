"""What persons do with blocks: ``port25 decisions``, ``port25 release`` and ``port25 resume``."""

import argparse
import ipaddress
import sys
import time

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensor.base.database import DatabaseError
from sensor.blocking.decision import Decision
from sensor.blocking.ledger import Ledger
from sensor.commands import complain, person, printable, settings_from, state_from
from sensor.state.folder import StateFolder

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """The verb is ``options.verb``."""
    settings = settings_from(options.config)
    if settings is None:
        return 2
    path = StateFolder(state_from(options, settings)).ledger
    try:
        if not path.exists():
            raise DatabaseError(f"{path}: there is no ledger; no sensor ran here")
        if options.verb == "decisions":
            return _show(Ledger(path, read_only=True), options)
        by = options.by or person()
        if options.verb == "resume":
            return _resume(Ledger(path), by, options.reason)
        return _release(Ledger(path), by, options)
    except DatabaseError as error:
        complain(str(error))
        return 1


def _show(ledger: Ledger, options: argparse.Namespace) -> int:
    """The audit log, oldest first."""
    lines = options.json or not sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("time (UTC)", "action", "host", "until", "by", "why"):
        table.add_column(title, no_wrap=title != "why")
    after = 0
    while page := ledger.page(after):
        after = page[-1].number
        for _, one in page:
            if options.host and options.host != one.host:
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


def _release(ledger: Ledger, by: str, options: argparse.Namespace) -> int:
    if options.all == bool(options.host):
        complain("release: name a HOST, or say --all")
        return 2
    try:
        address = ipaddress.ip_address(options.host.partition("/")[0]) if options.host else None
    except ValueError:
        address = None  # an address with ports: as alerts name it

    def which(one: Decision) -> bool:
        if options.all or one.host == options.host:
            return True
        return address is not None and address in ipaddress.ip_network(one.source)

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
        complain(f"no block of {options.host or 'anybody'} is in force")
    return 0 if ended else 1


def _resume(ledger: Ledger, by: str, reason: str) -> int:
    if ledger.resume(time.time_ns(), reason, by):
        print("blocking goes on")
        return 0
    complain("blocking had not stopped")
    return 1
