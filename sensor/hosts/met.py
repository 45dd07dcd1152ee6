"""Where a busy host met others of its make today, and whom (``hosts/meetings.py``). Kernels only.

Kept in a host's detail, in two halves of a day of which the older is dropped whole. Peers are bits
of 64, so their number is a lower bound from a dozen on.
"""

from typing import Any, Final

import numpy as np

from sensor.base.kernel import kernel
from sensor.hosts.evidence import Fact
from sensor.hosts.halves import HALF_DAY, both, half_days, ones, turn, turn_word

__all__ = ["MET", "clear_met", "collect_met", "note_meeting", "note_visit"]

_VISITED, _MET, _KINDS = 0, 1, 2

MET: Final[list[tuple[Any, ...]]] = [
    ("peers", np.uint64, 2),
    ("visits", np.uint32, (2, _KINDS)),  # of unusual networks, under a name; those that met
    ("make", np.uint32),  # of the last meeting
    ("met_half", np.uint32),  # the half day of the first of both
]
"""Fields of a detail."""

_MEETINGS: Final = int(Fact.MEETINGS)
_F_PEERS: Final = int(Fact.PEERS)
_VISITS: Final = int(Fact.VISITS)
_MAKE: Final = int(Fact.MAKE)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_LOW = np.uint64(63)


@kernel
def clear_met(detail, tick):
    """Of a new detail."""
    detail.peers[:] = _ZERO
    detail.visits[:, :] = 0
    detail.make = 0
    detail.met_half = tick // HALF_DAY


@kernel
def _turn(detail, tick):
    past = half_days(detail.met_half, tick)
    if past != 0:
        turn_word(detail.peers, past)
        turn(detail.visits, past)
        detail.met_half = tick // HALF_DAY


@kernel
def note_visit(detail, tick):
    """One more network that the host was at for the first time today."""
    _turn(detail, tick)
    detail.settled = 0
    detail.visits[0, _VISITED] += 1


@kernel
def note_meeting(detail, peer, make, first, tick):
    """The host met a peer, by its hash; ``first``: in that visit nobody before."""
    _turn(detail, tick)
    detail.settled = 0
    detail.peers[0] |= _ONE << (peer & _LOW)
    detail.visits[0, _MET] += first
    detail.make = make


@kernel
def collect_met(detail, tick, facts):
    """Fill the facts from MEETINGS to MAKE."""
    _turn(detail, tick)
    facts[_VISITS] = both(detail.visits, _VISITED)
    facts[_MEETINGS] = both(detail.visits, _MET)
    facts[_F_PEERS] = ones(detail.peers[0] | detail.peers[1])
    facts[_MAKE] = detail.make
