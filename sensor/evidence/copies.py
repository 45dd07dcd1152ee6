"""The kernel that copies frames into pcapng, each cut to what may be kept."""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import kernel

__all__ = ["MOST_OF_A_FRAME", "copy_frames"]

MOST_OF_A_FRAME: Final = 1 << 18
"""Bytes one frame takes at most in what is written."""

_OVERHEAD: Final = 32 + 4 + 4  # of an enhanced packet block, a VLAN tag put back, padding
_ENHANCED_PACKET: Final = 6
_MASK: Final = 0xFFFFFFFF


@kernel
def _put(out, at, value):
    """A little-endian word."""
    for k in range(4):
        out[at + k] = value >> 8 * k & 0xFF


@kernel
def copy_frames(data, frames, keep, start, out):
    """Write ``frames`` (dtype FRAME) from number ``start`` on as enhanced packet blocks.

    Of each the first ``keep`` bytes (int64, one a frame) that were captured. Interface 0 of the
    file has Ethernet frames, 1 raw IP. Returns bytes written, and the frame to go on with.
    """
    at = 0
    for k in range(start, frames.shape[0]):
        frame = frames[k]
        size = min(keep[k], np.int64(frame.captured))
        if at + size + _OVERHEAD > out.shape[0]:
            return at, k
        first = np.int64(frame.offset)
        tag = 4 if frame.vlan >= 0 and frame.link == 1 else 0
        whole = size + tag
        total = 32 + (whole + 3 & ~3)
        _put(out, at, _ENHANCED_PACKET)
        _put(out, at + 4, total)
        _put(out, at + 8, 0 if frame.link == 1 else 1)
        _put(out, at + 12, frame.ts >> 32)
        _put(out, at + 16, frame.ts & _MASK)
        _put(out, at + 20, whole)
        _put(out, at + 24, np.int64(frame.wire) + tag)
        p = at + 28
        for j in range(size):
            if tag and j == 12:
                out[p] = 0x81
                out[p + 1] = 0
                out[p + 2] = frame.vlan >> 8
                out[p + 3] = frame.vlan & 0xFF
                p += 4
            out[p] = u8(data, first + j)
            p += 1
        while (p - at) & 3:
            out[p] = 0
            p += 1
        _put(out, p, total)
        at += total
    return at, frames.shape[0]
