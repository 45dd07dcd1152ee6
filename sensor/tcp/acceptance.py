"""Would its receiver take this segment? Kernels only.

Whoever can put packets on the wire can send what a mirror shows and a receiver drops: a reset with
a number out of the blue, with another connection's timestamp, with a signature nobody asked for.
What receivers drop must not end a connection here either.

* A **reset** is taken where the receiver stands: at what it has acknowledged, or at what the sender
  has sent (both passed the mirror, and only one of them may have arrived). Elsewhere in the window
  it asks back (RFC 5961, 3.2), and outside it drops (RFC 9293, 3.10.7.4).
* A **signature** (RFC 2385, RFC 5925) belongs to all segments of a connection or to none.
* A **timestamp** echoed to a SYN is one the SYN bore, or one of its repetitions (RFC 7323, 5.3).
* A **timestamp** older than the one the receiver last echoed drops bytes and FINs, resets not
  (RFC 7323, 5.2 and 5.3). The echo is the receiver's own word on what it compares with: a decoy
  that never arrived moves nothing. What it has acknowledged it had in time, whatever order a
  mirror shows. Where it acknowledges what was left out here, its echoes mean something else.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8, u32be
from sensor.base.kernel import kernel
from sensor.decode.segment import ACK, FIN

__all__ = ["FURTHEST", "IGNORES", "TAKES", "is_old", "later", "note_echo", "options", "reset"]

IGNORES: Final = 0
UNSURE: Final = 1
TAKES: Final = 2

FURTHEST: Final = 1 << 20
"""Bytes: the largest window believed in, also where its scale was not seen."""
NO_SCALE: Final = 15
LARGEST_SCALE: Final = 14  # RFC 7323, 2.3
_PLAIN: Final = 0xFFFF  # the largest window without scale
_BARE: Final = 20  # a TCP header without options
_SCALE, _STAMPS, _MD5, _AO = 3, 8, 19, 29
_USUAL: Final = 0x0101080A  # two bytes of padding and the timestamps: what nearly all systems send
_LEFT_OUT: Final = 16  # of ``echoes``: something was
_MOD: Final = 0xFFFFFFFF
_HALF: Final = 1 << 31


@kernel
def options(data, segment):
    """``(scale, signed, stamp, echo)`` of a segment's header.

    ``scale`` is NO_SCALE, and the timestamp and its echo -1, where the option is missing.
    """
    scale = np.int64(NO_SCALE)
    signed = False
    stamp = np.int64(-1)
    echo = np.int64(-1)
    end = np.int64(segment.payload)
    p = end - np.int64(segment.header) + _BARE
    while p < end:
        kind = u8(data, p)
        if kind == 0:
            break
        if kind == 1:
            p += 1
            continue
        size = u8(data, p + 1) if p + 1 < end else 0
        if size < 2 or p + size > end:
            break
        if kind == _SCALE and size == 3:
            scale = min(u8(data, p + 2), LARGEST_SCALE)
        elif kind == _STAMPS and size == 10:
            stamp = u32be(data, p + 2)
            echo = u32be(data, p + 6)
        elif kind == _MD5 or kind == _AO:
            signed = True
        p += size
    return scale, signed, stamp, echo


@kernel
def _stamps(data, segment):
    """``(stamp, echo)`` of a segment's header, -1 where there are none."""
    size = np.int64(segment.header)
    if size < _BARE + 12:
        return np.int64(-1), np.int64(-1)
    at = np.int64(segment.payload) - size + _BARE
    if u32be(data, at) == _USUAL:
        return u32be(data, at + 4), u32be(data, at + 8)
    _, _, stamp, echo = options(data, segment)
    return stamp, echo


@kernel
def note_echo(s, side, segment, data):
    """Keep, in streams ``s``, the newest timestamp that ``side`` has echoed."""
    other = 1 - side
    stamp, echo = _stamps(data, segment)
    if stamp < 0 or segment.tcp_flags & ACK == 0:
        return
    known = s.echoes >> other & 1
    if not known or (echo - np.int64(s.echoed[other])) & _MOD < _HALF:
        s.echoed[other] = echo
        s.echoes |= 1 << other


@kernel
def is_old(s, side, segment, data):
    """Whether the receiver drops new bytes, or a FIN, of ``side`` for an old timestamp."""
    if s.echoes >> side & 5 != 1 or s.known[side] == 0:
        return False
    acked = np.int64(s.acked[side])
    beyond = np.int64(segment.seq) + np.int64(segment.length) + (segment.tcp_flags & FIN)
    if not 0 < (beyond - acked) & _MOD < _HALF:
        return False
    if 0 < (acked - np.int64(s.next[side])) & _MOD < _HALF:
        if s.echoes & _LEFT_OUT:
            s.echoes |= 4 << side
        return False
    stamp, _ = _stamps(data, segment)
    # Some clocks are a tick apart from one processor to the next; Linux bears with that.
    if stamp < 0 or not 1 < (np.int64(s.echoed[side]) - stamp) & _MOD < _HALF:
        return False
    s.echoes |= _LEFT_OUT
    return True


@kernel
def later(old, new):
    """The later of two sequence numbers, if ``new`` is within reach of ``old``; else ``old``."""
    return np.int64(new) if (np.int64(new) - np.int64(old)) & _MOD < FURTHEST else np.int64(old)


@kernel
def _window(scales, side):
    """The largest window that ``side`` can have offered; the scales of both lie in ``scales``."""
    mine = np.int64(scales) >> 4 * side & 15
    other = np.int64(scales) >> 4 * (1 - side) & 15
    if mine == NO_SCALE or other == NO_SCALE:
        return np.int64(_PLAIN)
    return min(_PLAIN << mine, FURTHEST)


@kernel
def reset(row, side, seq):
    """What the receiver makes of a reset from ``side`` with number ``seq``.

    ``row`` (dtype CONNECTION) tells what both sides have sent and acknowledged.
    """
    if side == 0:
        sent, acknowledged = np.int64(row.client_next), np.int64(row.server_ack)
    else:
        sent, acknowledged = np.int64(row.server_next), np.int64(row.client_ack)
    ahead = ((seq - sent + _HALF) & _MOD) - _HALF
    room = ((seq - acknowledged + _HALF) & _MOD) - _HALF
    if ahead == 0 or room == 0:
        return TAKES
    if room == -1 and row.fins >> side & 1:
        return TAKES  # some stacks do not count their FIN
    window = _window(row.scales, 1 - side)
    if room > 0:
        return UNSURE if room < window else IGNORES
    receiver_seen = row.seen >> (1 - side) & 1
    return UNSURE if not receiver_seen and -ahead < window else IGNORES
