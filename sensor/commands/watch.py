"""``port25 watch``: a terminal for the abuse desk, live."""

import argparse
import sys

from sensor.base.database import DatabaseError
from sensor.commands import complain, person, settings_from, state_from
from sensor.console.plain import Plain
from sensor.console.view import View

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Until the person has seen enough."""
    settings = settings_from(options.config)
    if settings is None:
        return 2
    by = options.by or person()
    try:
        view = View(state_from(options, settings))
        if options.plain or not sys.stdout.isatty():
            Plain(view, by, mode=settings.blocking.mode).run(sys.stdin)
            return 0
        from sensor.console.app import Watch

        Watch(view, by, settings.blocking.mode).run()
    except DatabaseError as error:
        complain(str(error))
        return 1
    return 0
