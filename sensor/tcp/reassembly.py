"""TCP streams put together: segments in any order in, the bytes of each side in order out.

Kernels only, and for any protocol: what the bytes say is the caller's to read. Each fresh byte is
given once, as soon as all before it have been; nothing is copied but what comes too early.

    start, stop, missing = arrive(streams, n, side, segment, data, checked, digested)
    ...                                  # read data[start:stop], then do without ``missing`` bytes
    for side in range(2):
        piece, start, stop, missing = next_held(streams, n, side, False)
        ...                              # the same with streams.texts[piece], until nothing is due

* **Order.** A segment that lies ahead waits in pieces, ``HELD`` to a stream at most and as many in
  all as the table of pieces has; one there is no room for is given up (``hold_overflow``). A hole
  before pieces is given up when the receiver acknowledges what lies behind it (so it is only the
  mirror that lost it), when more than ``HELD`` wait, or when the connection ends.
* **Overlap.** The bytes that came first stand, as on most receivers; where the others differ,
  ``overlap_conflict`` is noted. Of bytes already given only digests of the last few segments are
  kept, if the caller wants them: a conflict there is seen when the same segment comes again.
* **Checksums.** Where the caller says that they mean something, a segment with a wrong one is left
  out (``bad_checksum``); not those larger than any wire carries, which the card put together.
* **Window.** A segment further than ``WINDOW`` from where the stream is is left out
  (``out_of_window``).
* **Bytes of a SYN** wait, as pieces, for the server to take them (RFC 7413); of all pieces half at
  most are for those.
* **Timestamps.** Bytes that their receiver drops for an old one are left out (``old_timestamp``,
  see ``acceptance``).
* **Urgent bytes** stay in the stream (RFC 6093, 3.1) and are noted (``urgent_data``): many systems
  take the last of them out by default.
* **A first segment in mid-stream** begins the stream; sequence numbers wrap (RFC 9293, 3.4).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.byteorder import u8, u64be
from sensor.base.kernel import kernel, mix, routine
from sensor.base.kernel import table as new_table
from sensor.decode.segment import ACK, SYN, URG
from sensor.tcp.acceptance import is_old, note_echo
from sensor.tcp.checksum import checksum_is_good

__all__ = [
    "CHUNK",
    "FAULTS",
    "HELD",
    "OLD",
    "PIECE",
    "PIECES",
    "PIECES_REFUSED",
    "SLOTS",
    "STREAM_FIELDS",
    "WINDOW",
    "Streams",
    "arrive",
    "distance",
    "drop_held",
    "keep_early",
    "new_streams",
    "next_held",
    "start_stream",
]

WINDOW: Final = 1 << 22
"""Bytes: more than receive windows in use."""
LARGEST_CHECKED: Final = 1500
RECENT: Final = 4
"""Segments of each side whose digest is kept, to know a retransmission with other bytes."""
CHUNK: Final = 1480
"""Bytes of one piece held until what lies before it has come."""
HELD: Final = 48
"""Pieces one stream may hold: some 70 kB."""

FAULTS: Final = (
    "cut",  # bytes that the capture's snap length left out
    "overlap_conflict",  # the same bytes of the stream twice, and different
    "bad_checksum",  # a segment whose TCP checksum is wrong, left out
    "out_of_window",  # a segment far from where the stream is, left out
    "hold_overflow",  # more out of order than is held: the hole was given up
    "urgent_data",  # bytes marked urgent: receivers differ on whether one is of the stream
    "old_timestamp",  # bytes or a FIN whose timestamp their receiver drops them for (RFC 7323)
)
"""Names of the bits of ``faults``, the lowest first."""
_CUT, _OVERLAP, _CHECKSUM, _WINDOW, _HOLD, _URGENT, OLD = (1 << k for k in range(len(FAULTS)))

STREAM_FIELDS: Final = (
    ("next", np.uint32, 2),  # the sequence number expected
    ("acked", np.uint32, 2),  # what the other side has acknowledged
    ("known", np.uint8, 2),  # ``next`` holds something
    ("faults", np.uint8),  # bits of FAULTS, both sides together
    ("held", np.int32, 2),  # first piece out of order, or -1
    ("held_size", np.int32, 2),
    ("bytes", np.int64, 2),  # of the stream, gaps included
    ("retransmitted", np.uint32, 2),
    ("recent_seq", np.uint32, (2, RECENT)),
    ("recent_size", np.int32, (2, RECENT)),
    ("recent_hash", np.uint32, (2, RECENT)),
    ("recent_at", np.uint8, 2),
    ("echoed", np.uint32, 2),  # the newest timestamp of each side that the other has echoed
    ("echoes", np.uint8),  # sides of which it is known; 4 times those of which it means nothing
)
"""What the row of a connection's two streams, [client, server], must have among its fields."""

