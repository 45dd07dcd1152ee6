"""``port25 tune``: which alerts other settings would have given (:mod:`sensor.console.tuning`)."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Final

from sensor.commands.options import (
    settings_argument,
    settings_from,
    since_from,
    state_argument,
    state_from,
)
from sensor.commands.terminal import Stop, announce, complain

if TYPE_CHECKING:
    from sensor.settings import Settings

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "which alerts other settings would have given"
PLACE: Final = 140


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    parser.add_argument("--since", metavar="TIME", help="packet time (2026-01-31T12:00:00Z)")
    parser.add_argument(
        "--from-desk", action="store_true",
        help="instead: how often detectors were right, by the desk's verdicts (of four weeks)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="JSON lines, also on a terminal")


def run(options: argparse.Namespace) -> int:
    """Compare the journal with the settings of ``--config``."""
    import msgspec

    from detectors.detector import CENTIBANS
    from sensor.base.database import DatabaseError
    from sensor.console.tuning import EFFECTS, Change, changes, show
    from sensor.settings import subscribers_of
    from sensor.state.folder import StateFolder

    settings = settings_from(options.config)
    if options.from_desk:
        return _from_desk(options, settings)
    announce()
    state = state_from(options, settings)
    since = since_from(options)
    model = settings.model
    found: list[Change] = []
    try:
        for path in StateFolder(state).journals_to_read:
            found += changes(path, since, model, subscribers_of(settings))
    except DatabaseError as error:
        raise Stop(1, str(error)) from None
    found.sort(key=lambda c: (EFFECTS.index(c.effect), -c.would_be, c.host))
    if options.json or not sys.stdout.isatty():
        for change in found:
            print(json.dumps(msgspec.to_builtins(change)))
    else:
        show(found, model.raise_at / CENTIBANS)
    counts = {effect: sum(c.effect == effect for c in found) for effect in EFFECTS}
    same = sum(c.effect == "stays" and c.was == c.would_be for c in found)
    complain(
        f"{counts['appears']:,} would appear, {counts['vanishes']:,} would vanish,"
        f" {counts['stays']:,} would stay, {same:,} of them with the same score"
    )
    return 0


def _from_desk(options: argparse.Namespace, settings: "Settings") -> int:
    """What verdicts say, and what they propose."""
    import time

    import msgspec

    from sensor.base.database import DatabaseError
    from sensor.base.terminal import printable
    from sensor.base.units import DAY
    from sensor.blocking.precision import verdicts_of

    since = since_from(options) if options.since else time.time_ns() - 28 * DAY
    try:
        found = verdicts_of(state_from(options, settings), since, settings.score.miss_rate)
    except DatabaseError as error:
        raise Stop(1, str(error)) from None
    if options.json or not sys.stdout.isatty():
        print(json.dumps(msgspec.to_builtins(found)))
    else:
        print("right  wrong  share  95 % bounds    drift  of")
        for one in found.precision:
            counts = f"{one.right:>5}  {one.wrong:>5}  {one.share:>5.0%}"
            bounds = f"{one.low:>4.0%} to {one.high:>4.0%}"
            print(f"{counts}  {bounds}  {one.drift:>+5.1f}  {printable(f'{one.of} {one.name}')}")
        for proposal in found.proposals:
            print(printable(f"try: {proposal.setting}   ({proposal.why})"))
    complain(
        f"{found.judged:,} alerts judged, {found.unclear:,} unclear,"
        f" {found.gone:,} not in the journal any more; nothing was changed"
    )
    return 0
