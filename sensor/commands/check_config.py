"""``port25 check-config``: is this settings file fit for use?"""

import argparse

from sensor.commands import printable, settings_from

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Check one file; every mistake is a line."""
    if settings_from(options.config) is None:
        return 2
    print(f"{printable(options.config)}: fine")
    return 0