PIECE = np.dtype(
    [
        ("following", np.int32),  # the next piece of the stream, or of the free ones
        ("seq", np.uint32),
        ("length", np.int32),  # in the stream
        ("kept", np.int32),  # bytes there are: fewer where the capture left some out
    ],
    align=True,
)

# Slots of Streams.meta; those before are for the owner of the rows.
PIECES: Final = 3  # in use
_PIECES_USED: Final = 4  # ever used
_PIECES_FREE: Final = 5  # first free piece, or -1
PIECES_REFUSED: Final = 6  # counter: pieces there was no room for
SLOTS: Final = 7

_MOD: Final = 0xFFFFFFFF
_HALF: Final = 1 << 31


class Streams(NamedTuple):
    """The streams of many connections. Any tuple with these fields, and others, will do."""

    rows: NDArray[np.void]
    """one a connection, with STREAM_FIELDS; before a row is used its ``held`` must be -1"""
    pieces: NDArray[np.void]
    """dtype PIECE"""
    texts: NDArray[np.uint8]
    """[pieces, CHUNK] their bytes"""
    meta: NDArray[np.int64]
    """[SLOTS]"""


def new_streams(rows: NDArray[np.void], pieces: int) -> Streams:
    """Streams without a byte, whose ``rows`` are the caller's."""
    meta = np.zeros(SLOTS, np.int64)
    meta[_PIECES_FREE] = -1
    return Streams(rows, new_table(pieces, PIECE), np.zeros((pieces, CHUNK), np.uint8), meta)


@kernel
def distance(base, seq):
    """How far ``seq`` lies after ``base``, both sequence numbers; negative: before."""
    return ((np.int64(seq) - np.int64(base) + _HALF) & _MOD) - _HALF


@kernel
def start_stream(s, side, seq):
    """The next byte of this side has sequence number ``seq``."""
    s.next[side] = seq & _MOD
    s.acked[side] = seq & _MOD
    s.known[side] = 1


@kernel
def _digest(data, a, b):
    """A digest (32 bits) of ``data[a:b]``."""
    digest = np.uint64(b - a)
    while a + 8 <= b:
        digest = mix(digest, u64be(data, a))
        a += 8
    rest = np.int64(0)
    while a < b:
        rest = rest << 8 | u8(data, a)
        a += 1
    return np.int64(mix(digest, np.uint64(rest)) & np.uint64(_MOD))


@kernel
def _remember(s, side, seq, size, digest):
    """Keep the digest of a segment in place of the oldest."""
    k = np.int64(s.recent_at[side])
    s.recent_seq[side, k] = seq
    s.recent_size[side, k] = size
    s.recent_hash[side, k] = digest
    s.recent_at[side] = (k + 1) % RECENT


@kernel
def _check_again(s, side, data, segment):
    """A segment of bytes all given before: the same bytes, as far as is known?"""
    s.retransmitted[side] += 1
    for k in range(RECENT):
        if s.recent_seq[side, k] == segment.seq and s.recent_size[side, k] == segment.length:
            a = segment.payload
            if np.int64(s.recent_hash[side, k]) != _digest(data, a, a + segment.length):
                s.faults |= _OVERLAP


