"""Questions and answers of DNS, as far as mail is concerned. Kernels only.

Of every message the header and the first question are read (RFC 1035, 4.1). What counts:

* a *query* for MX: who asks is about to deliver mail by itself. The same question of the same
  client within ``ASKED_SECONDS`` is a retry and counts once.
* an *answer* to a question seen before, if it was for MX, or for the address of a name that an
  earlier MX answer gave. Such answers are put aside, to be read whole (``answers``) when all that
  ended before them has been told. An answer nobody was seen to ask for tells nothing: anybody can
  send one.

Over TCP (RFC 7766) a message has its length before it. The streams are put together as those of
mail are (``tcp.reassembly``); of a message that is not complete ``MESSAGE`` bytes are held at most.
Where bytes are missing, the next message is looked for behind the one they were of, if its length
is known, else where the stream goes on. Ports used again, and a connection silent for longer than
``ASKED_SECONDS``, begin anew.

Every table here is of fixed size. The newest question overwrites the oldest of four (one whose
answer had not come, which then is not read, is counted), the newest connection the one in its slot
(what that held is counted). No hash of those depends on a secret, or two runs might overwrite
different ones.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.byteorder import u8, u16be
from sensor.base.kernel import inner, inner_routine, kernel, mix
from sensor.base.kernel import table as new_table
from sensor.base.units import SECOND
from sensor.decode.segment import DNS_PORT, UDP_HEADER
from sensor.dns.answers import read_answer
from sensor.dns.known import Known, is_exchanger, new_known
from sensor.dns.wire import AAAA, HEADER, MX, A, name_hash
from sensor.tcp.reassembly import (
    STREAM_FIELDS,
    WINDOW,
    Streams,
    arrive,
    distance,
    drop_held,
    new_streams,
    next_held,
)

__all__ = [
    "ANSWERS_PUT_ASIDE",
    "LOOKUP_COUNTERS",
    "Lookups",
    "new_lookups",
    "on_segment",
    "read_answers",
    "says_something_new",
]

ASKED_SECONDS: Final = 10
"""How long a question may wait for its answer, or a retry come after it."""
QUESTIONS: Final = 1 << 14
PLACES: Final = 4
"""Where a question may stand."""
CONNECTIONS: Final = 64
"""Connections over TCP that are put together at a time."""
PIECES: Final = 256
"""Their pieces out of order, in all."""
MESSAGE: Final = 8192
"""Bytes held of a message over TCP, its length included, until its end has come."""
ANSWERS: Final = 4096
_ANSWER_BYTES: Final = 1 << 17
"""Put aside at most: more than one segment of TCP brings by itself."""

LOOKUP_COUNTERS: Final = {
    "mx_queries": 0,
    "mx_queries_repeated": 1,
    "answers_read": 2,
    "answers_unasked": 3,  # for MX, but who asked was not seen, or was forgotten
    "messages_unreadable": 4,  # no DNS header or question
    "pieces_lost": 5,  # of messages over TCP: never seen, too long, or overwritten
    "answers_skipped": 6,  # more of one segment than can be put aside
    "answers_known": 11,  # of those read: they said nothing new
    "questions_forgotten": 12,  # another stands in their place, and no answer had come yet
}
_QUERIES, _REPEATED, _READ, _UNASKED, _UNREADABLE, _LOST, _SKIPPED, _KNOWN, _GAVE_WAY = (
    LOOKUP_COUNTERS.values()
)
ANSWERS_PUT_ASIDE: Final = 7
"""Slot of ``meta``: answers waiting to be read."""
_PUT_BYTES: Final = 8
# Slots 9 and 10 hold something else in snapshots of versions before.

ASKED = np.dtype(
    [("fingerprint", np.uint64), ("ts", np.int64), ("transaction", np.int64)], align=True
)
"""A question: who asked what, when, and the query's port and id."""

CONVERSATION = np.dtype(
    [
        ("flow", np.uint64),
        ("ts", np.int64),  # packet time of the newest segment, ns
        ("filled", np.int32, 2),  # bytes held of a message that is not complete
        ("skip", np.int32, 2),  # bytes to come of one that is not read
        *STREAM_FIELDS,
    ],
    align=True,
)
"""A connection over TCP: [client, server]."""

_PORT = np.uint64(16)
_NONE = np.uint64(0)


class Lookups(NamedTuple):
    """The tables, as kernels take them."""

    asked: NDArray[np.void]
    """dtype ASKED"""
    known: Known
    streams: Streams
    """with rows of dtype CONVERSATION"""
    messages: NDArray[np.uint8]
    """[CONNECTIONS, 2, MESSAGE] messages that are not complete"""
    answers: NDArray[np.uint8]
    """messages put aside, one after the other"""
    sizes: NDArray[np.int64]
    """[ANSWERS]"""
    meta: NDArray[np.int64]


