"""Whom a busy host says it is, for whom it sends, and how it begins to speak. Kernels only.

Kept in a host's detail, in two halves of a day of which the older is dropped whole, as sets by hash
and never as names:

    names     it gave in HELO or EHLO
    senders   domains of MAIL FROM
    asked     domains of RCPT TO
    shapes    of its SYNs (``tcp/fingerprint.py``): each system, and each program with a stack of
              its own, has one

A set is a bitmap of 256 bits; how many are in it follows from how many bits are set (linear
counting: Whang, Vander-Zanden, Taylor: "A Linear-Time Probabilistic Counting Algorithm for Database
Applications", ACM TODS 15(2), 1990): exact to one in ten up to some hundreds. Shapes have 64 bits,
which are counted as they are: nobody has more than a few.
"""

from math import log
from typing import Any, Final

import numpy as np

from sensor.base.kernel import kernel
from sensor.hosts.evidence import Fact
from sensor.hosts.halves import HALF_DAY, both, half_days, ones, place_of, turn, turn_word

__all__ = [
    "ASKED",
    "IDENTITIES",
    "NAMES",
    "SENDERS",
    "clear_identities",
    "collect_identities",
    "hash_name",
    "note_identity",
    "note_mails",
    "note_shape",
]

NAMES: Final = 0
SENDERS: Final = 1
ASKED: Final = 2
_SETS: Final = 3
_WORDS: Final = 4
_BITS: Final = 64 * _WORDS

IDENTITIES: Final[list[tuple[Any, ...]]] = [
    ("sets", np.uint64, (2, _SETS, _WORDS)),
    ("shapes", np.uint64, 2),
    ("mails", np.uint32, (2, 2)),  # MAIL commands, and recipients they named
    ("set_sizes", np.uint16, _SETS),  # bits that are set in either half
    ("shape_size", np.uint16),
    ("set_half", np.uint32),  # the half day of the first of both
]
"""Fields of a detail."""

_NAMES: Final = int(Fact.HELO_NAMES)
_SHAPES: Final = int(Fact.SYN_SHAPES)
_MAILS: Final = int(Fact.MAILS)
_RECIPIENTS: Final = int(Fact.RECIPIENTS)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_LOW = np.uint64(63)
_FNV = np.uint64(0x100000001B3)
_OFFSET = np.uint64(0xCBF29CE484222325)
_UPPER_A, _UPPER_Z, _TO_LOWER = 0x41, 0x5A, 0x20
_SIZES = np.array(
    [round(-_BITS * log(1 - min(k, _BITS - 1) / _BITS)) for k in range(_BITS + 1)], np.int64
)
"""By bits that are set, how many are in a set."""


@kernel
def hash_name(text, size):
    """Of a name, in whatever case (FNV-1a)."""
    hashed = _OFFSET
    for k in range(size):
        byte = np.int64(text[k])
        if _UPPER_A <= byte <= _UPPER_Z:
            byte += _TO_LOWER
        hashed = (hashed ^ np.uint64(byte)) * _FNV
    return hashed ^ (hashed >> np.uint64(32))


@kernel
def clear_identities(detail, tick):
    """Of a new detail."""
    detail.set_half = tick // HALF_DAY
    detail.sets[:, :, :] = _ZERO
    detail.shapes[:] = _ZERO
    detail.mails[:, :] = 0
    detail.set_sizes[:] = 0
    detail.shape_size = 0


@kernel
def _turn(detail, tick):
    past = half_days(detail.set_half, tick)
    if past == 0:
        return
    for which in range(_SETS):
        size = 0
        for k in range(_WORDS):
            word = detail.sets[0, which, k] if past == 1 else _ZERO
            detail.sets[1, which, k] = word
            detail.sets[0, which, k] = _ZERO
            size += ones(word)
        detail.set_sizes[which] = size
    turn_word(detail.shapes, past)
    detail.shape_size = ones(detail.shapes[1])
    turn(detail.mails, past)
    detail.set_half = tick // HALF_DAY


@kernel
def note_identity(detail, which, hashed, tick):
    """A name or a domain, by its hash, belongs to set ``which``; whether it is new there today."""
    _turn(detail, tick)
    detail.settled = 0
    word, bit = place_of(hashed, _WORDS)
    fresh = (detail.sets[0, which, word] | detail.sets[1, which, word]) & bit == _ZERO
    detail.sets[0, which, word] |= bit
    detail.set_sizes[which] += fresh
    return fresh


@kernel
def note_shape(detail, shape, tick):
    """The shape of a SYN, by its hash; zero: it is not known."""
    if shape == 0:
        return
    _turn(detail, tick)
    bit = _ONE << (np.uint64(shape) & _LOW)
    if (detail.shapes[0] | detail.shapes[1]) & bit == _ZERO:
        detail.shape_size += 1
        detail.settled = 0
    detail.shapes[0] |= bit


@kernel
def note_mails(detail, mails, recipients, tick):
    """MAIL commands of a session, and the recipients they named."""
    _turn(detail, tick)
    detail.settled = 0
    detail.mails[0, 0] += mails
    detail.mails[0, 1] += recipients


@kernel
def collect_identities(detail, tick, facts):
    """Fill the facts from HELO_NAMES to RECIPIENTS."""
    _turn(detail, tick)
    for which in range(_SETS):
        facts[_NAMES + which] = _SIZES[detail.set_sizes[which]]
    facts[_SHAPES] = detail.shape_size
    facts[_MAILS] = both(detail.mails, 0)
    facts[_RECIPIENTS] = both(detail.mails, 1)
