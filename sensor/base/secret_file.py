"""What a file keeps secret."""

from pathlib import Path
from typing import Final

__all__ = ["read_secret"]

_MOST: Final = 65_536


def read_secret(path: str) -> bytes:
    """What is in a file, without white space around it. Raises OSError, whose text names it."""
    try:
        with Path(path).open("rb") as file:
            found = file.read(_MOST).strip()
    except OSError as error:
        raise OSError(f"{path}: {error.strerror or error}") from None
    if not found:
        raise OSError(f"{path}: is empty, expected a secret")
    return found
