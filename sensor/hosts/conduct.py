"""What a busy host did at its servers today, each server once. Kernels only.

Kept in a host's detail, in two halves of a day of which the older is dropped whole. So what a host
did before it had a detail is not in it: that is at its first two destinations at most, where people
mistype their passwords and monitoring looks whether the port is open.

*A log-in is refused* by 535 (RFC 4954, 6): the server knows AUTH, and not these credentials. What
it says of mechanisms, of TLS or of its own troubles is no opinion of who asks.

*Wordless* is a session that was greeted, and that the client left by itself without a byte. Where
the server was at fault (4yz or 5yz for a greeting, 421, silence for as long as any client must
wait) it is not. Again at a server where the same happened today counts as *known*, as does a server
that was spoken to: who watches a port comes back to it, who looks for something goes on.
"""

from typing import Any, Final

import numpy as np

from sensor.base.kernel import kernel, mix
from sensor.hosts.evidence import Fact
from sensor.hosts.halves import HALF_DAY, both, half_days, mark_half, place_of, turn

__all__ = [
    "CONDUCT",
    "KNOWN",
    "LOGIN_REFUSED",
    "LOGIN_TAKEN",
    "WORDLESS",
    "clear_conduct",
    "collect_conduct",
    "note_conduct",
]

LOGIN_REFUSED: Final = 0
LOGIN_TAKEN: Final = 1
WORDLESS: Final = 2
KNOWN: Final = 3
_KINDS: Final = 4
_WORDS: Final = 8

CONDUCT: Final[list[tuple[Any, ...]]] = [
    ("met", np.uint64, (2, _WORDS)),  # servers by what was done there, a bit each
    ("done", np.uint32, (2, _KINDS)),
    ("done_half", np.uint32),  # the half day of the first row of both
]
"""Fields of a detail. Past some 300 servers bits are found taken: counts are then lower bounds."""

_LOGINS_REFUSED: Final = int(Fact.LOGINS_REFUSED)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@kernel
def clear_conduct(detail, tick):
    """Of a new detail."""
    detail.done_half = tick // HALF_DAY
    detail.done[:, :] = 0
    detail.met[:, :] = _ZERO


@kernel
def _turn(detail, tick):
    past = half_days(detail.done_half, tick)
    if past != 0:
        turn(detail.done, past)
        turn(detail.met, past)
        detail.done_half = tick // HALF_DAY


@kernel
def note_conduct(detail, kind, hi, lo, tick):
    """A host did something of ``kind`` at a server; whether for the first time there today.

    A server of the last half day is one of this, from then on: who comes to the same ones all the
    time would else be known for nothing but the few he is at for the first time.
    """
    _turn(detail, tick)
    detail.settled = 0
    hashed = mix(mix(mix(_ONE, np.uint64(kind)), np.uint64(hi)), np.uint64(lo))
    word, bit = place_of(hashed, _WORDS)
    before = detail.met[1, word] & bit != _ZERO
    new_here = mark_half(detail.met, hashed)
    detail.done[0, kind] += new_here
    if new_here and before:
        detail.done[1, kind] -= detail.done[1, kind] > 0
    fresh = new_here and not before
    if kind == WORDLESS and not fresh:
        detail.done[0, KNOWN] += 1
    return fresh


@kernel
def collect_conduct(detail, tick, facts):
    """Fill the facts from LOGINS_REFUSED to KNOWN."""
    _turn(detail, tick)
    for k in range(_KINDS):
        facts[_LOGINS_REFUSED + k] = both(detail.done, k)
