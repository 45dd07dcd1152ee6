"""Questions and answers of DNS, as far as mail is concerned. Kernels only.

Of every message the header and the first question are read (RFC 1035, 4.1). What counts:

* a *query* for MX: who asks is about to deliver mail by itself. The same question of the same
  client within ``ASKED_SECONDS`` is a retry and counts once.
* an *answer* to a question seen before, if it was for MX, or for the address of a name that an
  earlier MX answer gave. Such answers are put aside for Python, which reads them whole
  (``exchangers``). An answer nobody was seen to ask for tells nothing: anybody can send one.

Over TCP (RFC 7766) a message has its length before it; one that comes in several segments is put
together if they come in order, ``STREAM`` bytes at most.

Every table here is of fixed size, and the newest entry overwrites the one in its slot: of questions
(then the answer is not read), of known names (then their addresses are not learnt), and of messages
in pieces (counted). No hash depends on a secret, or two runs might overwrite different ones.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.byteorder import u8, u16be
from sensor.base.kernel import inner_routine, kernel, mix
from sensor.base.kernel import table as new_table
from sensor.base.units import SECOND
from sensor.decode.segment import UDP_HEADER

__all__ = [
    "ANSWERS",
    "ANSWERS_PUT_ASIDE",
    "ASKED_SECONDS",
    "LOOKUP_COUNTERS",
    "Lookups",
    "expect",
    "heed",
    "name_hash",
    "new_lookups",
    "taken",
]

ASKED_SECONDS: Final = 10
"""How long a question may wait for its answer, or a retry come after it."""
QUESTIONS: Final = 1 << 14
NAMES: Final = 1 << 16
STREAMS: Final = 64
STREAM: Final = 8192
"""Bytes of messages over TCP that wait for the rest of one."""
ANSWERS: Final = 64
ANSWERS_A_SECOND: Final = 1000
"""More are not read, whoever floods: the rest of the sensor is worth more than names."""
_ANSWER_BYTES: Final = 1 << 17

LOOKUP_COUNTERS: Final = {
    "mx_queries": 0,
    "mx_queries_repeated": 1,
    "answers_read": 2,
    "answers_unasked": 3,  # for MX, but nobody was seen to ask
    "messages_unreadable": 4,  # no DNS header or question
    "pieces_lost": 5,  # of messages over TCP: out of order, too long, or overwritten
    "answers_skipped": 6,  # more than ANSWERS_A_SECOND
}
_QUERIES, _REPEATED, _READ, _UNASKED, _UNREADABLE, _LOST, _SKIPPED = LOOKUP_COUNTERS.values()
ANSWERS_PUT_ASIDE: Final = len(LOOKUP_COUNTERS)
"""Slot of ``meta``: answers waiting for Python."""
_PUT_BYTES: Final = ANSWERS_PUT_ASIDE + 1
_THIS_SECOND: Final = ANSWERS_PUT_ASIDE + 2
_IN_THIS_SECOND: Final = ANSWERS_PUT_ASIDE + 3

ASKED = np.dtype(
    [("fingerprint", np.uint64), ("ts", np.int64), ("transaction", np.int64)], align=True
)
"""A question: who asked what, when, and the query's port and id."""

PIECES = np.dtype([("flow", np.uint64), ("next", np.uint32), ("size", np.int32)], align=True)
"""A message over TCP that is not complete yet."""

_A, _MX, _AAAA = 1, 15, 28
_HEADER: Final = 12
_FNV: Final = np.uint64(0x100000001B3)
_PORT = np.uint64(16)
_MOD: Final = 0xFFFFFFFF


class Lookups(NamedTuple):
    """The tables, as kernels take them."""

    asked: NDArray[np.void]
    """dtype ASKED"""
    names: NDArray[np.uint64]
    """hashes of names known to be mail exchangers"""
    streams: NDArray[np.void]
    """dtype PIECES"""
    texts: NDArray[np.uint8]
    """[STREAMS, STREAM] their bytes"""
    answers: NDArray[np.uint8]
    """messages put aside, one after the other"""
    sizes: NDArray[np.int64]
    """[ANSWERS]"""
    meta: NDArray[np.int64]


def new_lookups() -> Lookups:
    """Empty tables."""
    return Lookups(
        new_table(QUESTIONS, ASKED),
        np.zeros(NAMES, np.uint64),
        new_table(STREAMS, PIECES),
        np.zeros((STREAMS, STREAM), np.uint8),
        np.zeros(_ANSWER_BYTES, np.uint8),
        np.zeros(ANSWERS, np.int64),
        np.zeros(_IN_THIS_SECOND + 1, np.int64),
    )


@kernel
def name_hash(data, a, b):
    """``(hash, end)`` of the uncompressed name at ``data[a:b]``, cases folded; end -1: none there.

    A length and so many bytes, until a zero length (RFC 1035, 3.1).
    """
    hashed = np.uint64(0xCBF29CE484222325)
    first = a
    while a < b and a - first < 255:
        size = u8(data, a)
        stop = a + 1 + size
        if size > 63 or stop > b:
            break
        while a < stop:
            byte = u8(data, a)
            if 0x41 <= byte <= 0x5A:
                byte += 32
            hashed = (hashed ^ np.uint64(byte)) * _FNV
            a += 1
        if size == 0:
            return mix(hashed, np.uint64(1)), a
    return hashed, -1


