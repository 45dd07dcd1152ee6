"""What a host did in connections it proved to be its own, of today and the half day before.

Counters of windows take what anybody can bring about in a host's name. A proven handshake opens a
connection in which only the host (or who sees its packets, or has agreed on the numbers with the
server) can go on; what was refused and how it was spoken in such connections stands in the host's
detail, in two halves of a day of which the older is dropped whole.

*Denied* is a proven handshake that the holder of the address reset afterwards as one does who never
sent the SYN: by RFC 9293, 3.10.7.1, a bare RST with the number that the SYN-ACK acknowledged. Then
somebody else completed it, who knew the server's numbers without seeing them.
"""

from typing import Any, Final

import numpy as np

from sensor.base.kernel import kernel
from sensor.hosts.evidence import Fact
from sensor.hosts.halves import (
    HALF_DAY,
    both,
    half_days,
    mark,
    mark_half,
    mark_once,
    place_of,
    turn,
    turn_word,
)

__all__ = [
    "DENIED",
    "INBOUND",
    "POLITE",
    "PROOF",
    "REFUSED",
    "RUDE",
    "TAKEN",
    "clear",
    "collect_proof",
    "has_verdict",
    "new_verdict",
    "new_wide",
    "note_inflow",
    "note_insistence",
    "refuses_anew",
    "said_again",
    "takes_again",
    "weigh",
]  # fmt: skip

REFUSED: Final = 0
TAKEN: Final = 1
RUDE: Final = 2
POLITE: Final = 3
DENIED: Final = 4
INBOUND: Final = 5
_KINDS: Final = 6
_WORDS: Final = 4
_HEARD: Final = 1024
"""Bits for networks that gave a verdict: of 100 networks one in 20 is taken for another."""
_OFTEN: Final = 16
"""Networks of the half day whose verdicts are counted: of a host with more, the first ones say
enough.
"""

PROOF: Final[list[tuple[Any, ...]]] = [
    ("wide", np.uint64, (2, _WORDS)),  # wide networks of proven contacts, a bit each
    ("weighed", np.uint32, (2, _KINDS)),  # proven first contacts by what became of them
    ("heard", np.uint64, (2, _HEARD // 64)),  # networks that gave a verdict, a bit each
    ("opinions_of", np.uint64, _OFTEN),  # the first networks of the half day, hashed; 0: none
    ("opinions", np.uint32, _OFTEN),  # verdicts of each
    ("half", np.uint32),  # the half day of the first row of all
    ("inflow", np.uint32, 3),  # messages taken from outside in this half hour, the last, and which
    (
        "insisted",
        np.uint32,
        3,
    ),  # times it was turned away again in this minute, the last, and which
]
"""Fields of a detail."""

_PROVEN_REFUSED: Final = int(Fact.PROVEN_REFUSED)
_INFLOW: Final = int(Fact.INFLOW)
_INSISTED: Final = int(Fact.INSISTED)
_HALF_HOUR: Final = 1800
"""Seconds."""
_MINUTE: Final = 60
"""Seconds."""
_POWERS_OF_FOUR: Final = 0x55555555
_ZERO = np.uint64(0)


@kernel
def clear(detail, tick):
    """Of a new detail."""
    detail.half = tick // HALF_DAY
    detail.weighed[:, :] = 0
    detail.wide[:, :] = _ZERO
    detail.heard[:, :] = _ZERO
    detail.opinions_of[:] = _ZERO
    detail.inflow[:] = 0
    detail.insisted[:] = 0


@kernel
def _turn(detail, tick):
    past = half_days(detail.half, tick)
    if past != 0:
        turn(detail.weighed, past)
        turn(detail.wide, past)
        turn(detail.heard, past)
        detail.opinions_of[:] = _ZERO
        detail.half = tick // HALF_DAY


@kernel
def weigh(detail, kind, tick):
    """One more proven first contact was refused, taken, rude, polite or denied; or mail came in."""
    _turn(detail, tick)
    detail.settled = 0
    detail.weighed[0, kind] += 1


@kernel
def _lately(counted, span):
    """What was counted in this span and the last one: ``counted`` has both, and the number of this.

    Of a new detail the number is 0, which is long past.
    """
    past = span - np.int64(counted[2])
    if past != 0:
        turn_word(counted, past)
        counted[2] = span
    return np.int64(counted[0]) + np.int64(counted[1])


@kernel
def note_inflow(detail, tick):
    """A message came in from outside."""
    weigh(detail, INBOUND, tick)
    _lately(detail.inflow, tick // _HALF_HOUR)
    detail.inflow[0] += 1


@kernel
def note_insistence(detail, tick):
    """A server that had turned the host away did so again, and the host left without QUIT."""
    _lately(detail.insisted, tick // _MINUTE)
    detail.settled = 0
    detail.insisted[0] += 1


@kernel
def new_wide(detail, hashed, tick):
    """Whether a wide network (by its hash) is new to the host today; it is not any more."""
    _turn(detail, tick)
    return mark(detail.wide, hashed)


@kernel
def new_verdict(detail, hashed, tick):
    """Whether a network (by its hash) has said nothing yet today; it has now."""
    _turn(detail, tick)
    return mark(detail.heard, hashed)


@kernel
def refuses_anew(detail, hashed, tick):
    """The same of one that took nothing: of who goes on refusing, once in two half days.

    It would be silent for as long as it goes on, when what it said first has left the window.
    """
    _turn(detail, tick)
    return mark_once(detail.heard, hashed)


@kernel
def takes_again(detail, hashed, taken, tick):
    """The same of one that took a message: of one known for half a day, once in each half day.

    A day would be too long. Counts leave the window a day after they came: of who writes to the
    same readers twice a day the second letter would count nothing, and when the first had left,
    nothing would be known of him but what was odd since. Who is refused twice a day is refused for
    the same. ``taken`` is the network's hash as of one that takes.
    """
    _turn(detail, tick)
    word, bit = place_of(hashed, _HEARD // 64)
    known = detail.heard[1, word] & bit != _ZERO
    fresh = mark(detail.heard, hashed)
    return mark_half(detail.heard, taken) if known else fresh


@kernel
def said_again(detail, hashed, tick):
    """A network (by its hash) gives a verdict: is it its 4th, 16th, 64th ... of the half day?

    So opinions of one network weigh by the logarithm of how many they are.
    """
    _turn(detail, tick)
    for k in range(_OFTEN):
        if detail.opinions_of[k] == _ZERO:
            detail.opinions_of[k] = hashed
            detail.opinions[k] = 0
        if detail.opinions_of[k] == hashed:
            detail.opinions[k] += 1
            n = np.int64(detail.opinions[k])
            return n > 1 and n & (n - 1) == 0 and n & _POWERS_OF_FOUR == n
    return False


@kernel
def has_verdict(detail, hashed):
    """Whether :func:`new_verdict` was asked of that network before, today."""
    word, bit = place_of(hashed, _HEARD // 64)
    return (detail.heard[0, word] | detail.heard[1, word]) & bit != _ZERO


@kernel
def collect_proof(detail, tick, facts):
    """Fill the facts from PROVEN_REFUSED to INBOUND, INFLOW and INSISTED."""
    _turn(detail, tick)
    for k in range(_KINDS):
        facts[_PROVEN_REFUSED + k] = both(detail.weighed, k)
    facts[_INFLOW] = _lately(detail.inflow, tick // _HALF_HOUR)
    facts[_INSISTED] = _lately(detail.insisted, tick // _MINUTE)
