"""The command ``port25``: finds the verbs, and runs one.

A verb is a file in ``sensor/commands/`` (see there); nothing names it here. Nothing heavy is
imported before a verb runs, so that every ``--help`` answers at once.

Exit codes: 0 fine, 1 failed at work, 2 wrong usage or settings.
"""

import argparse
import atexit
import functools
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from sensor import __version__, commands
from sensor.base.extras import EXTRAS, missing
from sensor.commands.terminal import Stop, complain, complain_of_permission

__all__ = ["main", "parser", "verbs"]

_AT_START: Final = 200_000
"""Objects made before the first search for rings: imports make many, and hardly a ring."""


def _search_later() -> None:
    """Have the first search for rings of objects wait until a start is over, the others not."""
    usual = gc.get_threshold()

    def after(phase: str, _: object) -> None:
        if phase == "stop":
            gc.set_threshold(*usual)
            gc.callbacks.remove(after)

    gc.callbacks.append(after)
    gc.set_threshold(_AT_START, *usual[1:])


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
"""NumPy's linear algebra, which nothing here calls, would start threads that spin for a while."""
_search_later()
atexit.register(gc.freeze)  # or what goes with the process anyhow would be searched twice before


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parser(words[0] if words else None).parse_args(words)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except Stop as stop:
        for line in stop.lines:
            complain(line)
        return stop.code
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        complain(missing(package))
        return 1
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except PermissionError as error:
        complain_of_permission(error)
        return 1
    return code


def verbs(wanted: str | None = None) -> dict[str, ModuleType]:
    """Every verb's file, in the order of the help; only that of the ``wanted`` one if it is one."""
    files = {
        file.stem.replace("_", "-"): file.stem
        for file in Path(commands.__path__[0]).iterdir()  # pkgutil's way loads inspect
        if file.suffix == ".py" and file.stem[0].islower()
    }
    found = {}
    for name in [wanted] if wanted in files else files:
        module = importlib.import_module(f"{commands.__name__}.{files[name]}")
        if hasattr(module, "arguments"):
            found[name] = module
    return dict(sorted(found.items(), key=lambda item: (item[1].PLACE, item[0])))


def parser(wanted: str | None = None) -> argparse.ArgumentParser:
    """Of the whole command line; of one verb where only that is ``wanted``."""
    # For each argument argparse makes a formatter, which loads shutil to ask how wide the terminal
    # is; that matters only to who formats.
    unmeasured = functools.partial(argparse.HelpFormatter, width=80)
    whole = argparse.ArgumentParser(
        prog="port25",
        description="Who sends mail past the mail servers: a port-25 abuse sensor.",
        formatter_class=unmeasured,
    )
    whole.add_argument("--version", action="version", version=f"port25 {__version__}")
    subparsers = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in (verbs(wanted) or verbs()).items():
        one = subparsers.add_parser(name, help=module.HELP, formatter_class=unmeasured)
        module.arguments(one)
        one.set_defaults(run=module.run)
        one.formatter_class = argparse.HelpFormatter
    whole.formatter_class = argparse.HelpFormatter
    return whole
