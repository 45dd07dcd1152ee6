"""Clocks that differ: an answer stamped before what it answers comes after it. Kernels only.

Segments of several taps stand in the order of their stamps. Where a segment acknowledges what the
other end has not sent by then, and another tap has that within ``skew``, it is put first, with all
that this end sent before it. So a SYN-ACK finds its SYN, whichever clock is behind.

Numbers alone would let who forges acknowledgements move segments about. So it begins with
handshakes, whose numbers must fit exactly; each that stands the wrong way round says of two taps
that their clocks differ, and by how much at least. Between taps that are known to differ, bytes are
put right as well. Of DNS an answer finds its question, told by the id both have.

A table remembers how far each end of a connection is; a slot holds the connection that came last.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u16be
from sensor.base.kernel import kernel
from sensor.decode.segment import ACK, DNS, DNS_PORT, FIN, RST, SYN, TCP, UDP_HEADER

__all__ = ["ENDS", "ENDS_ROWS", "put_right"]

ENDS_ROWS: Final = 1 << 16
ENDS = np.dtype(
    [
        ("flow", np.uint64),
        ("next", np.uint32, 2),  # the sequence number each end will use; of DNS, messages seen
        ("known", np.uint8, 2),
        ("done", np.uint8),  # 1: the handshake is over
    ],
    align=True,
)
"""How far both ends of a connection are."""

_MOD: Final = 0xFFFFFFFF
_NEAR: Final = 1 << 30


@kernel
def _side(s):
    """Which end of its connection sent a segment: 0 or 1."""
    if s.src_hi != s.dst_hi:
        return np.int64(s.src_hi > s.dst_hi)
    if s.src_lo != s.dst_lo:
        return np.int64(s.src_lo > s.dst_lo)
    return np.int64(s.sport > s.dport)


@kernel
def _slot(ends, s):
    """The slot of a segment's connection, begun anew where another's stood or a SYN begins one."""
    slot = ends[np.int64(s.flow & np.uint64(ENDS_ROWS - 1))]
    opens = s.kind == TCP and s.tcp_flags & (SYN | ACK | RST) == SYN
    side = _side(s)
    another = opens and slot.known[side] and slot.done
    if slot.flow != s.flow or another:
        slot.flow = s.flow
        slot.known[0] = 0
        slot.known[1] = 0
        slot.done = 0
    return slot


@kernel
def _is_answer(s):
    """Whether a message of DNS is one; over UDP alone."""
    return s.header == UDP_HEADER and s.sport == DNS_PORT


@kernel
def _following(s):
    """The sequence number behind a segment."""
    flags = s.tcp_flags
    return (np.int64(s.seq) + np.int64(s.length) + (flags & SYN) // SYN + (flags & FIN)) & _MOD


@kernel
def _note(ends, s):
    """A segment had its turn."""
    slot = _slot(ends, s)
    side = _side(s)
    if s.kind >= DNS:
        slot.next[side] = (np.int64(slot.next[side]) + 1) & _MOD if slot.known[side] else 1
        slot.known[side] = 1
        return
    if s.kind != TCP or s.tcp_flags & RST:
        return
    following = _following(s)
    if not slot.known[side] or (following - np.int64(slot.next[side])) & _MOD < _NEAR:
        slot.next[side] = following
        slot.known[side] = 1
    if slot.known[1 - side] and s.tcp_flags & (SYN | ACK) == ACK:
        slot.done = 1


@kernel
def _lacks(ends, s):
    """What a segment answers that was not seen.

    0 nothing, 1 a SYN, 2 bytes, 3 a question, 4 the SYN-ACK that a reset disowns.
    """
    slot = _slot(ends, s)
    side = _side(s)
    other = 1 - side
    if s.kind >= DNS:
        asked = np.int64(slot.next[other]) if slot.known[other] else 0
        told = np.int64(slot.next[side]) if slot.known[side] else 0
        return 3 if _is_answer(s) and asked <= told else 0
    if s.kind != TCP:
        return 0
    if s.tcp_flags & ACK == 0:  # but a reset, which says whose SYN-ACK it answers by its number
        waits = slot.known[side] and not slot.known[other] and not slot.done
        return 4 if s.tcp_flags & RST and waits else 0
    if not slot.known[other]:
        opening = s.tcp_flags & (SYN | RST) or (slot.known[side] and not slot.done)
        return 1 if opening else 0
    beyond = (np.int64(s.ack) - np.int64(slot.next[other])) & _MOD
    return 2 if 0 < beyond < _NEAR else 0


@kernel
def _gives(s, t, lack, data):
    """Whether segment ``t`` of the other end is what ``s`` lacks."""
    if lack == 3:
        a = np.int64(s.payload)
        b = np.int64(t.payload)
        return (
            t.kind >= DNS
            and s.captured >= 2
            and t.captured >= 2
            and u16be(data, a) == u16be(data, b)
        )
    if t.kind != TCP or t.tcp_flags & RST:
        return False
    if lack == 1:
        return t.tcp_flags & SYN > 0 and (np.int64(t.seq) + 1) & _MOD == np.int64(s.ack)
    if lack == 4:
        return t.tcp_flags & (SYN | ACK) == SYN | ACK and t.ack == s.seq
    ack = np.int64(s.ack)
    return (_following(t) - ack) & _MOD < _NEAR and 0 < (ack - np.int64(t.seq)) & _MOD < _NEAR


@kernel
def _bring(segments, places, taps, i, j, ends, new, first):
    """Segment ``j`` has its turn before ``i``, after all that its end sent before it. How many."""
    moved = 0
    side = _side(segments[j])
    for k in range(i + 1, j + 1):
        t = segments[k]
        if first[k] and t.flow == segments[j].flow and taps[k] == taps[j] and _side(t) == side:
            new[k] = places[i]
            first[k] = 0
            _note(ends, t)
            moved += 1
    return moved


@kernel
def put_right(segments, data, places, taps, stop, skew, ends, ahead, new, first):
    """Say where ``segments`` (dtype SEGMENT), in the order of ``places``, have their turn.

    ``new`` (int64) gets their places, and ``first`` 0 where one comes before all that is there,
    else 1. Those from ``stop`` on are only looked at: it is not their turn yet, but where they are
    brought forward. ``ahead`` (int64[taps, taps]) is by how many nanoseconds at least the clock of
    the first is ahead of the second's; it grows. Returns how many are brought forward.
    """
    moved = 0
    n = segments.shape[0]
    for k in range(n):
        new[k] = places[k]
        first[k] = 1
    for i in range(stop):
        if first[i] == 0:
            continue
        s = segments[i]
        lack = _lacks(ends, s)
        j = i + 1
        while lack and j < n and places[j] - places[i] <= skew:
            t = segments[j]
            mine = taps[i] & (ahead.shape[0] - 1)
            other = taps[j] & (ahead.shape[0] - 1)
            if (
                t.flow == s.flow
                and mine != other
                and first[j]
                and _side(t) != _side(s)
                and (lack != 2 or ahead[mine, other] or ahead[other, mine])
                and _gives(s, t, lack, data)
            ):
                if lack == 1 or lack == 4:
                    ahead[other, mine] = max(ahead[other, mine], places[j] - places[i], 1)
                moved += _bring(segments, places, taps, i, j, ends, new, first)
                break
            j += 1
        _note(ends, s)
    return moved
