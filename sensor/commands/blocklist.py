"""``port25 blocklist``: the blocks in force, for routers, firewalls and name servers."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sensor.alerts.alert import rfc3339
from sensor.base.database import DatabaseError
from sensor.blocking.decision import Decision
from sensor.blocking.feeds import exabgp, ipset, lists, nftables, rbldnsd
from sensor.blocking.ledger import Ledger
from sensor.commands import complain, moment, settings_from, state_from
from sensor.commands.exabgp import announce
from sensor.state.folder import StateFolder

__all__ = ["run"]

_FORMATS: Final[dict[str, Callable[[list[Decision], int, tuple[str, ...]], str]]] = {
    "csv": lists.as_csv,
    "exabgp": exabgp.render,
    "ipset": ipset.render,
    "json": lists.as_json,
    "nftables": nftables.render,
    "plain": lists.as_plain,
    "rbldnsd": rbldnsd.render,
}
_WITH_LOOKUPS: Final = ("csv", "json")
"""Lists for people and programs; the others block."""


def run(options: argparse.Namespace) -> int:
    """Print or write; with ``--follow`` again whenever it changes."""
    settings = settings_from(options.config)
    if settings is None:
        return 2
    if options.follow and not options.output and options.format != "exabgp":
        complain("--follow: needs -o FILE (or --format exabgp, which tells only what changes)")
        return 2
    if options.follow and not options.output and not options.at:
        return _to_exabgp(state_from(options, settings), not options.dry_run)
    try:
        at = moment(options.at) if options.at else 0
        ledger = Ledger(StateFolder(state_from(options, settings)).ledger, read_only=True)
        before: list[Decision] | None = None
        while True:
            ts = at or time.time_ns()
            enforced = not options.dry_run
            found = ledger.as_of(ts, enforced) if at else ledger.in_force(ts, enforced)
            blocks = [d for d in found if d.action == "block" or options.format in _WITH_LOOKUPS]
            if blocks != before:
                text = _FORMATS[options.format](blocks, ts, settings.own_mail_servers)
                _write(text, options.output)
                if not blocks and before is None:
                    _say_why_none(ledger, ts, enforced)
                before = blocks
            if not options.follow:
                return 0
            time.sleep(1)
    except ValueError as error:
        complain(f"--at: {error}")
        return 2
    except PermissionError:
        raise
    except (DatabaseError, OSError) as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        return 0


def _say_why_none(ledger: Ledger, ts: int, enforced: bool) -> None:
    """An empty list is not taken for one that could not be made."""
    what = "block" if enforced else "block of a dry run"
    why = f"no {what} is in force at {rfc3339(ts)[:19]}Z"
    if ended := ledger.newest_end(enforced):
        why += (
            f"; the newest had its end at {rfc3339(ended)[:19]}Z (--at TIME shows an earlier list)"
        )
    elif enforced and ledger.newest_end(False):
        why += "; there are blocks of a dry run only (--dry-run shows those)"
    complain(why)


def _to_exabgp(state: Path, enforced: bool) -> int:
    path = StateFolder(state).ledger
    ledger: list[Ledger] = []

    def blocks() -> list[Decision]:
        ts = time.time_ns()
        first = not ledger  # ExaBGP may be there before the sensor ever was
        if first:
            ledger.append(Ledger(path, read_only=True))
        found = [d for d in ledger[0].in_force(ts, enforced) if d.action == "block"]
        if first and not found:
            _say_why_none(ledger[0], ts, enforced)
        return found

    def ended() -> list[Decision]:
        return [d for d in ledger[0].ended(time.time_ns(), enforced) if d.source]

    try:
        return announce(blocks, ended, state)
    except KeyboardInterrupt:
        return 0


def _write(text: str, output: str | None) -> None:
    """Whole or not at all: who reads the file never sees half of it."""
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    path = Path(output)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text)
    new.replace(path)
