"""Kernels that find the packet records in pcap and pcapng bytes.

They read record headers only and fill FRAME rows that point into the buffer; no packet is copied.
Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.

Each returns ``(n, pos, status)``: frames filled, where reading stopped, and why.
"""

from typing import Final

from sensor.base.byteorder import u16be, u16le, u32be, u32le
from sensor.base.kernel import kernel
from sensor.base.units import SECOND

__all__ = [
    "ABSURD",
    "BAD_BLOCK",
    "FULL",
    "INTERFACE",
    "MORE",
    "PASSED_OVER",
    "SECTION",
    "UNKNOWN_INTERFACE",
    "index_pcap",
    "index_pcapng",
]

MORE: Final = 0  # the record at pos is not whole in this buffer
FULL: Final = 1  # no room for another frame
ABSURD: Final = 2  # the record at pos claims more bytes than any packet has
SECTION: Final = 3  # a section header block, for the caller
INTERFACE: Final = 4  # an interface description block, for the caller
BAD_BLOCK: Final = 5  # the block at pos contradicts itself
UNKNOWN_INTERFACE: Final = 6  # the packet at pos is of an interface never described
PASSED_OVER: Final = 7  # a block larger than the limit and of no use: the caller passes over it

_SECTION_HEADER: Final = 0x0A0D0D0A
_INTERFACE_DESCRIPTION: Final = 1
_PACKET: Final = 2  # obsolete, still written by old tools
_SIMPLE_PACKET: Final = 3
_ENHANCED_PACKET: Final = 6


@kernel
def _u32(data, i, big):
    return u32be(data, i) if big else u32le(data, i)


@kernel
def _u16(data, i, big):
    return u16be(data, i) if big else u16le(data, i)


@kernel
def _fill(frame, ts, offset, captured, wire, link):
    frame.ts = ts
    frame.offset = offset
    frame.captured = captured
    frame.wire = max(wire, captured)
    frame.link = link
    frame.vlan = -1


@kernel
def index_pcap(data, pos, big, fraction, link, limit, extra, frames):
    """Index pcap records from ``pos``, each with ``extra`` bytes after its 16-byte header.

    ``fraction`` is the nanoseconds of one unit of the second timestamp word (1 or 1000); ``limit``
    the largest believable packet in bytes.
    """
    n = 0
    while n < frames.shape[0]:
        if pos + 16 > data.shape[0]:
            return n, pos, MORE
        captured = _u32(data, pos + 8, big)
        if captured > limit:
            return n, pos, ABSURD
        if pos + 16 + extra + captured > data.shape[0]:
            return n, pos, MORE
        ts = _u32(data, pos, big) * SECOND + _u32(data, pos + 4, big) * fraction
        _fill(frames[n], ts, pos + 16 + extra, captured, _u32(data, pos + 12, big), link)
        n += 1
        pos += 16 + extra + captured
    return n, pos, FULL


@kernel
def _nanoseconds(high, low, units):
    """A timestamp of ``units`` to the second as nanoseconds; the top bit is dropped."""
    ticks = ((high & 0x7FFFFFFF) << 32) | low
    seconds = ticks // units
    rest = ticks - seconds * units
    if units <= 1 << 33:
        return seconds * SECOND + rest * SECOND // units
    if units & (units - 1):  # a power of ten above 10^9
        return seconds * SECOND + rest // (units // SECOND)
    # A power of two above 2^33: the upper bits of the fraction give far more than nanoseconds.
    while units > 1 << 33:
        units >>= 1
        rest >>= 1
    return seconds * SECOND + rest * SECOND // units


@kernel
def index_pcapng(data, pos, big, interfaces, n_interfaces, limit, last, frames):
    """Index pcapng packet blocks from ``pos``, until the caller must look at a block.

    ``interfaces`` holds rows of link type, units to the second, offset in ns, snap length.
    ``last`` (int64[1]) keeps the newest timestamp: simple packet blocks have none of their own.
    """
    n = 0
    while n < frames.shape[0]:
        if pos + 12 > data.shape[0]:
            return n, pos, MORE
        kind = _u32(data, pos, big)
        if kind == _SECTION_HEADER:  # its byte order is its own: nothing in it can be read yet
            return n, pos, SECTION
        length = _u32(data, pos + 4, big)
        if length < 12 or (length & 3 and length > limit):
            return n, pos, BAD_BLOCK
        if length > limit:
            known = (
                kind == _ENHANCED_PACKET
                or kind == _PACKET
                or kind == _SIMPLE_PACKET
                or kind == _INTERFACE_DESCRIPTION
            )
            return n, pos, ABSURD if known else PASSED_OVER
        # Some writers give the length before padding; the blocks are padded all the same.
        padded = length + 3 & ~3
        if pos + padded > data.shape[0]:
            return n, pos, MORE
        if _u32(data, pos + padded - 4, big) != length:
            return n, pos, BAD_BLOCK
        if kind == _INTERFACE_DESCRIPTION:
            return n, pos, INTERFACE
        if kind == _ENHANCED_PACKET or kind == _PACKET:
            if length < 32:
                return n, pos, BAD_BLOCK
            if kind == _ENHANCED_PACKET:
                interface = _u32(data, pos + 8, big)
            else:
                interface = _u16(data, pos + 8, big)
            if interface >= n_interfaces:
                return n, pos, UNKNOWN_INTERFACE
            captured = _u32(data, pos + 20, big)
            if captured > length - 32:
                return n, pos, BAD_BLOCK
            ts = _nanoseconds(
                _u32(data, pos + 12, big), _u32(data, pos + 16, big), interfaces[interface, 1]
            )
            last[0] = ts + interfaces[interface, 2]
            wire = _u32(data, pos + 24, big)
            _fill(frames[n], last[0], pos + 28, captured, wire, interfaces[interface, 0])
            n += 1
        elif kind == _SIMPLE_PACKET:
            if length < 16:
                return n, pos, BAD_BLOCK
            if n_interfaces == 0:
                return n, pos, UNKNOWN_INTERFACE
            wire = _u32(data, pos + 8, big)
            captured = min(wire, length - 16)
            if interfaces[0, 3] > 0:
                captured = min(captured, interfaces[0, 3])
            _fill(frames[n], last[0], pos + 12, captured, wire, interfaces[0, 0])
            n += 1
        pos += padded
    return n, pos, FULL
