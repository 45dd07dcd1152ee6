"""``port25 check-config``: is this settings file fit for use?"""

import argparse

from sensor.commands import complain, printable
from sensor.settings import SettingsError, load_settings

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Check one file; every mistake is a line."""
    try:
        load_settings(options.config)
    except SettingsError as error:
        for mistake in error.mistakes:
            complain(mistake)
        return 2
    print(f"{printable(options.config)}: fine")
    return 0