def new_lookups(most: int) -> Lookups:
    """Tables that hold nothing yet; ``most`` names of exchangers, and addresses."""
    conversations = new_table(CONNECTIONS, CONVERSATION)
    conversations["held"] = -1
    return Lookups(
        new_table(QUESTIONS, ASKED),
        new_known(most),
        new_streams(conversations, PIECES),
        np.zeros((CONNECTIONS, 2, MESSAGE), np.uint8),
        np.zeros(_ANSWER_BYTES, np.uint8),
        np.zeros(ANSWERS, np.int64),
        np.zeros(_GAVE_WAY + 1, np.int64),
    )


@inner_routine
def _put_aside(lookups, data, a, b):
    """Keep an answer, ``data[a:b]``, to be read; too many at once are counted and left."""
    meta = lookups.meta
    n = meta[ANSWERS_PUT_ASIDE]
    at = meta[_PUT_BYTES]
    if n == ANSWERS or at + b - a > lookups.answers.shape[0]:
        meta[_SKIPPED] += 1
        return
    for k in range(b - a):
        lookups.answers[at + k] = u8(data, a + k)
    lookups.sizes[n] = b - a
    meta[ANSWERS_PUT_ASIDE] = n + 1
    meta[_PUT_BYTES] = at + b - a
    meta[_READ] += 1


@inner
def _place(asked, fingerprint):
    """Where a question stands or, where it does not, may: in place of the oldest of ``PLACES``."""
    first = np.int64(fingerprint & np.uint64(QUESTIONS - PLACES))
    oldest = first
    for k in range(first, first + PLACES):
        if asked[k].fingerprint == fingerprint:
            return k
        if asked[k].ts < asked[oldest].ts:
            oldest = k
    return oldest


@inner_routine
def _message(lookups, segment, back, data, a, b):
    """One message, ``data[a:b]``: 1 where it is a fresh query for MX.

    ``back`` tells that it went the other way than ``segment``, which only made it known.
    """
    meta = lookups.meta
    if b - a < HEADER + 5:
        meta[_UNREADABLE] += 1
        return 0
    flags = u16be(data, a + 2)
    answer = flags >> 15 > 0
    if flags >> 11 & 15 or u16be(data, a + 4) == 0:  # not a standard query, or without question
        return 0
    hashed, end = name_hash(data, a + HEADER, b)
    if end < 0 or end + 4 > b:
        meta[_UNREADABLE] += 1
        return 0
    kind = u16be(data, end)
    if kind == A or kind == AAAA:
        if not is_exchanger(lookups.known, hashed):
            return 0
    elif kind != MX:
        return 0
    if answer != back:
        hi, lo, port = segment.dst_hi, segment.dst_lo, np.int64(segment.dport)
    else:
        hi, lo, port = segment.src_hi, segment.src_lo, np.int64(segment.sport)
    fingerprint = mix(mix(mix(hashed, hi), lo), np.uint64(kind))
    transaction = port << 16 | u16be(data, a)
    slot = lookups.asked[_place(lookups.asked, fingerprint)]
    recent = abs(segment.ts - slot.ts) <= ASKED_SECONDS * SECOND
    if slot.fingerprint != fingerprint:
        waits = recent and slot.transaction >= 0 and slot.fingerprint != _NONE
        meta[_GAVE_WAY] += waits and not answer
        recent = False
    if not answer:
        slot.fingerprint = fingerprint
        slot.ts = segment.ts
        slot.transaction = transaction
        if kind != MX:
            return 0
        meta[_REPEATED if recent else _QUERIES] += 1
        return 0 if recent else 1
    if recent and slot.transaction == transaction:
        slot.transaction = -1
        if flags & 15 == 0:
            _put_aside(lookups, data, a, b)
    elif kind == MX:
        meta[_UNASKED] += 1
    return 0


@inner_routine
def _read(lookups, n, side, segment, back, data, a, b):
    """The next bytes of a stream, ``data[a:b]``: how many fresh queries for MX they complete."""
    row = lookups.streams.rows[n]
    text = lookups.messages[n, side]
    queries = 0
    while a < b:
        if row.skip[side]:
            step = min(np.int64(row.skip[side]), b - a)
            row.skip[side] -= step
            a += step
            continue
        size = np.int64(row.filled[side])
        if size == 0 and b - a >= 2 and a + 2 + u16be(data, a) <= b:
            stop = a + 2 + u16be(data, a)
            queries += _message(lookups, segment, back, data, a + 2, stop)
            a = stop
            continue
        end = 2 + u16be(text, 0) if size >= 2 else 2
        if end > MESSAGE:
            lookups.meta[_LOST] += 1
            row.skip[side] = end - size
            row.filled[side] = 0
            continue
        step = min(end - size, b - a)
        for k in range(step):
            text[size + k] = u8(data, a + k)
        a += step
        size += step
        if size >= 2 and size == 2 + u16be(text, 0):
            queries += _message(lookups, segment, back, text, 2, size)
            size = 0
        row.filled[side] = size
    return queries


