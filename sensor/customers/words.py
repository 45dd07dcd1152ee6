"""A customer's addresses in words, from the leases an event brings with it."""

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor.base import addresses
from sensor.customers.layout import ADDRESS_BITS, MOST_BITS

__all__ = ["Address", "Addresses", "addresses_of"]

_PORTS: Final = 1 << (MOST_BITS - ADDRESS_BITS)


class Address(msgspec.Struct, frozen=True):
    """What a customer had from one moment to another."""

    address: str
    """an address, a prefix, or an address with a block of ports"""
    since: int
    """packet time, nanoseconds since 1970"""
    until: int | None
    """null: it is still his"""


class Addresses(NamedTuple):
    """Those of one customer."""

    now: str
    """the one that stands for him: that he last sent from, or has instead; empty: none is known"""
    all_: list[Address]
    """the newest first"""


class _Piece(NamedTuple):
    hi: int
    lo: int
    since: int
    until: int
    port: int
    bits: int

    @property
    def end(self) -> int:
        """The port behind the last."""
        return self.port + (1 << (MOST_BITS - self.bits))


def addresses_of(held: NDArray[np.void], at: int) -> Addresses:
    """In words; ``at`` is the row of ``held`` (dtype HELD) that stands for the customer."""
    pieces = [_Piece(*row) for row in held.tolist()]
    here = pieces[at] if pieces else None
    now, found = "", []
    for group in _joined(pieces):
        text = _text(group)
        found.append(Address(text, group[0].since, group[0].until or None))
        if here in group:
            now = text
    return Addresses(now, found)


def _joined(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Blocks of ports of one address and time that lie side by side, together."""
    groups: list[list[_Piece]] = []
    of: dict[Any, list[_Piece]] = {}
    for piece in pieces:
        if piece.bits <= ADDRESS_BITS:
            groups.append([piece])
            continue
        same = piece[:4]
        if same not in of:
            of[same] = []
            groups.append(of[same])
        of[same].append(piece)
    found = []
    for group in groups:
        group.sort(key=lambda piece: piece.port)
        run = [group[0]]
        for piece in group[1:]:
            if piece.port == run[-1].end:
                run.append(piece)
            else:
                found.append(run)
                run = [piece]
        found.append(run)
    return found


def _text(run: list[_Piece]) -> str:
    first = run[0]
    if first.bits <= ADDRESS_BITS:
        return addresses.network_text(first.hi, first.lo, first.bits)
    return f"{addresses.text(first.hi, first.lo)}:{first.port}-{min(run[-1].end, _PORTS) - 1}"
