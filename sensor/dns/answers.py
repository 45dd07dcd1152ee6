"""A DNS answer as far as mail is concerned: the MX it gives, and addresses (RFC 1035, 4.1).

Read record by record, each by itself: a record, an option or a signature that is damaged must not
hide the others, or whoever owns a domain could hide its servers so. Where a record ends is told by
its size alone; only of MX, A and AAAA of the class IN is more read than that. EDNS (RFC 6891), TSIG
(RFC 8945) and all else is passed over. Kernels only.

Work is bounded whatever the bytes: ``MOST_RECORDS`` are read, and a name follows ``MOST_POINTERS``
pointers, each of which must lead back.

Learnt are the names of exchangers, and addresses of those: asked for, through aliases, or told
beside an MX. The first name of an address stays until the address is forgotten.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8, u16be
from sensor.base.kernel import inner, inner_routine, routine
from sensor.dns.known import (
    ANSWER_COUNTERS,
    MOST_RECORDS,
    enter,
    enter_exchanger,
    find,
    is_exchanger,
)
from sensor.dns.wire import AAAA, HEADER, MX, A, after_name, copy_name, name_in

__all__ = ["read_answer"]

_IN: Final = 1
_FIXED: Final = 10
"""Octets of a record between its name and its data."""
_ANSWERS, _AUTHORITY = 0, 1
"""Sections; the third is what is told beside them."""
_ZERO = np.uint64(0)
_BYTE = np.uint64(8)
_MAPPED = np.uint64(0xFFFF00000000)

_UNREADABLE: Final = ANSWER_COUNTERS["answers_unreadable"]
_RECORDS_UNREADABLE: Final = ANSWER_COUNTERS["records_unreadable"]
_OTHER_CLASSES: Final = ANSWER_COUNTERS["records_of_other_classes"]
_SKIPPED: Final = ANSWER_COUNTERS["records_skipped"]


@inner
def _number(data, at, size):
    """The address of so many octets, as this sensor counts them: ``(hi, lo)``."""
    hi = lo = _ZERO
    for k in range(size):
        hi = hi << _BYTE | lo >> np.uint64(56)
        lo = lo << _BYTE | np.uint64(u8(data, at + k))
    return hi, (lo | _MAPPED if size == 4 else lo)


@inner_routine
def _learn_exchange(known, data, a, b, start, end, learns):
    """The MX whose data are ``data[start:end]``: 1 where it is new or damaged."""
    hashed, after, length = name_in(data, a, b, start + 2)
    if after != end:
        known.counts[_RECORDS_UNREADABLE] += learns
        return 1
    if length == 1 or is_exchanger(known, hashed):  # none (RFC 7505), or nothing new
        return 0
    if learns:
        enter_exchanger(known, hashed)
    return 1


@inner_routine
def _learn_address(known, data, a, b, n, asked, learns):
    """Number ``n`` of those found: 1 where it is new or damaged.

    ``asked`` tells that the name in the question is an exchanger's.
    """
    owner, start, what = known.found[n]
    size = what >> 1
    hashed, end, _ = name_in(data, a, b, owner)
    if end < 0 or size == 0:
        known.counts[_RECORDS_UNREADABLE] += learns
        return 1
    if not is_exchanger(known, hashed):
        if not (asked and what & 1):
            return 0
        owner = a + HEADER
    hi, lo = _number(data, start, size)
    if (hi == _ZERO and lo == _ZERO) or find(known, known.addresses, hi, lo) >= 0:
        return 0
    if learns:
        row = known.addresses.rows[enter(known, known.addresses, hi, lo)]
        copy_name(row.name, data, a, owner)
    return 1


@inner
def _learn_addresses(known, data, a, b, found, learns):
    """The addresses found, once all names are known: how many are new or damaged."""
    if found == 0:
        return 0
    hashed, end, _ = name_in(data, a, b, a + HEADER)
    asked = end >= 0 and is_exchanger(known, hashed)
    new = 0
    for n in range(found):
        new += _learn_address(known, data, a, b, n, asked, learns)
    return new


@inner_routine
def _learn_records(known, data, a, b, at, learns):
    """The records from ``at`` on: ``(odd, addresses, whole)``, the last to be learnt yet.

    ``odd`` counts what was new or damaged; ``whole``: each record is there that the header
    promises.
    """
    odd = found = addresses = 0
    for section in range(3):
        for _ in range(u16be(data, a + 6 + 2 * section)):
            owner = at
            at = after_name(data, owner, b)
            if at < 0 or at + _FIXED > b:
                return odd, addresses, False
            kind = u16be(data, at)
            class_ = u16be(data, at + 2)
            size = np.int64(u16be(data, at + 8))
            start = at + _FIXED
            at = start + size
            if at > b:
                return odd, addresses, False
            if section == _AUTHORITY or (kind != A and kind != MX and kind != AAAA):
                continue
            if class_ != _IN:
                known.counts[_OTHER_CLASSES] += learns
                odd += 1
                continue
            found += 1
            if found > MOST_RECORDS:
                known.counts[_SKIPPED] += learns
                odd += 1
            elif kind != MX:
                fits = size == (4 if kind == A else 16)
                row = known.found[addresses]
                row[0] = owner
                row[1] = start
                row[2] = (size << 1 if fits else 0) | (section == _ANSWERS)
                addresses += 1
            elif section == _ANSWERS:
                odd += _learn_exchange(known, data, a, b, start, at, learns)
    return odd, addresses, True


@routine
def read_answer(known, data, a, b, learns):
    """Learn from the message ``data[a:b]``, whose header is there; False: it said nothing new.

    What is damaged is left out and counted. Unless it ``learns``, all stays as it is.
    """
    at = a + HEADER
    for _ in range(u16be(data, a + 4)):
        at = after_name(data, at, b)
        if at < 0:
            break
        at += 4
    odd, addresses, whole = 0, 0, False
    if at >= 0:
        odd, addresses, whole = _learn_records(known, data, a, b, at, learns)
    odd += _learn_addresses(known, data, a, b, addresses, learns)
    if not whole:
        known.counts[_UNREADABLE] += learns
    return odd > 0 or not whole
