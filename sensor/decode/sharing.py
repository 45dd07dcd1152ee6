"""Which share of the traffic a segment is of, and its bytes taken out of a block. Kernels only.

A share is all of one subscriber's: both directions of each connection, errors about them, and the
lookups. It is found as ``capture.bpf.steering`` finds a worker, by the address of who speaks to a
watched port or to port 53, else of who is spoken to; where both ports are such, by the smaller
number of both, so that the two directions still meet.

Messages of DNS go to every share, for each must know the names of mail exchangers; in those that
are not their own they count for nobody (``OVERHEARD``).
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel
from sensor.decode.decoder import flow_hash
from sensor.decode.segment import DNS, DNS_PORT, ICMP_ERROR, OVERHEARD, is_watched

__all__ = [
    "GOOD",
    "LEAD",
    "TCP_HEADER",
    "TOLD",
    "from_columns",
    "pack",
    "share_out",
    "shorten",
    "ttl",
    "unpack",
]

LEAD: Final = 40
"""Bytes before each header in what ``unpack`` gives: room for an IP header that has but a TTL."""

TCP_HEADER: Final = 20
"""Bytes of the shortest."""
_MOST_HEADER: Final = 60
_LEAST_HEADER: Final = 8
_MOST_VLAN: Final = 4095
GOOD, _BAD_CAPTURED, _BAD_KIND, _BAD_HEADER = range(4)
"""What ``from_columns`` finds."""
TOLD: Final = 12
"""Bytes that a TCP header begins with and a row tells as well: ports, numbers."""

_WORD: Final = 0xFFFFFFFF
_HALF = np.uint64(32)
_LOW = np.uint64(_WORD)
_MAPPED_PREFIX = np.uint64(0xFFFF)
_ZERO = np.uint64(0)


@kernel
def _copy(source, a, target, b, size):
    """``source[a:a + size]`` to ``target[b:]``."""
    for j in range(np.uint64(size)):
        target[np.uint64(b) + j] = source[np.uint64(a) + j]


@kernel
def ttl(segment, data):
    """The TTL or hop limit of a segment without IP options; 0: not known."""
    at = segment.payload - segment.header
    if at >= 20 and data[at - 20] == 0x45 and segment.src_hi == 0:
        return np.int64(data[at - 12])
    if at >= 40 and data[at - 40] >> 4 == 6:
        return np.int64(data[at - 33])
    return np.int64(0)


@kernel
def _number(hi, lo, prefix):
    """The worker's number of an address; ``prefix``: bits that count of an IPv6 one, 64 at most."""
    if hi == _ZERO and lo >> _HALF == _MAPPED_PREFIX:
        word = np.int64(lo & _LOW)
    else:
        first = np.int64(hi >> _HALF) & (_WORD << (32 - min(32, prefix))) & _WORD
        second = np.int64(hi & _LOW) & (_WORD << (64 - max(32, prefix))) & _WORD
        word = first ^ (second * 0x85EBCA6B & _WORD)
    return (word * 0x9E3779B1 & _WORD) >> 16  # of a product only the lower word counts


@kernel
def share_out(segments, watched, prefix, count, shares):
    """Set ``shares`` (int64, one a segment) to numbers below ``count``."""
    for k in range(segments.shape[0]):
        s = segments[k]
        from_client = is_watched(watched, s.dport) or s.dport == DNS_PORT
        from_server = is_watched(watched, s.sport) or s.sport == DNS_PORT
        number = np.int64(0)
        if from_client:
            number = _number(s.src_hi, s.src_lo, prefix)
            if from_server:
                number = min(number, _number(s.dst_hi, s.dst_lo, prefix))
        else:
            number = _number(s.dst_hi, s.dst_lo, prefix)
        shares[k] = number % count


@kernel
def pack(segments, data, shares, share, start, most, rows, ttls, out, fill):
    """Put the segments of a share, from number ``start`` on, behind those that are packed already.

    ``rows`` (dtype SEGMENT) get them; ``out`` (uint8) their TCP or UDP header and payload, one
    behind the other, and ``most`` bytes of each payload at most. ``fill`` (int64[2]) is how much of
    both is used. Copies that this sensor's own mirror made are left out, and what has a share below
    zero. Returns where it stopped: before the end when there is no room.
    """
    for k in range(start, segments.shape[0]):
        s = segments[k]
        if s.duplicate or shares[k] < 0 or (shares[k] != share and s.kind != DNS):
            continue
        header = np.int64(0) if s.kind == ICMP_ERROR else np.int64(s.header)
        a = np.int64(s.payload) - header
        captured = min(np.int64(s.captured), most)
        size = header + captured
        n = fill[0]
        at = fill[1]
        if n == rows.shape[0] or at + size > out.shape[0]:
            return k
        row = rows[n]
        row.ts = s.ts
        row.frame = s.frame
        row.src_hi = s.src_hi
        row.src_lo = s.src_lo
        row.dst_hi = s.dst_hi
        row.dst_lo = s.dst_lo
        row.tunnels = s.tunnels
        row.seq = s.seq
        row.ack = s.ack
        row.mark = s.mark
        row.length = s.length
        row.captured = captured
        row.vlan = s.vlan
        row.sport = s.sport
        row.dport = s.dport
        row.tcp_flags = s.tcp_flags
        row.kind = s.kind if shares[k] == share else OVERHEARD
        row.header = header
        row.payload = at + header
        ttls[n] = 0 if s.kind == ICMP_ERROR else ttl(s, data)
        there = min(size, data.shape[0] - a)
        _copy(data, a, out, at, there)
        for j in range(there, size):  # a capture may end inside a header
            out[at + j] = 0
        fill[0] = n + 1
        fill[1] = at + size
    return segments.shape[0]


