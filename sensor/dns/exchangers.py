"""Mail exchangers by name, as people are shown them.

A name proves nothing of an address, for whoever owns a domain can point it anywhere: names are
shown to people, and no score rests on them.
"""

from functools import cache, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sensor.base.door import Door
from sensor.dns.known import Known, find_all

__all__ = ["NAMES", "get_ready", "name_text", "names_of", "provider"]

NAMES: Final = Door("names_unreadable")
"""Of the Public Suffix List's reader; what it makes of a name is kept for all."""


@cache
def _suffixes() -> Any:
    """The Public Suffix List, read once."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def get_ready() -> None:
    """Read what else is read when it is first needed: later it may not be readable."""
    _suffixes()


@lru_cache(maxsize=65536)
def provider(name: str) -> str | None:
    """Whose ``name`` is: its registrable domain by the Public Suffix List, if it has one.

    >>> provider("gmail-smtp-in.l.google.com")
    'google.com'
    """
    return NAMES.read(_private_suffix, name)


def _private_suffix(name: str) -> str | None:
    """The registrable domain of ``name``, or None."""
    found: str | None = _suffixes().privatesuffix(name)
    return found


@lru_cache(maxsize=4096)  # 500 bytes each, to spare 2 us
def name_text(name: bytes) -> str:
    """A name in lower case without the last dot, as zone files write it (RFC 1035, 5.1; RFC 4343).

    ``name`` is as on the wire without pointers; what follows its end does not matter.

    >>> name_text(bytes([3, 77, 88, 46, 2, 0xE2, 0x80, 0]))
    'mx\\\\..\\\\226\\\\128'
    """
    labels = []
    at = 0
    while name[at]:
        end = at + 1 + name[at]
        labels.append("".join([_CHARACTERS[octet] for octet in name[at + 1 : end]]))
        at = end
    return ".".join(labels) or "."


def _character(octet: int) -> str:
    """An octet of a label as zone files write it."""
    if octet in b'"().;\\@$':
        return "\\" + chr(octet)
    return chr(octet).lower() if 0x20 < octet < 0x7F else f"\\{octet:03d}"


_CHARACTERS: Final = [_character(octet) for octet in range(256)]


def names_of(known: Known, his: NDArray[np.uint64], los: NDArray[np.uint64]) -> list[str | None]:
    """The names of the exchangers at addresses, as they may be printed; None: none is known."""
    rows = np.empty(len(his), np.int64)
    find_all(known, np.ascontiguousarray(his), np.ascontiguousarray(los), rows)
    texts: list[str | None] = [None] * len(rows)
    for k in np.flatnonzero(rows >= 0).tolist():
        texts[k] = name_text(known.addresses.rows[rows[k]]["name"].tobytes())
    return texts
