"""SQLite files that outlive a crash: write-ahead log, full synchronisation, schema by migrations.

One process or several may write, any number may read meanwhile. What goes wrong is a DatabaseError
that names the file: a full disk, a file of a newer version, one that is no database.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from sensor.base.permission import denied

__all__ = ["Book", "Database", "DatabaseError", "NothingYetError"]


_PATIENCE: Final = 30.0
"""Seconds that others are waited for who make the same file, or write to it."""


_LARGE_PAGE: Final = 8192
"""Bytes. Larger ones hold more of an index, and what is written in one go lies on fewer of them."""
_LOG: Final = 16 << 20
"""Bytes of a log, and of a cache, of what is written much."""


class DatabaseError(Exception):
    """The file cannot be used; the text says why."""


class NothingYetError(DatabaseError):
    """Another process makes the file just now."""


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


class Database:
    """One file. Used by one thread."""

    def __init__(
        self,
        path: Path,
        migrations: Sequence[str],
        read_only: bool = False,
        busy: bool = False,
    ) -> None:
        """Open, and make if need be. ``busy``: it may be written thousands of times a second.

        ``migrations[n]`` is the SQL that turns version n into n + 1; the newest stands for what the
        program knows. Raises DatabaseError; ``read_only`` NothingYetError while another process has
        made the file but no table yet.
        """
        self.path = path
        self._read_only = read_only
        with self._named():
            if read_only:
                self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            else:
                self._db = sqlite3.connect(path, timeout=_PATIENCE)
                if busy:  # a file that is there keeps its own
                    self._db.execute(f"PRAGMA page_size = {_LARGE_PAGE}")
                self._keep_a_log()
                self._db.execute("PRAGMA synchronous = FULL")
                if busy:
                    self._write_back_late()
            self._db.isolation_level = None
            (version,) = self.row("PRAGMA user_version")
            if version > len(migrations):
                fault = f"it is of a newer version ({version}, this program knows"
                raise DatabaseError(f"{path}: {fault} {len(migrations)})")
            if read_only and version == 0:
                raise NothingYetError(f"{path}: nothing is in it yet")
            if read_only and version < len(migrations):
                fault = (
                    f"it is of an older version ({version}, this program knows {len(migrations)})"
                )
                raise DatabaseError(f"{path}: {fault}: who writes it brings it up to date")
        if not read_only and version < len(migrations):
            self._migrate(migrations)

    def _keep_a_log(self) -> None:
        """Have it a write-ahead log. SQLite itself does not wait for others here."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _write_back_late(self) -> None:
        """Have a page that is written again and again in the log written to the file once.

        What is in the log is as safe; it may grow to some 16 MB.
        """
        (page,) = self.row("PRAGMA page_size")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {_LOG // page}")
        self._db.execute(f"PRAGMA cache_size = -{_LOG >> 10}")

    def _migrate(self, migrations: Sequence[str]) -> None:
        """Bring the tables up to date. Of several that open the file at once, the first does."""
        with self.transaction():
            for number in range(self.row("PRAGMA user_version")[0], len(migrations)):
                for statement in _statements(migrations[number]):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {number + 1}")

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise DatabaseError(f"{self.path}: {self._why() or error}") from None
        except sqlite3.Error as error:
            raise DatabaseError(f"{self.path}: {error}") from None

    def _why(self) -> str | None:
        """SQLite says no more than that it cannot: why, if permission or the file is missing."""
        write = not self._read_only
        if fault := denied(self.path, write) or denied(self.path.parent, write):
            return fault
        return None if write or self.path.exists() else "it is not there; no sensor ran here"

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it is written or nothing. Raises DatabaseError."""
        with self._named():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def teach(self, name: str, function: Callable[..., Any]) -> None:
        """Have SQL know a function of one value that always says the same of it."""
        with self._named():
            self._db.create_function(name, 1, function, deterministic=True)

    def run(self, sql: str, *values: Any) -> int:
        """One statement; how many rows it changed. Raises DatabaseError."""
        with self._named():
            return self._db.execute(sql, values).rowcount

    def insert(self, sql: str, *values: Any) -> int:
        """One row, inside a transaction, which names the file; its number, 0: it was not taken."""
        done = self._db.execute(sql, values)
        return (done.lastrowid or 0) if done.rowcount > 0 else 0

    def run_each(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """One statement with the values of each row, inside a transaction, which names the file."""
        self._db.executemany(sql, rows)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The answer to a question. Raises DatabaseError."""
        with self._named():
            return self._db.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> tuple[Any, ...]:
        """The one row of an answer that always has one. Raises DatabaseError."""
        return self.rows(sql, *values)[0]

    @property
    def changes(self) -> int:
        """A number that differs after another process or connection has written; cheap."""
        return int(self.row("PRAGMA data_version")[0])

    @property
    def size(self) -> int:
        """Bytes in use, without what was deleted and will be used again."""
        page, count, free = (
            self.row(f"PRAGMA {what}")[0] for what in ("page_size", "page_count", "freelist_count")
        )
        return int(page * (count - free))

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class Book:
    """One file with a schema of its own: what is common to all that the program keeps.

    A book declares ``migrations`` (see :class:`Database`), and in ``rows`` the table whose rows are
    numbered in the order in which they came, where it has one that others follow.
    """

    migrations: ClassVar[Sequence[str]]
    rows: ClassVar[str]
    busy: ClassVar[bool] = False
    """it may be written thousands of times a second"""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        """Raises DatabaseError, as all that a book does."""
        self.db = Database(path, self.migrations, read_only, self.busy)

    @property
    def last(self) -> int:
        """Number of the newest row; 0: none."""
        return int(self.db.row(f"SELECT coalesce(max(number), 0) FROM {self.rows}")[0])  # noqa: S608

    @property
    def changes(self) -> int:
        """A number that differs after another process or connection has written; cheap."""
        return self.db.changes

    def close(self) -> None:
        """Close the file."""
        self.db.close()
