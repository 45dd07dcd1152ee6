"""The evidence store: the packets of watched ports, in a ring of files.

Each file is a pcapng of a sixteenth of the ceiling; the oldest go when all together exceed it, or
when all in them is older than ``max_hours`` of packet time. What a packet holds is the caller's to
say: headers, or commands and replies too; never a message, a password or what STARTTLS hides.

A full disk stops the store and nothing else: it is tried again a minute of packet time later.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sensor.capture.block import FRAME, Block
from sensor.decode.segment import SEGMENT
from sensor.evidence.copies import MOST_OF_A_FRAME, copy_frames
from sensor.kernel import table

__all__ = ["Store", "pcapng_head", "stored_files"]

_FILES: Final = 16
_RETRY: Final = 60_000_000_000
_HOUR: Final = 3_600_000_000_000


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


class Store:
    """One folder of files."""

    def __init__(self, folder: Path, max_bytes: int, max_hours: int) -> None:
        """The folder must be there."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_age = max_hours * _HOUR
        self._out = np.empty(4 * MOST_OF_A_FRAME, np.uint8)
        self._file: Path | None = None
        self._size = 0
        self._retry_at = 0
        self.counters = {"evidence_bytes": 0, "evidence_failures": 0, "evidence_files_dropped": 0}
        self.fault = ""
        """What stopped it, while it is stopped."""
        nothing = np.empty(0, np.uint8)
        empty = table(0, FRAME), table(0, SEGMENT)
        copy_frames(nothing, *empty, 1, 0, False, self._out)  # compiled before packets come

    def keep(self, block: Block, segments: NDArray[np.void], payload: bool) -> None:
        """Keep the frames of ``segments``, which were decoded from ``block``."""
        if not len(segments) or not self._max_bytes:
            return
        ts = int(segments["ts"][0])
        if self.fault and ts < self._retry_at:
            return
        try:
            for part in self._parts(block, segments, payload):
                self._write(part, ts)
            self.fault = ""
        except OSError as error:
            self.fault = f"{self._folder}: {error.strerror or error}"
            self.counters["evidence_failures"] += 1
            self._retry_at = ts + _RETRY
            self._file = None  # a torn block at its end ends that file

    def _parts(
        self, block: Block, segments: NDArray[np.void], payload: bool
    ) -> Iterator[NDArray[np.uint8]]:
        at = 0
        while at < len(segments):
            size, at = copy_frames(
                block.data, block.frames, segments, block.number, at, payload, self._out
            )
            yield self._out[:size]

    def _write(self, part: NDArray[np.uint8], ts: int) -> None:
        if self._file is None or self._size + len(part) > self._max_bytes // _FILES:
            self._make_room(ts)
            self._file = self._folder / f"packets-{ts:020d}.pcapng"
            self._size = self._file.stat().st_size if self._file.exists() else 0
            if not self._size:
                self._size = self._file.write_bytes(pcapng_head())
        with self._file.open("ab") as out:
            out.write(part.data)
        self._size += len(part)

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