@inner_routine
def _lose(lookups, n, side, missing):
    """So many bytes of a stream will never come."""
    row = lookups.streams.rows[n]
    size = np.int64(row.filled[side])
    rest = np.int64(row.skip[side])
    if size >= 2:
        rest = 2 + u16be(lookups.messages[n, side], 0) - size
    lookups.meta[_LOST] += 1
    row.filled[side] = 0
    row.skip[side] = max(0, rest - missing)


@inner_routine
def _read_held(lookups, n, side, segment, back):
    """The same as ``_read`` for what waited, and no longer must."""
    streams = lookups.streams
    queries = 0
    while True:
        piece, start, stop, missing = next_held(streams, n, side, False)
        if piece < 0 and missing == 0:
            return queries
        if start < stop:
            text = streams.texts[piece]
            queries += _read(lookups, n, side, segment, back, text, start, stop)
        if missing:
            _lose(lookups, n, side, missing)


@inner_routine
def _conversation(lookups, segment, side):
    """The row of a segment's connection; what stood there of another, or too long ago, is lost."""
    ports = np.uint64(segment.sport) << _PORT | np.uint64(segment.dport)
    source = mix(segment.src_hi, segment.src_lo)
    destination = mix(segment.dst_hi, segment.dst_lo)
    flow = mix(mix(source, destination), ports)
    if side:
        ports = np.uint64(segment.dport) << _PORT | np.uint64(segment.sport)
        flow = mix(mix(destination, source), ports)
    n = np.int64(flow & np.uint64(CONNECTIONS - 1))
    row = lookups.streams.rows[n]
    far = row.known[side] and abs(distance(row.next[side], segment.seq)) > WINDOW
    if row.flow != flow or abs(segment.ts - row.ts) > ASKED_SECONDS * SECOND or far:
        held = drop_held(lookups.streams, n)
        lookups.meta[_LOST] += held or row.filled[0] > 0 or row.filled[1] > 0
        row.flow = flow
        for which in range(2):
            row.known[which] = 0
            row.filled[which] = 0
            row.skip[which] = 0
    row.ts = segment.ts
    return n


@kernel
def on_segment(lookups, segment, data):
    """``segment`` (dtype SEGMENT, kind DNS): ``(queries, back)``.

    Those are fresh queries for MX that it shows: its sender's or, where ``back``, its receiver's,
    which had waited for what came before them. Answers to read are put aside, and must be read
    before the next segment.
    """
    a = np.int64(segment.payload)
    if segment.header == UDP_HEADER:
        stop = a + np.int64(segment.captured)
        return _message(lookups, segment, False, data, a, stop), False
    # Where both ends use the port, which of them is called the client does not matter.
    client = segment.dport == DNS_PORT and (
        segment.sport != DNS_PORT or segment.src_lo < segment.dst_lo
    )
    side = 0 if client else 1
    n = _conversation(lookups, segment, side)
    start, stop, missing = arrive(lookups.streams, n, side, segment, data, False, False)
    # What it acknowledges comes first: a question must be known before its answer is read.
    waited = _read_held(lookups, n, 1 - side, segment, True)
    queries = _read(lookups, n, side, segment, False, data, start, stop)
    if missing:
        _lose(lookups, n, side, missing)
    queries += _read_held(lookups, n, side, segment, False)
    if queries:  # of two that ask each other, which no resolver does, the sender is believed
        return queries, False
    return waited, True


@inner_routine
def _new_ones(lookups, learns):
    """How many of the answers put aside say something new; see ``answers.read_answer``."""
    new = at = 0
    for n in range(lookups.meta[ANSWERS_PUT_ASIDE]):
        stop = at + lookups.sizes[n]
        new += read_answer(lookups.known, lookups.answers, at, stop, learns)
        at = stop
    return new


@inner
def says_something_new(lookups):
    """Whether an answer that was put aside does; nothing is learnt or counted yet."""
    return _new_ones(lookups, False) > 0


@kernel
def read_answers(lookups):
    """Learn from the answers that were put aside."""
    meta = lookups.meta
    meta[_KNOWN] += meta[ANSWERS_PUT_ASIDE] - _new_ones(lookups, True)
    meta[ANSWERS_PUT_ASIDE] = 0
    meta[_PUT_BYTES] = 0
