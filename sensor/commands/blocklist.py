"""``port25 blocklist``: the blocks in force, for routers, firewalls and name servers."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sensor.blocking.feeds import FORMATS, feed
from sensor.commands.options import (
    moment,
    settings_argument,
    settings_from,
    state_argument,
    state_from,
)
from sensor.commands.terminal import Stop, complain

if TYPE_CHECKING:
    from sensor.blocking.decision import Decision
    from sensor.blocking.http_settings import HttpSettings
    from sensor.blocking.ledger import Ledger

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "the blocks in force, for routers and others"
PLACE: Final = 40
_TOLD: Final = ("exabgp", "http")
"""Forms that are told to somebody, and need no file."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    parser.add_argument("--format", default="plain", choices=FORMATS)
    parser.add_argument(
        "-o", dest="output", metavar="FILE", help="write there, whole or not at all"
    )
    parser.add_argument("--follow", action="store_true", help="again whenever something changes")
    parser.add_argument("--dry-run", action="store_true", help="what a dry run would block")
    parser.add_argument("--at", metavar="TIME", help="as it was then (2026-01-31T12:00:00Z)")


def run(options: argparse.Namespace) -> int:
    """Print or write; with ``--follow`` again whenever it changes."""
    from sensor.base.database import DatabaseError
    from sensor.blocking.ledger import Ledger
    from sensor.state.folder import StateFolder

    settings = settings_from(options.config)
    if options.follow and not options.output:
        if options.format not in _TOLD or options.at:
            raise Stop(2, "--follow: needs -o FILE (or --format exabgp or http, without --at)")
        state, enforced = state_from(options, settings), not options.dry_run
        if options.format == "http":
            return _by_http(settings.blocking.http, state, enforced)
        return _to_exabgp(state, enforced)
    form = feed(options.format)
    try:
        at = moment(options.at) if options.at else 0
        ledger = Ledger(StateFolder(state_from(options, settings)).ledger, read_only=True)
        before: list[Decision] | None = None
        while True:
            ts = at or time.time_ns()
            enforced = not options.dry_run
            found = ledger.as_of(ts, enforced) if at else ledger.in_force(ts, enforced)
            blocks = [d for d in found if d.action == "block" or form.LOOKUPS]
            if blocks != before:
                text = form.render(blocks, ts, settings.own_mail_servers)
                _write(text, options.output)
                if not blocks and before is None:
                    _say_why_none(ledger, ts, enforced)
                before = blocks
            if not options.follow:
                return 0
            time.sleep(1)
    except ValueError as error:
        raise Stop(2, f"--at: {error}") from None
    except PermissionError:
        raise
    except (DatabaseError, OSError) as error:
        raise Stop(1, str(error)) from None
    except KeyboardInterrupt:
        return 0


def _say_why_none(ledger: "Ledger", ts: int, enforced: bool) -> None:
    """An empty list is not taken for one that could not be made."""
    from sensor.alerts.alert import rfc3339

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
    from sensor.blocking.announcing import announce
    from sensor.blocking.ledger import Ledger
    from sensor.state.folder import StateFolder

    path = StateFolder(state).ledger
    ledger: list[Ledger] = []

    def blocks() -> "list[Decision]":
        ts = time.time_ns()
        first = not ledger  # ExaBGP may be there before the sensor ever was
        if first:
            ledger.append(Ledger(path, read_only=True))
        found = [d for d in ledger[0].in_force(ts, enforced) if d.action == "block"]
        if first and not found:
            _say_why_none(ledger[0], ts, enforced)
        return found

    def ended() -> "list[Decision]":
        return [d for d in ledger[0].ended(time.time_ns(), enforced) if d.source]

    try:
        return announce(blocks, ended, state, complain)
    except KeyboardInterrupt:
        return 0


def _by_http(settings: "HttpSettings", state: Path, enforced: bool) -> int:
    import msgspec

    from sensor.blocking.feeds import http
    from sensor.blocking.ledger import Ledger
    from sensor.service import systemd
    from sensor.service.signals import ENDING, collect_signals
    from sensor.state.folder import StateFolder

    if not settings.tokens:
        raise Stop(2, "blocking.http.tokens: missing; port25 web --new-token prints one")
    path = StateFolder(state).ledger
    ledger: list[Ledger] = []

    def blocks(ts: int) -> "list[Decision]":
        if not ledger:  # whoever asks may be there before the sensor ever was
            ledger.append(Ledger(path, read_only=True))
        return [one for one in ledger[0].in_force(ts, enforced) if one.action == "block"]

    def report(counters: dict[str, int]) -> None:
        line = {"schema": "port25.blocklist/1", "ts": time.time_ns(), "counters": counters}
        print(msgspec.json.encode(line).decode(), flush=True)

    got = collect_signals()
    systemd.notify("READY=1")
    try:
        http.serve(settings, blocks, lambda: bool(got & ENDING), complain, report)
    except (OSError, ValueError) as error:
        raise Stop(1, f"blocking.http: {settings.listen}: {error}") from None
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
