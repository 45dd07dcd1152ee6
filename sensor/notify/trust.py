"""Whom destinations trust, and what they keep secret; read once, at the start."""

from typing import TYPE_CHECKING

from sensor.base.secret_file import read_secret

if TYPE_CHECKING:
    import ssl

__all__ = ["secret", "trust"]


def trust(authority: str) -> "ssl.SSLContext":
    """Of whom the system trusts, and of a PEM file, if one is named. Raises OSError."""
    import ssl

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
    return read_secret(path) if path else b""
