"""The block: one contiguous buffer with many frames, what every source yields."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FRAME", "FRAMES_PER_BLOCK", "NO_VLAN", "Block", "CaptureError"]

FRAMES_PER_BLOCK = 4096
"""Most frames in one block: large enough to hide Python's cost, small enough for the L2 cache."""

NO_VLAN = -1

FRAME = np.dtype(
    [
        ("ts", np.int64),  # nanoseconds since 1970
        ("offset", np.int64),  # of the first byte in the block's data
        ("captured", np.uint32),  # bytes present
        ("wire", np.uint32),  # bytes on the wire, >= captured
        ("link", np.int32),  # LINKTYPE_ number of the pcap registry
        ("vlan", np.int32),  # tag the hardware stripped, or NO_VLAN
    ],
    align=True,
)
"""One frame of a block (32 bytes)."""


class Block(NamedTuple):
    """Frames over one buffer; valid until the source is asked for its next block."""

    data: NDArray[np.uint8]
    frames: NDArray[np.void]
    """dtype FRAME"""
    number: int
    """1-based number of the first frame in its file, as Wireshark counts"""
    source: str


class CaptureError(Exception):
    """A source cannot go on. All frames before the fault have been yielded."""

    def __init__(self, source: str, offset: int | None, fault: str) -> None:
        super().__init__(source, offset, fault)
        self.source = source
        self.offset = offset
        self.fault = fault

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        return f"{self.source}{place}: {self.fault}"
