"""One customer behind many /64s: a delegated prefix that nobody declared.

A host of IPv6 is a /64 unless the settings say how much is delegated to a customer. A sender that
hops through a /56 is then 256 hosts. What tells is that they are one program: neighbouring /64s
that give names of one pattern in one dialect behind one shape of SYN (the *make* of
``sensor/hosts/meetings.py``). Where ``ENOUGH`` of a /48 with one make came near an alert within a
day, the shortest prefix that holds them is proposed, once; whether it is one customer's, a person
must know.

A host that is forged gives no name, so it is never one of them. Kept are the ``PLACES`` (/48 and
make) that were seen last.
"""

import ipaddress
from typing import Final

from sensor.base.sentences import Sentence, sentence
from sensor.base.units import DAY

__all__ = ["ENOUGH", "PLACES", "Siblings"]

ENOUGH: Final = 4
"""Honest neighbours of one make that all come near an alert within a day are hardly so many."""
PLACES: Final = 4096
_DELEGATED: Final = (60, 56, 52, 48)
"""Lengths that providers delegate (RIPE-690: /56 or /48)."""


class Siblings:
    """Hosts that came near an alert, by their surroundings and make: ``ENOUGH`` of a place at most,
    for with so many it is told of, and then not looked at for a day.
    """

    def __init__(self) -> None:
        self.forgotten = 0
        """places that gave way to others"""
        self._places: dict[tuple[int, int], dict[int, int]] = {}
        self._told: dict[tuple[int, int], int] = {}

    def note(self, host: str, make: int, ts: int) -> Sentence | None:
        """A host (as alerts name it) of a make came near an alert at ``ts``, ns.

        Gives what a person should know of its siblings, once a day.
        """
        if not make or not host.endswith("/64"):
            return None
        subnet = int(ipaddress.IPv6Network(host).network_address) >> 64
        place = subnet >> 16, make
        seen = self._places[place] = self._places.pop(place, {})
        if len(self._places) > PLACES:
            gone = next(iter(self._places))
            del self._places[gone]
            self._told.pop(gone, None)
            self.forgotten += 1
        if place in self._told and ts - self._told[place] < DAY:
            return None
        seen[subnet] = ts
        for old in [k for k, then in seen.items() if ts - then >= DAY]:
            del seen[old]
        if len(seen) < ENOUGH:
            return None
        self._told[place] = ts
        length = next(n for n in _DELEGATED if len({k >> 64 - n for k in seen}) == 1)
        first = next(iter(seen)) >> 64 - length << 64 - length
        prefix = ipaddress.IPv6Network((first << 64, length))
        return sentence(
            "siblings.seen", siblings=len(seen), prefix=str(prefix), length=length,
            campaign=f"{make:08x}",
        )  # fmt: skip
