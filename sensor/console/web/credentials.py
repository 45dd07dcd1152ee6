"""Passwords of people and tokens of programs: made, and known again.

The settings hold a hash of each; nothing that lets anybody in is written anywhere.
"""

import hashlib
import secrets
from functools import cache
from typing import Any

from sensor.base.access import Person, User

__all__ = ["digest", "hashed", "knows", "new_token"]


@cache
def _hasher() -> Any:
    from argon2 import PasswordHasher

    return PasswordHasher()


def hashed(password: str) -> str:
    """What to put into the settings for a password (Argon2id, RFC 9106)."""
    text: str = _hasher().hash(password)
    return text


def knows(users: tuple[User, ...], name: str, password: str) -> Person | None:
    """Who that is; None where name or password is wrong. Takes as long for a name nobody has."""
    from argon2.exceptions import InvalidHashError, VerificationError

    found = next((user for user in users if user.name == name), None)
    try:
        _hasher().verify(found.password if found else _nobody(), password)
    except (VerificationError, InvalidHashError):
        return None
    return Person(found.name, found.role, found.prefixes) if found else None


@cache
def _nobody() -> str:
    return hashed(secrets.token_hex())


def new_token() -> str:
    """A token for a program; who has it is that program."""
    return f"p25_{secrets.token_urlsafe(32)}"


def digest(token: str) -> str:
    """What the settings hold of a token, whose 256 random bits need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()
