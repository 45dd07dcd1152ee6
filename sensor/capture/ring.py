"""The kernel that finds the frames in a block of a TPACKET_V3 ring (linux/if_packet.h)."""

from typing import Final

from sensor.base.byteorder import u16le, u32le
from sensor.base.kernel import kernel
from sensor.base.units import SECOND
from sensor.capture.block import NO_VLAN

__all__ = ["index_ring"]

_VLAN_VALID: Final = 1 << 4


@kernel
def index_ring(data, at, frames, link):
    """Fill ``frames`` (dtype FRAME) from the ring block at ``at``; how many there are.

    struct tpacket3_hdr: next[4] sec[4] nsec[4] captured[4] length[4] status[4] mac[2] net[2]
    rxhash[4] tci[4] ...
    """
    count = u32le(data, at + 12)
    p = at + u32le(data, at + 16)
    for n in range(min(count, frames.shape[0])):
        frame = frames[n]
        frame.ts = u32le(data, p + 4) * SECOND + u32le(data, p + 8)
        frame.offset = p + u16le(data, p + 24)
        frame.captured = u32le(data, p + 12)
        frame.wire = u32le(data, p + 16)
        frame.link = link
        frame.vlan = u32le(data, p + 32) & 0xFFF if u32le(data, p + 20) & _VLAN_VALID else NO_VLAN
        p += u32le(data, p)
    return min(count, frames.shape[0])
