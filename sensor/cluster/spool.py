"""Batches on disk while Kafka is away: a line of files in which the oldest go first.

Each file (``N.spool``, N grows) holds records: bytes of the message, partition, segments and CRC-32
of the message, u4 each, little-endian, then the message. A record that a crash cut short, or whose
sum is wrong, ends its file. Beyond the ceiling the oldest file goes: what is newest says most of
who sends now, and the other side counts the numbers that are missing.

What is taken stays on disk until it is done, so that it can be taken again. For one thread.
"""

import os
import struct
import zlib
from collections import deque
from pathlib import Path
from typing import IO, Final, NamedTuple

__all__ = ["COUNTERS", "Record", "Spool"]

COUNTERS: Final = (
    "spool_batches_dropped",  # for room, or because the disk refused them
    "spool_segments_dropped",
    "spool_records_damaged",
)
_HEAD: Final = struct.Struct("<IIII")
_LARGEST: Final = 1 << 24
"""Bytes of a message: more is damage."""
_FILES: Final = 16
"""Files that the ceiling is divided into."""
_FIRST: Final = 1 << 40
"""Number of the first file; there is room for some before it."""


class Record(NamedTuple):
    """A batch on its way."""

    partition: int
    message: bytes
    segments: int


class _File:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.batches = 0
        self.segments = 0
        """of records that were not taken"""
        self.taken = 0
        self.done = 0
        self.read_at = 0
        self.done_at = 0
        self.gone = False
        self.reader: IO[bytes] | None = None

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None


class Spool:
    """What waits in one folder, which is made."""

    def __init__(self, folder: Path, ceiling: int) -> None:
        """``ceiling``: bytes. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ceiling = ceiling
        self._files: deque[_File] = deque()
        self._taken: deque[tuple[_File, int, int]] = deque()
        """of each record that was taken: its file, where it ends there, its segments"""
        self._writer: IO[bytes] | None = None
        self.counters = dict.fromkeys(COUNTERS, 0)
        found = [path for path in folder.glob("*.spool") if path.stem.isdecimal()]
        for path in sorted(found, key=lambda path: int(path.stem)):
            self._files.append(self._found(path))
        self._next = int(self._files[-1].path.stem) + 1 if self._files else _FIRST
        self._tidy()

    @property
    def batches(self) -> int:
        """Those that are not done."""
        return sum(file.batches - file.done for file in self._files)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self._files)

    def put(self, record: Record) -> bool:
        """Let one wait behind all others; False: the disk refuses it, and it is counted."""
        size = _HEAD.size + len(record.message)
        if self._files and self._files[-1].size + size > self._ceiling // _FILES:
            self._end_file()
        while self._files and self.size + size > self._ceiling:
            self._drop(self._files[0])
        try:
            self._write(record)
        except OSError:
            self._count(1, record.segments)
            self._end_file()
            return False
        return True

    def put_first(self, records: list[Record]) -> None:
        """The same before all others; for who ends and could not send them."""
        if not records:
            return
        self._end_file()
        others, self._files = self._files, deque()
        following = self._next
        self._next = (int(others[0].path.stem) if others else following) - 1
        for record in records:  # one file, whatever its size: what is in memory is little
            try:
                self._write(record)
            except OSError:
                self._count(1, record.segments)
        self._end_file()
        self._files += others
        self._next = following

    def take(self) -> Record | None:
        """The oldest that was not taken; None: there is none."""
        for file in self._files:
            while file.taken < file.batches:
                record = self._read(file)
                if record is None:  # what follows cannot be found
                    self.counters["spool_records_damaged"] += 1
                    self._count(file.batches - file.taken, file.segments)
                    file.batches, file.segments = file.taken, 0
                    break
                file.taken += 1
                file.segments -= record.segments
                self._taken.append((file, file.read_at, record.segments))
                return record
        self._tidy()
        return None

    def done(self) -> None:
        """The oldest of those that were taken need not be kept."""
        file, end, _ = self._taken.popleft()
        file.done += 1
        file.done_at = end
        self._tidy()

    def rewind(self) -> None:
        """All that was taken and is not done is to be taken again."""
        while self._taken:
            file, _, segments = self._taken.popleft()
            if file.gone:
                self._count(1, segments)
                continue
            file.taken = file.done
            file.read_at = file.done_at
            file.segments += segments

    def close(self) -> None:
        """What waits stays on disk."""
        self._end_file()
        for file in self._files:
            file.close()

    def _count(self, batches: int, segments: int) -> None:
        self.counters["spool_batches_dropped"] += batches
        self.counters["spool_segments_dropped"] += segments

    def _write(self, record: Record) -> None:
        message = record.message
        if self._writer is None:
            file = _File(self._folder / f"{self._next}.spool")
            self._writer = file.path.open("wb", buffering=0)
            self._next += 1
            self._files.append(file)
        file = self._files[-1]
        head = _HEAD.pack(len(message), record.partition, record.segments, zlib.crc32(message))
        whole = memoryview(head + message)
        try:
            while whole:
                whole = whole[self._writer.write(whole) :]
        except OSError:
            os.ftruncate(self._writer.fileno(), file.size)
            raise
        file.size += len(head) + len(message)
        file.batches += 1
        file.segments += record.segments

    def _end_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._tidy()

    def _tidy(self) -> None:
        """Delete files all of which is done, the oldest first; the one being written, too."""
        while self._files and self._files[0].done >= self._files[0].batches:
            if len(self._files) == 1 and self._writer is not None:
                self._writer.close()
                self._writer = None
            file = self._files.popleft()
            file.close()
            file.path.unlink(missing_ok=True)

    def _drop(self, file: _File) -> None:
        """A file makes room. What was taken of it may still arrive."""
        self._count(file.batches - file.taken, file.segments)
        file.gone = True
        file.batches = file.done
        if self._files[-1] is file and self._writer is not None:
            self._writer.close()
            self._writer = None
        self._files.remove(file)
        file.close()
        file.path.unlink(missing_ok=True)

    def _read(self, file: _File) -> Record | None:
        try:
            if file.reader is None:
                file.reader = file.path.open("rb")
            file.reader.seek(file.read_at)
            head = file.reader.read(_HEAD.size)
            if len(head) < _HEAD.size:
                return None
            size, partition, segments, checksum = _HEAD.unpack(head)
            message = file.reader.read(min(size, _LARGEST))
        except OSError:
            return None
        if len(message) != size or zlib.crc32(message) != checksum:
            return None
        file.read_at += _HEAD.size + size
        return Record(partition, message, segments)

    def _found(self, path: Path) -> _File:
        """A file that was left here; what is whole in it."""
        file = _File(path)
        whole = path.stat().st_size
        with path.open("rb") as reader:
            while len(head := reader.read(_HEAD.size)) == _HEAD.size:
                size, _, segments, _ = _HEAD.unpack(head)
                if file.size + _HEAD.size + size > whole:
                    break
                file.size += _HEAD.size + size
                file.batches += 1
                file.segments += segments
                reader.seek(file.size)
        if file.size < whole:
            self.counters["spool_records_damaged"] += 1
        return file