@kernel
def _advance(s, side, passed, kept, length):
    """The stream goes on by what is new of ``length`` bytes; how many of them are missing.

    ``passed`` are old, ``kept`` are there.
    """
    s.bytes[side] += length - passed
    s.next[side] = (np.int64(s.next[side]) + length - passed) & _MOD
    missing = length - max(kept, passed)
    if missing > 0:
        s.faults |= _CUT
    return missing


# --- pieces out of order -------------------------------------------------------------------------


@kernel
def _new_piece(streams):
    """A piece, or -1 when there is none left."""
    meta = streams.meta
    k = meta[_PIECES_FREE]
    if k >= 0:
        meta[_PIECES_FREE] = np.int64(streams.pieces[k].following)
    elif meta[_PIECES_USED] < streams.pieces.shape[0]:
        k = meta[_PIECES_USED]
        meta[_PIECES_USED] += 1
    else:
        meta[PIECES_REFUSED] += 1
        return -1
    meta[PIECES] += 1
    return k


@kernel
def _free_piece(streams, k):
    """Give a piece back; its bytes stand until another segment comes."""
    streams.pieces[k].following = streams.meta[_PIECES_FREE]
    streams.meta[_PIECES_FREE] = k
    streams.meta[PIECES] -= 1


@kernel
def drop_held(streams, n):
    """Give back all pieces that the streams of row ``n`` hold; whether there were any."""
    s = streams.rows[n]
    dropped = False
    for side in range(2):
        while s.held[side] >= 0:
            k = np.int64(s.held[side])
            s.held[side] = streams.pieces[k].following
            _free_piece(streams, k)
            dropped = True
        s.held_size[side] = 0
    return dropped


@kernel
def _insert(streams, n, side, before, data, p, start, stop, kept):
    """A piece of bytes ``start`` to ``stop`` (from ``next``), put after piece ``before`` (or -1).

    ``kept`` of them are at ``data[p:]``. The new piece, or -1.
    """
    s = streams.rows[n]
    k = _new_piece(streams)
    if k < 0:
        s.faults |= _HOLD
        return before
    piece = streams.pieces[k]
    piece.seq = (np.int64(s.next[side]) + start) & _MOD
    piece.length = stop - start
    piece.kept = max(0, min(kept, stop - start))
    for j in range(piece.kept):
        streams.texts[k, j] = u8(data, p + j)
    if before < 0:
        piece.following = s.held[side]
        s.held[side] = k
    else:
        piece.following = streams.pieces[before].following
        streams.pieces[before].following = k
    s.held_size[side] += 1
    return k


@kernel
def _compare(streams, n, k, data, p, begin, start, stop, kept):
    """Bytes ``start`` to ``stop`` are in piece ``k``, which begins at ``begin``: are they equal?"""
    piece = streams.pieces[k]
    for j in range(start, min(stop, begin + np.int64(piece.kept), start + kept)):
        if streams.texts[k, j - begin] != u8(data, p + j - start):
            streams.rows[n].faults |= _OVERLAP
            return


@routine
def _hold(streams, n, side, data, p, offset, length, kept):
    """Keep bytes that lie ``offset`` ahead, but for those that are held already."""
    s = streams.rows[n]
    start = offset
    stop = offset + length
    before = -1
    k = np.int64(s.held[side])
    while start < stop:
        begin = distance(s.next[side], streams.pieces[k].seq) if k >= 0 else stop
        if k >= 0 and begin <= start:
            end = begin + np.int64(streams.pieces[k].length)
            if end > start:
                _compare(
                    streams, n, k, data, p + start - offset, begin, start, min(stop, end),
                    kept - (start - offset),
                )  # fmt: skip
                start = end
            before = k
            k = np.int64(streams.pieces[k].following)
            continue
        upto = min(stop, begin, start + CHUNK)
        before = _insert(
            streams, n, side, before, data, p + start - offset, start, upto, kept - (start - offset)
        )
        start = upto


# --- segments ------------------------------------------------------------------------------------


