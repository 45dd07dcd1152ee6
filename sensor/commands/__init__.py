"""One file a verb; each has ``run(options) -> exit code``."""

import argparse
import datetime
import errno
import getpass
import os
import sys
from pathlib import Path
from typing import NamedTuple

from sensor.alerts.alert import Alert
from sensor.base.database import DatabaseError
from sensor.base.kernel import COLD
from sensor.base.permission import denied
from sensor.base.terminal import printable
from sensor.base.units import SECOND
from sensor.capture.block import CaptureError
from sensor.commands.unread import Unread
from sensor.settings import Settings, SettingsError, load_settings, state_folder
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal

__all__ = [
    "Found",
    "announce",
    "complain",
    "complain_of_permission",
    "find_alert",
    "moment",
    "person",
    "printable",
    "report_faults",
    "settings_from",
    "since_from",
    "state_from",
]


def announce() -> None:
    """Where the kernels are yet to be compiled, tell who waits at a terminal."""
    if COLD and sys.stderr.isatty():
        complain("compiling, about a minute; later starts take a second")


def complain(line: str) -> None:
    """One line on standard error, safe for a terminal."""
    print(f"port25: {printable(line)}", file=sys.stderr)


def settings_from(path: str | None) -> Settings | None:
    """The settings in a file, or the defaults; None after complaining of every mistake."""
    try:
        return load_settings(path)
    except SettingsError as error:
        for mistake in error.mistakes:
            complain(mistake)
        return None


def report_faults(faults: list[CaptureError], unread: Unread | None = None) -> int:
    """Say what was wrong with captures and what could not be read of them; the exit code."""
    for fault in faults:
        complain(str(fault))
    for sentence in unread.sentences() if unread is not None else ():
        complain(sentence)
    return 1 if faults or (unread is not None and unread.nothing) else 0


def moment(text: str) -> int:
    """A time as people write it (RFC 3339; UTC where nothing is said), ns since 1970.

    Raises ValueError.
    """
    time = datetime.datetime.fromisoformat(text)
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.UTC)
    return int(time.timestamp()) * SECOND


def since_from(options: argparse.Namespace) -> int | None:
    """``--since``, ns since 1970, 0 without it; None after complaining."""
    try:
        return moment(options.since) if options.since else 0
    except ValueError as error:
        complain(f"--since: {error}")
        return None


def person() -> str:
    """The name of who runs the command, also behind sudo."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def state_from(options: argparse.Namespace, settings: Settings) -> Path:
    """The state folder: of ``--state``, else of the settings.

    Raises PermissionError for one that may not be read.
    """
    state = Path(options.state) if options.state else state_folder(settings)
    if denied(state):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(state))
    return state


def complain_of_permission(error: PermissionError) -> None:
    """One line: what may not be read or written, whose it is, what to do."""
    path = Path(os.fsdecode(error.filename or "."))
    why = denied(path) or denied(path, write=True) or denied(path.parent, write=True)
    complain(f"{path}: {why or error.strerror}")


class Found(NamedTuple):
    """An alert's last message and the folder of the worker that raised it."""

    alert: Alert
    folder: Path


def find_alert(state: Path, id_: str) -> Found | None:
    """The one alert whose id begins with ``id_``; None after complaining."""
    found: dict[str, Found] = {}
    try:
        for path in StateFolder(state).journals_to_read:
            for alert in Journal(path, read_only=True).find(id_):
                found[alert.id] = Found(alert, path.parent)
    except DatabaseError as error:
        complain(str(error))
        return None
    if len(found) != 1:
        complain(f"{id_}: {'several alerts have' if found else 'no alert has'} this id")
        return None
    return next(iter(found.values()))
