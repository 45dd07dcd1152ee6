"""Whom destinations trust, and what they keep secret; read once, at the start."""

import ssl
from pathlib import Path
from typing import Final

__all__ = ["secret", "trust"]

_MOST: Final = 65_536


def trust(authority: str) -> ssl.SSLContext:
    """Of whom the system trusts, and of a PEM file, if one is named. Raises OSError."""
    context = ssl.create_default_context()
    if authority:
        try:
            context.load_verify_locations(cafile=authority)
        except ssl.SSLError as error:
            raise OSError(f"{authority}: expected certificates in PEM: {error.reason}") from None
        except OSError as error:
            raise OSError(f"{authority}: {error.strerror}") from None
    "x".encode("idna")  # what names of servers are looked up with is loaded now
    return context


def secret(path: str) -> bytes:
    """What is in a file, without white space around it; of no file nothing. Raises OSError."""
    if not path:
        return b""
    try:
        with Path(path).open("rb") as file:
            found = file.read(_MOST).strip()
    except OSError as error:
        raise OSError(f"{path}: {error.strerror}") from None
    if not found:
        raise OSError(f"{path}: it is empty, expected a secret")
    return found