@routine
def arrive(streams, n, side, segment, data, checked, digested):
    """Row ``n`` gets ``segment`` (dtype SEGMENT) of this side: ``(start, stop, missing)``.

    ``data[start:stop]`` are the next bytes of the stream, and ``missing`` more were left out of the
    capture behind them. All three are 0 where nothing is next; ``start`` and ``stop`` are -1 where
    the segment is left out for its checksum or its timestamp.

    ``data`` is the block that holds the payload, ``checked`` tells whether a wrong checksum means
    anything, ``digested`` whether the bytes' digest is kept to know them when they come again.
    """
    s = streams.rows[n]
    nothing = np.int64(0)
    other = 1 - side
    length = np.int64(segment.length)
    captured = np.int64(segment.captured)
    if (
        checked
        and 0 < length <= LARGEST_CHECKED
        and captured == length
        and not checksum_is_good(data, segment)
    ):
        s.faults |= _CHECKSUM
        return nothing - 1, nothing - 1, nothing
    if length and is_old(s, side, segment, data):
        s.faults |= OLD
        return nothing - 1, nothing - 1, nothing
    note_echo(s, side, segment, data)
    if segment.tcp_flags & ACK and s.known[other]:
        if 0 < distance(s.acked[other], segment.ack) < WINDOW:
            s.acked[other] = segment.ack
    if length == 0:
        return nothing, nothing, nothing
    if segment.tcp_flags & URG:
        s.faults |= _URGENT
    seq = (np.int64(segment.seq) + (segment.tcp_flags & SYN) // SYN) & _MOD
    if s.known[side] == 0:
        start_stream(s, side, seq)
    offset = distance(s.next[side], seq)
    a = np.int64(segment.payload)
    if offset > WINDOW or offset + length < -WINDOW:
        s.faults |= _WINDOW
    elif offset + length <= 0:
        if captured == length:
            _check_again(s, side, data, segment)
    elif offset > 0:
        _hold(streams, n, side, data, a, offset, length, captured)
    else:
        if digested and captured == length:
            _remember(s, side, seq, length, _digest(data, a, a + length))
        missing = _advance(s, side, -offset, captured, length)
        return a - offset, a + max(captured, -offset), missing
    return nothing, nothing, nothing


@routine
def next_held(streams, n, side, at_end):
    """What comes next of that which waits on this side: ``(piece, start, stop, missing)``.

    ``streams.texts[piece, start:stop]`` are the next bytes, and ``missing`` more never came behind
    them; where ``piece`` is -1 there are only missing ones, or nothing is due (``missing`` is 0).
    ``at_end``: nothing more will come, so every hole is given up.
    """
    s = streams.rows[n]
    nothing = np.int64(0)
    while s.held[side] >= 0:
        k = np.int64(s.held[side])
        piece = streams.pieces[k]
        ahead = distance(s.next[side], piece.seq)
        if ahead > 0:
            if distance(s.next[side], s.acked[side]) < ahead and not at_end:
                if s.held_size[side] <= HELD:
                    break
                s.faults |= _HOLD
            s.bytes[side] += ahead
            s.next[side] = piece.seq
            return np.int64(-1), nothing, nothing, ahead
        s.held[side] = piece.following
        s.held_size[side] -= 1
        length = np.int64(piece.length)
        kept = np.int64(piece.kept)
        _free_piece(streams, k)
        if length + ahead > 0:
            missing = _advance(s, side, -ahead, kept, length)
            return k, -ahead, max(kept, -ahead), missing
    return np.int64(-1), nothing, nothing, nothing


@routine
def keep_early(streams, n, segment, data):
    """Keep the bytes of a client's SYN until they are acknowledged."""
    s = streams.rows[n]
    if s.held[0] >= 0 or streams.meta[PIECES] < streams.pieces.shape[0] // 2:
        length = np.int64(segment.length)
        _hold(streams, n, 0, data, segment.payload, 0, length, np.int64(segment.captured))
    else:
        s.faults |= _HOLD
