"""How far somebody is with the journals, as cursors and ids of events: text.

Numbers of rows tell how much others have. Who is bound to prefixes is given them sealed: of each
reach the same number is the same text for as long as the state folder is, and nothing else is. A
synthetic initialisation vector (Rogaway and Shrimpton 2006) over HMAC-SHA256: half of the text says
whether we wrote it, and hides the other half.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from sensor.base.access import EVERYTHING, Reach
from sensor.console.view import Place

__all__ = ["Seal", "place_of", "place_text", "seal_of"]

_PLAIN: Final = 18
"""Digits of a number that is not sealed, at most."""
_SEALED: Final = 39
"""Digits of one that is: 16 bytes."""


def place_text(place: Place) -> str:
    """A place in the journals as the API writes it.

    >>> place_text({"worker-1-of-2": 5, "worker-2-of-2": 7})
    'worker-1-of-2:5,worker-2-of-2:7'
    """
    return ",".join(f"{name}:{number}" for name, number in sorted(place.items()))


def _parts(text: str, digits: int) -> dict[str, int]:
    found = {}
    for part in text.split(",") if text else ():
        name, _, number = part.rpartition(":")
        if not name or not number.isascii() or not number.isdigit() or len(number) > digits:
            raise ValueError(f"{part!r} is no place in the journals")
        found[name] = int(number)
    return found


def place_of(text: str) -> Place:
    """The place a text names. Raises ValueError."""
    return {name: min(number, 10**_PLAIN) for name, number in _parts(text, _SEALED).items()}


class Seal:
    """Writes and reads places for who is bound to prefixes, and for others as they are."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def _keyed(self, reach: Reach, what: str, data: bytes) -> bytes:
        text = f"{reach.sql_name} {what} ".encode() + data
        return hmac.new(self._secret, text, hashlib.sha256).digest()[:8]

    def _number(self, name: str, number: int, reach: Reach) -> int:
        plain = number.to_bytes(8, "big")
        mark = self._keyed(reach, f"mark {name}", plain)
        mask = self._keyed(reach, f"mask {name}", mark)
        return int.from_bytes(mark + bytes(a ^ b for a, b in zip(plain, mask, strict=True)), "big")

    def text(self, place: Place, reach: Reach = EVERYTHING) -> str:
        """A place as text."""
        if reach.everything:
            return place_text(place)
        return place_text({name: self._number(name, at, reach) for name, at in place.items()})

    def place(self, text: str, reach: Reach = EVERYTHING) -> Place:
        """The place a text names. Raises ValueError for one that is not of ours."""
        if reach.everything:
            return place_of(text)
        return {name: self._opened(name, n, reach) for name, n in _parts(text, _SEALED).items()}

    def _opened(self, name: str, number: int, reach: Reach) -> int:
        if number < 1 << 128:
            whole = number.to_bytes(16, "big")
            mark, hidden = whole[:8], whole[8:]
            mask = self._keyed(reach, f"mask {name}", mark)
            found = int.from_bytes(bytes(a ^ b for a, b in zip(hidden, mask, strict=True)), "big")
            if found < 10**_PLAIN and self._number(name, found, reach) == number:
                return found
        raise ValueError("this is no place in the journals, or one of somebody with other prefixes")


def seal_of(path: Path) -> Seal:
    """With the secret in a file, which is made where it is not there.

    Where it can be neither made nor read, cursors are good until this server ends.
    """
    made = secrets.token_bytes(32)
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  (of a descriptor)
            file.write(made)
    with contextlib.suppress(OSError):
        kept = path.read_bytes()
        return Seal(kept if len(kept) == len(made) else made)
    return Seal(made)