@kernel
def _told(row):
    """How many bytes its header begins with that the row tells."""
    return TOLD if row.header >= TCP_HEADER else 0


@kernel
def _tell(row, data, at):
    """Those bytes (RFC 9293, 3.1)."""
    _put(data, at, np.int64(row.sport), 2)
    _put(data, at + 2, np.int64(row.dport), 2)
    _put(data, at + 4, np.int64(row.seq), 4)
    _put(data, at + 8, np.int64(row.ack), 4)


@kernel
def _put(data, at, value, size):
    for j in range(size):
        data[at + j] = value >> 8 * (size - 1 - j) & 0xFF


@kernel
def shorten(rows, packed, out):
    """Headers and payloads, ``packed``, into ``out`` without what the rows tell: how many bytes."""
    a = np.int64(0)
    at = np.int64(0)
    for k in range(rows.shape[0]):
        row = rows[k]
        told = _told(row)
        size = np.int64(row.header) + np.int64(row.captured)
        _copy(packed, a + told, out, at, size - told)
        a += size
        at += size - told
    return at


@kernel
def from_columns(ts, addresses, tunnels, numbers, sizes, words, octets, rows, ttls):
    """Fill ``rows`` (dtype SEGMENT), but for ``payload`` and ``flow``, and ``ttls``.

    ``ts`` and ``tunnels`` are int64[1, n], ``addresses`` uint64[4, n], ``numbers`` uint32[3, n]
    (seq, ack, mark), ``sizes`` int32[3, n] (length, captured, vlan), ``words`` uint16[3, n] (ports,
    flags), ``octets`` uint8[3, n] (kind, header, TTL). Kernels read as far as a row tells them to:
    returns what is wrong with the rows, else GOOD, and how many bytes of headers, as ``shorten``
    leaves them, and payloads they have.
    """
    wrong = GOOD
    size = np.int64(0)
    for k in range(rows.shape[0]):
        row = rows[k]
        row.ts = ts[0, k]
        row.frame = 0
        row.payload = 0
        row.src_hi = addresses[0, k]
        row.src_lo = addresses[1, k]
        row.dst_hi = addresses[2, k]
        row.dst_lo = addresses[3, k]
        row.flow = _ZERO
        row.tunnels = tunnels[0, k]
        row.seq = numbers[0, k]
        row.ack = numbers[1, k]
        row.mark = numbers[2, k]
        row.length = sizes[0, k]
        row.captured = sizes[1, k]
        row.vlan = sizes[2, k]
        row.keep = 0
        row.sport = words[0, k]
        row.dport = words[1, k]
        row.tcp_flags = words[2, k]
        row.kind = octets[0, k]
        row.duplicate = 0
        row.header = octets[1, k]
        ttls[k] = octets[2, k]
        size += np.int64(row.header) + np.int64(row.captured) - _told(row)
        if row.captured < 0 or row.captured > max(row.length, 0):
            wrong = _BAD_CAPTURED
        elif row.kind > OVERHEARD or row.vlan < -1 or row.vlan > _MOST_VLAN:
            wrong = _BAD_KIND
        elif row.header > _MOST_HEADER or (row.kind != ICMP_ERROR and row.header < _LEAST_HEADER):
            wrong = _BAD_HEADER
    return wrong, size


@kernel
def unpack(rows, ttls, packed, seed, at, data):
    """The same the other way: what ``shorten`` gave of ``rows`` into ``data`` from ``at`` on.

    Each gets ``LEAD`` bytes before its header, which say its TTL where that is known; ``payload``
    and ``flow`` are set. Returns where in ``data`` the last ends.
    """
    a = np.int64(0)
    for k in range(rows.shape[0]):
        row = rows[k]
        for j in range(LEAD):
            data[at + j] = 0
        header = at + LEAD
        if ttls[k]:
            if row.src_hi == _ZERO:
                data[header - 20] = 0x45
                data[header - 12] = ttls[k]
            else:
                data[header - 40] = 0x60
                data[header - 33] = ttls[k]
        size = np.int64(row.header) + np.int64(row.captured)
        told = _told(row)
        if told:
            _tell(row, data, header)
        _copy(packed, a, data, header + told, size - told)
        row.payload = header + np.int64(row.header)
        row.flow = flow_hash(row, seed)
        a += size - told
        at = header + size
    return at
