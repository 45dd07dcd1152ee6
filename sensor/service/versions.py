"""A state folder that a newer version wrote is refused before anything in it is touched.

An older version brings no table forward again and knows nothing of what was added, so after a
downgrade a sensor does not start: the newer version is installed again, or given a folder of its
own. What was kept stays as it is.
"""

import contextlib
import sqlite3
from pathlib import Path

from sensor.base.database import DatabaseError
from sensor.blocking.desk import Desk
from sensor.blocking.ledger import Ledger
from sensor.impact.store import UsageStore
from sensor.sinks.outbox import Outbox
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from sensor.state.sessions import SessionStore
from sensor.state.snapshot import KNOWN, version

__all__ = ["refuse_newer"]


def refuse_newer(folder: StateFolder) -> None:
    """Raises DatabaseError, whose text names the file and both versions."""
    books = [(path, len(Journal.migrations)) for path in folder.journals]
    books += [(path, len(SessionStore.migrations)) for path in folder.session_stores]
    books += [(path, len(UsageStore.migrations)) for path in folder.usage_stores]
    for path, book in ((folder.ledger, Ledger), (folder.desk, Desk), (folder.outbox, Outbox)):
        books.append((path, len(book.migrations)))
    found = [(path, _version(path), known) for path, known in books]
    found += [(path, version(path), KNOWN) for path in folder.snapshots]
    for path, of, known in found:
        if of > known:
            raise DatabaseError(
                f"{path}: it is of a newer version ({of}, this program knows {known}); install that"
                " version, or name another state folder"
            )


def _version(path: Path) -> int:
    """Of the tables of a database; 0: there is none, or it cannot be read, as others will tell."""
    if not path.exists():
        return 0
    with contextlib.suppress(sqlite3.Error):
        address = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            return int(database.execute("PRAGMA user_version").fetchone()[0])
    return 0
