"""How much servers said to a busy host where replies are hidden, by network. Kernels only.

Under TLS words are hidden and their number is not. To the same thing the same server says the same,
so its answers to a host's letters, or to its envelopes where no letter followed, are alike or fall
apart into lengths:

*Shut*: a network that was sent no message, and gave at least ``AGAIN`` sessions answers of one
length. It answers the host, whomever that writes to: what is said of a mailbox depends on the
mailbox.

*Open*: one that was sent a message, or whose answers to envelopes differ.

*Filtering*: one that was sent at least ``AGAIN`` messages and whose answers to one in ``FEW`` or
more were longer than to the others: a message is taken in a few words and refused in many.
*Taking*: one that was sent as many and has said the same to nearly all.

Lengths belong together as long as each is within ``NEAR`` bytes of another: numbers of a queue, of
bytes and seconds vary by a digit or two. Kept in a host's detail for ``NETWORKS`` networks, the
first that come; what was counted is halved every half day, and what comes to nothing forgotten.
"""

from typing import Any, Final

import numpy as np

from sensor.base.kernel import kernel
from sensor.hosts.evidence import Fact
from sensor.hosts.halves import HALF_DAY, half_days

__all__ = [
    "ANSWERS",
    "UNKNOWN",
    "clear_answers",
    "collect_answers",
    "note_envelope",
    "note_letter",
]

UNKNOWN: Final = 0
"""Of an answer: its length is not known."""
NETWORKS: Final = 32
AGAIN: Final = 3
FEW: Final = 6
NEAR: Final = 3

ANSWERS: Final[list[tuple[Any, ...]]] = [
    ("answers_of", np.uint64, NETWORKS),  # networks, hashed; 0: none
    ("letters", np.uint16, NETWORKS),  # messages each was sent
    ("longer", np.uint16, NETWORKS),  # those whose answers were longer
    ("envelopes", np.uint16, NETWORKS),  # sessions without a message
    ("lengths", np.uint16, (2, NETWORKS, 2)),  # shortest and longest: of letters, of envelopes
    ("differ", np.uint8, NETWORKS),  # 1: answers to envelopes do
    ("answers_half", np.uint32),  # the half day in which all was halved last
]
"""Fields of a detail."""

_LETTER: Final = 0
_ENVELOPE: Final = 1
_MOST: Final = 0xFFFF
_BITS: Final = 16
_ZERO = np.uint64(0)
_SHUT: Final = int(Fact.SHUT)
_SHUT_TIMES: Final = int(Fact.SHUT_TIMES)
_OPEN: Final = int(Fact.OPEN)
_FILTERING: Final = int(Fact.FILTERING)
_TAKING: Final = int(Fact.TAKING)


@kernel
def clear_answers(detail, tick):
    """Of a new detail."""
    detail.answers_half = tick // HALF_DAY
    detail.answers_of[:] = _ZERO
    detail.letters[:] = 0
    detail.longer[:] = 0
    detail.envelopes[:] = 0
    detail.lengths[:, :, :] = 0
    detail.differ[:] = 0


@kernel
def _turn(detail, tick):
    past = half_days(detail.answers_half, tick)
    if past == 0:
        return
    detail.answers_half = tick // HALF_DAY
    past = min(past, _BITS)
    kept = 0
    for k in range(NETWORKS):
        letters = np.int64(detail.letters[k]) >> past
        envelopes = np.int64(detail.envelopes[k]) >> past
        if detail.answers_of[k] == _ZERO or letters + envelopes == 0:
            continue
        detail.answers_of[kept] = detail.answers_of[k]
        detail.letters[kept] = letters
        detail.longer[kept] = np.int64(detail.longer[k]) >> past
        detail.envelopes[kept] = envelopes
        detail.differ[kept] = detail.differ[k]
        for kind in range(2):
            for end in range(2):
                detail.lengths[kind, kept, end] = detail.lengths[kind, k, end]
        kept += 1
    for k in range(kept, NETWORKS):
        detail.answers_of[k] = _ZERO
        detail.letters[k] = 0
        detail.longer[k] = 0
        detail.envelopes[k] = 0
        detail.differ[k] = 0
        detail.lengths[:, k, :] = UNKNOWN


@kernel
def _place(detail, hashed, tick):
    """Where a network (by its hash) is kept, from now on; -1: there are too many."""
    _turn(detail, tick)
    for k in range(NETWORKS):
        if detail.answers_of[k] == _ZERO:
            detail.answers_of[k] = hashed
        if detail.answers_of[k] == hashed:
            return k
    return -1


@kernel
def _compare(detail, kind, k, size):
    """An answer against those before: -1 shorter, 0 alike (or the first), 1 longer."""
    low = np.int64(detail.lengths[kind, k, 0])
    high = np.int64(detail.lengths[kind, k, 1])
    if low != UNKNOWN and size > high + NEAR:
        return 1
    if low != UNKNOWN and size < low - NEAR:
        detail.lengths[kind, k, 0] = size
        detail.lengths[kind, k, 1] = size
        return -1
    if low == UNKNOWN or size < low:
        detail.lengths[kind, k, 0] = size
    if size > high:
        detail.lengths[kind, k, 1] = size
    return 0


@kernel
def note_letter(detail, hashed, size, tick):
    """A network was sent a message, and said ``size`` bytes to it, or UNKNOWN.

    Whether that may make a difference: of many messages the 2nd, 4th, 8th ... does.
    """
    k = _place(detail, hashed, tick)
    if k < 0:
        return False
    before = np.int64(detail.letters[k])
    detail.letters[k] = min(before + 1, _MOST)
    if size != UNKNOWN:
        than = _compare(detail, _LETTER, k, min(size, _MOST))
        if than > 0:
            detail.longer[k] = min(np.int64(detail.longer[k]) + 1, _MOST)
        elif than < 0:  # then all that were before were longer
            detail.longer[k] = before
    return before & (before + 1) == 0


@kernel
def note_envelope(detail, hashed, size, tick):
    """A network was sent an envelope and no message, and said ``size`` bytes to it, or UNKNOWN.

    Whether that may make a difference.
    """
    k = _place(detail, hashed, tick)
    if k < 0:
        return False
    before = np.int64(detail.envelopes[k])
    detail.envelopes[k] = min(before + 1, _MOST)
    if size == UNKNOWN or _compare(detail, _ENVELOPE, k, min(size, _MOST)) != 0:
        detail.differ[k] = 1
    return before & (before + 1) == 0


@kernel
def collect_answers(detail, tick, facts):
    """Fill the facts from SHUT to TAKING."""
    _turn(detail, tick)
    for k in range(NETWORKS):
        if detail.answers_of[k] == _ZERO:
            break
        letters = np.int64(detail.letters[k])
        envelopes = np.int64(detail.envelopes[k])
        if letters or (detail.differ[k] and envelopes > 1):
            facts[_OPEN] += 1
        elif envelopes >= AGAIN:
            facts[_SHUT] += 1
            facts[_SHUT_TIMES] += envelopes
        if letters >= AGAIN:
            few = np.int64(detail.longer[k]) * FEW < letters
            facts[_TAKING if few else _FILTERING] += 1
