"""``port25 check-config``: is this settings file fit for use?"""

import argparse
from typing import Final

from sensor.commands.options import settings_from
from sensor.commands.terminal import complain, printable

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "check a settings file"
PLACE: Final = 170


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("config", metavar="FILE", help="settings (TOML)")


def run(options: argparse.Namespace) -> int:
    """Check one file; every mistake is a line, and so is what does nothing."""
    from sensor.settings import idle_settings

    for idle in idle_settings(settings_from(options.config)):
        complain(idle)
    print(f"{printable(options.config)}: fine")
    return 0
