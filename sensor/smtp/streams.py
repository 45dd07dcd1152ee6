"""TCP streams put together: segments in any order in, the bytes of each side in order out.

Kernels only. Each fresh byte goes to the dialogue once, as soon as all before it have; nothing is
copied but what comes too early.

* **Order.** A segment that lies ahead waits in pieces, ``HELD`` to a stream at most and
  ``max_pieces`` in all. A hole before them is given up, as a gap, when the receiver acknowledges
  what lies behind it (so it is only the mirror that lost it), when more wait than may, or when
  the connection ends; the dialogue is told and goes on behind it.
* **Overlap.** The bytes that came first stand, as on most receivers; where the others differ,
  ``overlap_conflict`` is noted. Of bytes already heard only digests of the last few segments are
  kept, and none of messages: a conflict there is seen when the same segment comes again.
* **Checksums.** A side whose handshake had a good checksum must go on having them, once any
  segment with bytes had one: another is left out (``bad_checksum``). So a sender's own capture,
  where the card fills checksums in later, is read, and one whose texts were made anonymous; and so
  are segments larger than any wire carries, which the card put together.
* **Window.** A segment further than ``WINDOW`` from where the stream is is left out
  (``out_of_window``).
* **Bytes of a SYN** wait, as pieces, for the server to take them (RFC 7413); of all pieces half at
  most are for those.
* **Urgent bytes** stay in the stream (RFC 6093, 3.1) and are told (``urgent_data``): many systems
  take the last of them out by default.
* **A first segment in mid-stream** begins the stream; sequence numbers wrap (RFC 9293, 3.4).
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8, u64be
from sensor.base.kernel import kernel, mix, routine
from sensor.decode.checksum import checksum_is_good
from sensor.decode.segment import ACK, SYN, URG
from sensor.smtp.dialogue import hear, lose
from sensor.smtp.session import (
    ANOMALIES,
    CHUNK,
    HELD,
    LINES,
    PIECES,
    RECENT,
    free_piece,
    new_piece,
    note,
)

__all__ = ["end_streams", "hear_early", "keep_early", "receive", "start_stream"]

WINDOW: Final = 1 << 22
"""Bytes: more than receive windows in use."""
LARGEST_CHECKED: Final = 1500

_OVERLAP: Final = ANOMALIES.index("overlap_conflict")
_WINDOW: Final = ANOMALIES.index("out_of_window")
_CUT: Final = ANOMALIES.index("cut")
_HOLD: Final = ANOMALIES.index("hold_overflow")
_CHECKSUM: Final = ANOMALIES.index("bad_checksum")
_URGENT: Final = ANOMALIES.index("urgent_data")

_MOD: Final = 0xFFFFFFFF
_HALF: Final = 1 << 31


@kernel
def _from(base, seq):
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
    k = np.int64(s.recent_at[side])
    s.recent_seq[side, k] = seq
    s.recent_size[side, k] = size
    s.recent_hash[side, k] = digest
    s.recent_at[side] = (k + 1) % RECENT


@kernel
def _check_again(s, side, data, segment):
    """A segment of bytes all heard before: the same bytes, as far as is known?"""
    s.retransmitted[side] += 1
    for k in range(RECENT):
        if s.recent_seq[side, k] == segment.seq and s.recent_size[side, k] == segment.length:
            a = segment.payload
            if np.int64(s.recent_hash[side, k]) != _digest(data, a, a + segment.length):
                note(s, _OVERLAP)


@routine
def _deliver(table, n, side, source, at, passed, kept, length, now, both):
    """Hear ``length`` bytes, of which ``kept`` lie at ``source[at:]``; ``passed`` are old."""
    s = table.rows[n]
    if kept > passed:
        hear(s, table.lines[n, side], side, source, at + passed, at + kept, now, both)
    fresh = length - passed
    s.bytes[side] += fresh
    s.next[side] = (np.int64(s.next[side]) + fresh) & _MOD
    missing = length - max(kept, passed)
    if missing > 0:
        note(s, _CUT)
        lose(s, side, missing)


# --- pieces out of order -------------------------------------------------------------------------


@kernel
def _insert(table, n, side, before, data, p, start, stop, kept):
    """A piece of bytes ``start`` to ``stop`` (from ``next``), put after piece ``before`` (or -1).

    ``kept`` of them are at ``data[p:]``. The new piece, or -1.
    """
    s = table.rows[n]
    k = new_piece(table)
    if k < 0:
        note(s, _HOLD)
        return before
    piece = table.pieces[k]
    piece.seq = (np.int64(s.next[side]) + start) & _MOD
    piece.length = stop - start
    piece.kept = max(0, min(kept, stop - start))
    for j in range(piece.kept):
        table.texts[k, j] = u8(data, p + j)
    if before < 0:
        piece.following = s.held[side]
        s.held[side] = k
    else:
        piece.following = table.pieces[before].following
        table.pieces[before].following = k
    s.held_size[side] += 1
    return k


@kernel
def _compare(table, n, k, data, p, begin, start, stop, kept):
    """Bytes ``start`` to ``stop`` are in piece ``k``, which begins at ``begin``: are they equal?"""
    piece = table.pieces[k]
    for j in range(start, min(stop, begin + np.int64(piece.kept), start + kept)):
        if table.texts[k, j - begin] != u8(data, p + j - start):
            note(table.rows[n], _OVERLAP)
            return


@routine
def _hold(table, n, side, data, p, offset, length, kept):
    """Keep bytes that lie ``offset`` ahead, but for those that are held already."""
    s = table.rows[n]
    start = offset
    stop = offset + length
    before = -1
    k = np.int64(s.held[side])
    while start < stop:
        begin = _from(s.next[side], table.pieces[k].seq) if k >= 0 else stop
        if k >= 0 and begin <= start:
            end = begin + np.int64(table.pieces[k].length)
            if end > start:
                _compare(
                    table, n, k, data, p + start - offset, begin, start, min(stop, end),
                    kept - (start - offset),
                )  # fmt: skip
                start = end
            before = k
            k = np.int64(table.pieces[k].following)
            continue
        upto = min(stop, begin, start + CHUNK)
        before = _insert(
            table, n, side, before, data, p + start - offset, start, upto, kept - (start - offset)
        )
        start = upto


@routine
def _settle(table, n, side, at_end, now, both):
    """Hear what is held and no longer early; give up holes that will not be filled."""
    s = table.rows[n]
    while s.held[side] >= 0:
        k = np.int64(s.held[side])
        piece = table.pieces[k]
        ahead = _from(s.next[side], piece.seq)
        if ahead > 0:
            if _from(s.next[side], s.acked[side]) < ahead and not at_end:
                if s.held_size[side] <= HELD:
                    return
                note(s, _HOLD)
            lose(s, side, ahead)
            s.bytes[side] += ahead
            s.next[side] = piece.seq
            continue
        s.held[side] = piece.following
        s.held_size[side] -= 1
        length = np.int64(piece.length)
        if length + ahead > 0:
            kept = np.int64(piece.kept)
            _deliver(table, n, side, table.texts[k], 0, -ahead, kept, length, now, both)
        free_piece(table, k)


# --- segments ------------------------------------------------------------------------------------


@routine
def receive(table, n, side, segment, data, checked, both):
    """Session ``n`` gets ``segment`` of this side (0 client, 1 server).

    ``checked`` tells whether a wrong checksum means anything, ``both`` whether both sides are seen.
    """
    s = table.rows[n]
    now = segment.ts
    other = 1 - side
    length = np.int64(segment.length)
    if (
        checked
        and 0 < length <= LARGEST_CHECKED
        and segment.captured == length
        and not checksum_is_good(data, segment)
    ):
        note(s, _CHECKSUM)
        return
    if segment.tcp_flags & ACK and s.known[other]:
        if 0 < _from(s.acked[other], segment.ack) < WINDOW:
            s.acked[other] = segment.ack
    if length:
        if segment.tcp_flags & URG:
            note(s, _URGENT)
        seq = (np.int64(segment.seq) + (segment.tcp_flags & SYN) // SYN) & _MOD
        if s.known[side] == 0:
            start_stream(s, side, seq)
        offset = _from(s.next[side], seq)
        captured = np.int64(segment.captured)
        if offset > WINDOW or offset + length < -WINDOW:
            note(s, _WINDOW)
        elif offset + length <= 0:
            if captured == length:
                _check_again(s, side, data, segment)
        elif offset > 0:
            _hold(table, n, side, data, segment.payload, offset, length, captured)
        else:
            if s.mode[side] == LINES and captured == length:
                a = segment.payload
                _remember(s, side, seq, length, _digest(data, a, a + length))
            _deliver(table, n, side, data, segment.payload, -offset, captured, length, now, both)
    for which in range(2):
        if s.held[which] >= 0:
            _settle(table, n, which, False, now, both)


@routine
def keep_early(table, n, segment, data):
    """Keep the bytes of a client's SYN until they are acknowledged."""
    s = table.rows[n]
    if s.held[0] >= 0 or table.meta[PIECES] < table.pieces.shape[0] // 2:
        length = np.int64(segment.length)
        _hold(table, n, 0, data, segment.payload, 0, length, np.int64(segment.captured))
    else:
        note(s, _HOLD)


@routine
def hear_early(table, n, now, both):
    """The server took the bytes of the SYN: hear them."""
    if table.rows[n].held[0] >= 0:
        _settle(table, n, 0, False, now, both)


@routine
def end_streams(table, n, now, both):
    """No more segments will come: hear what is held."""
    for side in range(2):
        if table.rows[n].held[side] >= 0:
            _settle(table, n, side, True, now, both)
