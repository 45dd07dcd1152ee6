"""Who may come in beside those of the settings: logins that outlive a restart, tokens made here.

Neither secret is in the file, only its SHA-256: both are 256 random bits, which need no salt. Kept
are the newest 10,000 logins, and 1,000 tokens; of tokens those that were revoked, or have ended, go
first, and where all are good no more are made.

The file is read into memory and again after it was changed, also by another server; whoever asks is
found there, without a wait for the disk.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from sensor.base.access import Person, Reach, Role
from sensor.base.database import Book, DatabaseError
from sensor.base.units import SECOND
from sensor.console.web import credentials

__all__ = ["IssuedToken", "KeptLogin", "KeyBook", "Keys", "TokenError", "until"]

_MOST_LOGINS: Final = 10_000
_MOST_TOKENS: Final = 1000
_MIGRATIONS: Final = (
    """
    CREATE TABLE logins (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        sha256 TEXT NOT NULL UNIQUE,
        until INTEGER NOT NULL,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        prefixes TEXT NOT NULL,
        source TEXT NOT NULL
    );
    CREATE TABLE tokens (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        sha256 TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        prefixes TEXT NOT NULL,
        made INTEGER NOT NULL,
        by TEXT NOT NULL,
        until INTEGER NOT NULL,
        revoked INTEGER NOT NULL
    );
    """,
)


class TokenError(Exception):
    """The token cannot be made; the text says why."""


class KeptLogin(msgspec.Struct, frozen=True):
    """Somebody who is logged in."""

    person: Person
    until: int
    """wall time, nanoseconds since 1970"""
    source: str
    """what they came in by: ``user:`` with a digest of the password's hash, or ``oidc:`` with the
    issuer; when that is not in the settings any more, the login ends
    """


class IssuedToken(msgspec.Struct, frozen=True):
    """A token made on the page."""

    name: str
    role: Role
    prefixes: list[str]
    """hosts beyond these are not seen; empty: all are"""
    made: int
    by: str
    until: int
    """wall time, nanoseconds since 1970"""
    revoked: int
    """the same; 0: it is not"""


class KeyBook(Book):
    """One SQLite file. What goes wrong raises DatabaseError."""

    migrations = _MIGRATIONS
    rows = "tokens"

    def logins(self, now: int) -> dict[str, KeptLogin]:
        """Those that hold, by digest of the secret."""
        sql = "SELECT sha256, name, role, prefixes, until, source FROM logins WHERE until > ?"
        return {
            digest: KeptLogin(Person(name, role, tuple(json.loads(prefixes))), until, source)
            for digest, name, role, prefixes, until, source in self.db.rows(sql, now)
        }

    def log_in(self, digest: str, login: KeptLogin, now: int) -> None:
        """Keep one."""
        who = login.person
        with self.db.transaction():
            self.db.run(
                "INSERT INTO logins (sha256, until, name, role, prefixes, source)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                *(digest, login.until, who.name, who.role, json.dumps(who.prefixes), login.source),
            )
            self.db.run(
                "DELETE FROM logins WHERE until <= ? OR number <="
                " (SELECT max(number) FROM logins) - ?",
                *(now, _MOST_LOGINS),
            )

    def log_out(self, digest: str) -> None:
        """Let nobody in with it any more."""
        self.db.run("DELETE FROM logins WHERE sha256 = ?", digest)

    def tokens(self) -> dict[str, IssuedToken]:
        """All, those of before as well, by digest; those made last first."""
        sql = (
            "SELECT sha256, name, role, prefixes, made, by, until, revoked FROM tokens"
            " ORDER BY number DESC"
        )
        return {
            digest: IssuedToken(name, role, json.loads(prefixes), *rest)
            for digest, name, role, prefixes, *rest in self.db.rows(sql)
        }

    def issue(self, digest: str, token: IssuedToken, now: int) -> None:
        """Keep one. Raises TokenError where there are too many, or one of that name."""
        good = "revoked = 0 AND until > ?"
        with self.db.transaction():
            if self.db.rows(f"SELECT 1 FROM tokens WHERE name = ? AND {good}", token.name, now):  # noqa: S608
                raise TokenError(f"{token.name}: there is a token of this name; revoke it first")
            left = self.db.row("SELECT count(*) FROM tokens")[0] - _MOST_TOKENS + 1
            oldest = f"SELECT number FROM tokens WHERE NOT ({good}) ORDER BY number LIMIT ?"  # noqa: S608
            if left > self.db.run(
                f"DELETE FROM tokens WHERE number IN ({oldest})",  # noqa: S608
                *(now, max(0, left)),
            ):
                raise TokenError(f"there are {_MOST_TOKENS:,} tokens already; revoke some first")
            self.db.run(
                "INSERT INTO tokens (sha256, name, role, prefixes, made, by, until, revoked)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                *(digest, token.name, token.role, json.dumps(token.prefixes)),
                *(token.made, token.by, token.until),
            )

    def revoke(self, name: str, reach: Reach, now: int) -> bool:
        """End a token; False where there is none within reach."""
        with self.db.transaction():
            for digest, token in self.tokens().items():
                mine = Reach(tuple(token.prefixes)).within(reach)
                if token.name == name and not token.revoked and token.until > now and mine:
                    self.db.run("UPDATE tokens SET revoked = ? WHERE sha256 = ?", now, digest)
                    return True
        return False


class Keys:
    """The file as it is now; there may be none yet. Used by one thread, but for ``change``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._book: KeyBook | None = None
        self._changes = -1
        self._logins: dict[str, KeptLogin] = {}
        self._tokens: dict[str, IssuedToken] = {}

    def _look(self) -> None:
        """Read what has changed."""
        if self._book is None:
            if not self._path.exists():
                return
            try:
                self._book = KeyBook(self._path, read_only=True)
            except DatabaseError:
                if not self._path.stat().st_size:  # it is being made
                    return
                raise
        if (changes := self._book.changes) != self._changes:
            self._changes = changes
            self._logins = self._book.logins(time.time_ns())
            self._tokens = self._book.tokens()

    def login(self, secret: str) -> KeptLogin | None:
        """Whose cookie that is. Raises DatabaseError."""
        self._look()
        found = self._logins.get(credentials.digest(secret))
        return found if found is not None and found.until > time.time_ns() else None

    def token(self, secret: str) -> Person | None:
        """Which program that is. Raises DatabaseError."""
        self._look()
        found = self._tokens.get(credentials.digest(secret))
        if found is None or found.revoked or found.until <= time.time_ns():
            return None
        return Person(found.name, found.role, tuple(found.prefixes), program=True)

    def change(self, does: Callable[[KeyBook], Any]) -> Any:
        """Write; in a thread, since it waits for the disk. Raises DatabaseError."""
        fresh = not self._path.exists()
        if fresh:
            self._path.touch(0o600)
        book = KeyBook(self._path)
        try:
            return does(book)
        finally:
            book.close()


def until(days: int) -> int:
    """The end of so many days from now, ns."""
    return time.time_ns() + days * 86_400 * SECOND
