"""Names behind pseudonyms, kept where the settings name a role that may be told one.

Sources of leases write what they hear, several at a time; the page and ``port25 customer`` read one
name at a time, each look written into the audit book before. Nobody else reads the file, and no
list, message or export has a name. Of more than ``most`` the names heard longest ago go first.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sensor.base.database import Database, NothingYetError
from sensor.state.folder import StateFolder

__all__ = ["CustomerNames", "name_of", "pseudonyms_of"]

_MIGRATIONS: Final = (
    """
    CREATE TABLE names (
        pseudonym TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        heard INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX names_by_heard ON names (heard);
    """,
)


class CustomerNames:
    """One SQLite file. What goes wrong raises DatabaseError, or OSError where it is made."""

    def __init__(self, path: Path, most: int, read_only: bool = False) -> None:
        self._most = most
        if not read_only:
            path.touch(mode=0o600)
        self._db = Database(path, _MIGRATIONS, read_only)

    def keep(self, names: Mapping[str, str], heard: int) -> None:
        """Names by pseudonym, heard at a moment (wall time, seconds since 1970)."""
        with self._db.transaction():
            for pseudonym, name in names.items():
                self._db.run(
                    "INSERT INTO names VALUES (?, ?, ?) ON CONFLICT (pseudonym)"
                    " DO UPDATE SET name = excluded.name, heard = excluded.heard",
                    *(pseudonym, name, heard),
                )
            ((count,),) = self._db.rows("SELECT count(*) FROM names")
            if count > self._most:
                self._db.run(
                    "DELETE FROM names WHERE pseudonym IN"
                    " (SELECT pseudonym FROM names ORDER BY heard, pseudonym LIMIT ?)",
                    count - self._most,
                )

    def of(self, pseudonym: str) -> str | None:
        """The name; None: none is kept."""
        rows = self._db.rows("SELECT name FROM names WHERE pseudonym = ?", pseudonym)
        return rows[0][0] if rows else None

    def called(self, name: str) -> list[str]:
        """The pseudonyms of a name: one, unless the secret was changed."""
        rows = self._db.rows("SELECT pseudonym FROM names WHERE name = ? ORDER BY pseudonym", name)
        return [pseudonym for (pseudonym,) in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _opened(state: StateFolder) -> CustomerNames | None:
    if not state.names.exists():
        return None
    try:
        return CustomerNames(state.names, 0, read_only=True)
    except NothingYetError:
        return None


def name_of(state: StateFolder, pseudonym: str) -> str | None:
    """The name kept in a state folder; None: none is. Raises DatabaseError."""
    if (names := _opened(state)) is None:
        return None
    with contextlib.closing(names):
        return names.of(pseudonym)


def pseudonyms_of(state: StateFolder, name: str) -> list[str]:
    """The customers of a name, as a state folder has it. Raises DatabaseError."""
    if (names := _opened(state)) is None:
        return []
    with contextlib.closing(names):
        return names.called(name)
