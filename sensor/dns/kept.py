"""What DNS answers have told, as a snapshot keeps it: rows in the order in which they came.

Indexes are made anew, by seeds of their own. So the next run may have room for more names or fewer:
if for fewer, what was learnt first is forgotten and counted, as ever, and no evidence is lost.
"""

from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray

from sensor.base.kernel import table
from sensor.dns.known import ADDRESS, NAME, Known, enter_again

__all__ = ["RINGS", "kept_of", "room_for", "take_over"]

RINGS: Final = "lookups.known."
"""How the names of these arrays begin, and of those of the state that they stand for."""

_NAMES = f"{RINGS}names.older", f"{RINGS}names.newer"
_ADDRESSES = f"{RINGS}addresses.older", f"{RINGS}addresses.newer"
_DTYPES: Final = dict.fromkeys(_NAMES, NAME) | dict.fromkeys(_ADDRESSES, ADDRESS)


def kept_of(known: Known) -> dict[str, NDArray[Any]]:
    """By name, what a snapshot must hold; nothing is copied."""
    kept: dict[str, NDArray[Any]] = {f"{RINGS}counts": known.counts}
    for (older, newer), ring in ((_NAMES, known.names), (_ADDRESSES, known.addresses)):
        at = int(ring.next[0])
        kept[older], kept[newer] = ring.rows[at:], ring.rows[:at]
    return kept


def room_for(saved: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Empty rows for those that a snapshot has, by name."""
    return {name: table(len(saved[name]), _DTYPES[name]) for name in _DTYPES.keys() & saved.keys()}


def take_over(known: Known, rows: Mapping[str, NDArray[Any]]) -> None:
    """Give rows out of a snapshot to one that knows nothing yet."""
    for names, ring in ((_NAMES, known.names), (_ADDRESSES, known.addresses)):
        for name in names:
            if name in rows:
                enter_again(known, ring, rows[name])