@kernel
def expect(lookups, data):
    """From now on read the addresses of the name that ``data`` (uint8, as on the wire) is."""
    hashed, end = name_hash(data, 0, data.shape[0])
    if end > 0:
        lookups.names[np.int64(hashed & np.uint64(NAMES - 1))] = hashed


@kernel
def _put_aside(lookups, second, data, a, b):
    meta = lookups.meta
    if meta[_THIS_SECOND] != second:
        meta[_THIS_SECOND] = second
        meta[_IN_THIS_SECOND] = 0
    meta[_IN_THIS_SECOND] += 1
    n = meta[ANSWERS_PUT_ASIDE]
    at = meta[_PUT_BYTES]
    if (
        meta[_IN_THIS_SECOND] > ANSWERS_A_SECOND
        or n == ANSWERS
        or at + b - a > lookups.answers.shape[0]
    ):
        meta[_SKIPPED] += 1
        return
    for k in range(b - a):
        lookups.answers[at + k] = u8(data, a + k)
    lookups.sizes[n] = b - a
    meta[ANSWERS_PUT_ASIDE] = n + 1
    meta[_PUT_BYTES] = at + b - a
    meta[_READ] += 1


@inner_routine
def _message(lookups, segment, data, a, b):
    """One message, ``data[a:b]``: 1 where it is a fresh query for MX."""
    meta = lookups.meta
    if b - a < _HEADER + 5:
        meta[_UNREADABLE] += 1
        return 0
    flags = u16be(data, a + 2)
    answer = flags >> 15
    if flags >> 11 & 15 or u16be(data, a + 4) == 0:  # not a standard query, or without question
        return 0
    hashed, end = name_hash(data, a + _HEADER, b)
    if end < 0 or end + 4 > b:
        meta[_UNREADABLE] += 1
        return 0
    kind = u16be(data, end)
    if kind == _A or kind == _AAAA:
        if lookups.names[np.int64(hashed & np.uint64(NAMES - 1))] != hashed:
            return 0
    elif kind != _MX:
        return 0
    if answer:
        hi, lo, port = segment.dst_hi, segment.dst_lo, np.int64(segment.dport)
    else:
        hi, lo, port = segment.src_hi, segment.src_lo, np.int64(segment.sport)
    fingerprint = mix(mix(mix(hashed, hi), lo), np.uint64(kind))
    transaction = port << 16 | u16be(data, a)
    slot = lookups.asked[np.int64(fingerprint & np.uint64(QUESTIONS - 1))]
    recent = slot.fingerprint == fingerprint and abs(segment.ts - slot.ts) <= ASKED_SECONDS * SECOND
    if not answer:
        slot.fingerprint = fingerprint
        slot.ts = segment.ts
        slot.transaction = transaction
        if kind != _MX:
            return 0
        meta[_REPEATED if recent else _QUERIES] += 1
        return 0 if recent else 1
    if recent and slot.transaction == transaction:
        slot.transaction = -1
        if flags & 15 == 0:
            _put_aside(lookups, segment.ts // SECOND, data, a, b)
    elif kind == _MX:
        meta[_UNASKED] += 1
    return 0


@inner_routine
def _segment(lookups, segment, data):
    """A segment of TCP: the same for all messages that it completes."""
    a = np.int64(segment.payload)
    size = np.int64(segment.captured)
    ports = np.uint64(segment.sport) << _PORT | np.uint64(segment.dport)
    ends = mix(mix(segment.src_hi, segment.src_lo), mix(segment.dst_hi, segment.dst_lo))
    flow = mix(ends, ports)
    which = np.int64(flow & np.uint64(STREAMS - 1))
    stream = lookups.streams[which]
    text = lookups.texts[which]
    held = np.int64(stream.size)
    if held and stream.flow == flow and stream.next == segment.seq and held + size <= STREAM:
        for k in range(size):
            text[held + k] = u8(data, a + k)
        source, a, b = text, 0, held + size
    else:
        lookups.meta[_LOST] += held > 0
        source, b = data, a + size
    queries = 0
    while b - a >= 2 and a + 2 + u16be(source, a) <= b:
        stop = a + 2 + u16be(source, a)
        queries += _message(lookups, segment, source, a + 2, stop)
        a = stop
    stream.size = 0
    if a < b or segment.captured < segment.length:
        if b - a > STREAM or segment.captured < segment.length:
            lookups.meta[_LOST] += 1
            return queries
        for k in range(b - a):
            text[k] = u8(source, a + k)
        stream.flow = flow
        stream.size = b - a
        stream.next = (np.int64(segment.seq) + np.int64(segment.length)) & _MOD
    return queries


@kernel
def heed(lookups, segment, data):
    """``segment`` (dtype SEGMENT, kind DNS): how many fresh queries for MX its sender asks.

    Answers to read are put aside; Python must take them before the next segment.
    """
    if segment.header == UDP_HEADER:
        a = np.int64(segment.payload)
        return _message(lookups, segment, data, a, a + np.int64(segment.captured))
    return _segment(lookups, segment, data)


@kernel
def taken(lookups):
    """The answers put aside have been read."""
    lookups.meta[ANSWERS_PUT_ASIDE] = 0
    lookups.meta[_PUT_BYTES] = 0
