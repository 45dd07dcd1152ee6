"""The evidence store: the packets of watched ports, in a ring of files.

Each file is a pcapng of a sixteenth of the ceiling; the oldest go when all together exceed it, or
when all in them is older than ``max_hours`` of packet time. What a packet holds is the caller's to
say: headers, or commands and replies too; never a message, a password or what STARTTLS hides.

A full disk stops the store and nothing else: it is tried again a minute of packet time later.
"""

import contextlib
import struct
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from sensor.base.units import HOUR
from sensor.capture.block import Block
from sensor.decode.segment import DNS, TCP
from sensor.evidence.copies import MOST_OF_A_FRAME, copy_frames

__all__ = ["Store", "Writer", "frames_of", "pcapng_head", "stored_files"]

_FILES: Final = 16
_QUOTED: Final = 8  # bytes of TCP that an ICMP error quotes
_RETRY: Final = 60_000_000_000


def pcapng_head(comment: str = "") -> bytes:
    """A section header with a comment, and the interfaces: 0 Ethernet, 1 raw IP; nanoseconds."""
    said = comment.encode()[:65_000]
    options = struct.pack("<HH", 1, len(said)) + said + bytes(-len(said) % 4) + bytes(4)
    size = 28 + (len(options) if said else 0)
    head = struct.pack("<IIIHHq", 0x0A0D0D0A, size, 0x1A2B3C4D, 1, 0, -1)
    head += (options if said else b"") + struct.pack("<I", size)
    for link in (1, 101):
        head += struct.pack("<IIHHIHHBxxxHHI", 1, 32, link, 0, 0, 9, 1, 9, 0, 0, 32)
    return head


def stored_files(folder: Path) -> list[Path]:
    """The files of a store, the oldest first; the name tells the packet time of the first frame."""
    return sorted(folder.glob("packets-*.pcapng"))


def frames_of(
    block: Block, segments: NDArray[np.void], payload: bool
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """The frames of ``segments`` (decoded from ``block``), and how many bytes of each to keep.

    Headers, and with ``payload`` what a segment's ``keep`` allows; copies are left out.
    """
    chosen = segments[(segments["kind"] != DNS) & (segments["duplicate"] == 0)]
    frames = block.frames[chosen["frame"] - block.number]
    more = np.where(chosen["kind"] == TCP, chosen["keep"] * payload, _QUOTED)
    return frames, chosen["payload"] - frames["offset"] + more


class Writer:
    """Frames into a pcapng file that is open."""

    def __init__(self, file: BinaryIO, comment: str = "") -> None:
        self._file = file
        self._out = np.empty(4 * MOST_OF_A_FRAME, np.uint8)
        file.write(pcapng_head(comment))

    def write(
        self, data: NDArray[np.uint8], frames: NDArray[np.void], keep: NDArray[np.int64]
    ) -> None:
        """The first ``keep`` bytes of each frame; ``data`` is their block's. Raises OSError."""
        at = 0
        while at < len(frames):
            size, at = copy_frames(data, frames, keep, at, self._out)
            self._file.write(self._out[:size].data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Store:
    """One folder of files."""

    def __init__(self, folder: Path, max_bytes: int, max_hours: int) -> None:
        """The folder must be there."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_age = max_hours * HOUR
        self._writer: Writer | None = None
        self._size = 0
        self._retry_at = 0
        self.counters = {"evidence_bytes": 0, "evidence_failures": 0, "evidence_files_dropped": 0}
        self.fault = ""
        """What stopped it, while it is stopped."""

    def keep(self, block: Block, segments: NDArray[np.void], payload: bool) -> None:
        """Keep the frames of ``segments``, which were decoded from ``block``."""
        if not len(segments) or not self._max_bytes:
            return
        ts = int(segments["ts"][0])
        if self.fault and ts < self._retry_at:
            return
        frames, keep = frames_of(block, segments, payload)
        size = int(np.minimum(keep, frames["captured"]).sum()) + 40 * len(frames)
        try:
            if self._writer is None or self._size + size > self._max_bytes // _FILES:
                self._next(ts)
            assert self._writer is not None
            self._writer.write(block.data, frames, keep)
            self._size += size
            self.counters["evidence_bytes"] += size
            self.fault = ""
        except OSError as error:
            self.fault = f"{self._folder}: {error.strerror or error}"
            self.counters["evidence_failures"] += 1
            self._retry_at = ts + _RETRY
            self.close()  # a torn block at its end ends that file

    def close(self) -> None:
        """Close the file that is being written."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
            self._writer = None

    def _next(self, ts: int) -> None:
        """Begin a file, whose first frame is of packet time ``ts``."""
        self.close()
        self._make_room(ts)
        file = self._folder / f"packets-{ts:020d}.pcapng"
        self._writer = Writer(file.open("wb", buffering=0))
        self._size = 0

    def _make_room(self, ts: int) -> None:
        files = stored_files(self._folder)
        sizes = [file.stat().st_size for file in files]
        used = sum(sizes)
        room = self._max_bytes - self._max_bytes // _FILES
        for k, file in enumerate(files):
            # All in a file is older than the first in the next.
            newest = _first_ts(files[k + 1]) if k + 1 < len(files) else ts
            if used <= room and newest > ts - self._max_age:
                break
            file.unlink()
            used -= sizes[k]
            self.counters["evidence_files_dropped"] += 1
        self.counters["evidence_bytes"] = used


def _first_ts(file: Path) -> int:
    digits = file.stem.partition("-")[2]
    return int(digits) if digits.isdigit() else 0
