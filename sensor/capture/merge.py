"""Several capture files as one stream of blocks in time order.

Files are ordered by the time of their first frame and opened when their time comes, so that a
thousand rotated files need one descriptor at a time. Where files overlap (two interfaces captured
side by side), blocks are cut so that frames come in time order; within a file the file's own order
always stands. Equal times go by the order the files were named in.

A damaged file ends there; the others go on, and the fault is kept in ``faults``.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sensor.capture.block import Block, CaptureError
from sensor.capture.pcapfile import CaptureFile

__all__ = ["Captures"]


class _Open:
    """One file being read, with the part of its newest block that was not yielded yet."""

    def __init__(self, order: int, blocks: Iterator[Block], block: Block) -> None:
        self.order = order
        self.blocks = blocks
        self.block = block

    @property
    def head(self) -> tuple[int, int]:
        return int(self.block.frames["ts"][0]), self.order

    def cut(self, before: tuple[int, int]) -> Block:
        """Take the leading frames that come before another file's head (at least one)."""
        ts, order = before
        times = self.block.frames["ts"]
        later = times > ts if self.order < order else times >= ts
        n = max(1, int(np.argmax(later))) if later.any() else len(times)
        taken = self.block._replace(frames=self.block.frames[:n])
        self.block = self.block._replace(frames=self.block.frames[n:], number=self.block.number + n)
        return taken


class Captures:
    """Iterate over the blocks of ``paths`` in time order; then look at ``faults``."""

    def __init__(self, paths: list[str], follow: bool = False) -> None:
        self._paths = paths
        self._follow = follow
        self.faults: list[CaptureError] = []
        self._reading: dict[str, CaptureFile] = {}

    @property
    def may_wait(self) -> bool:
        """Whether a block may be long in coming: of a pipe, or of a file that still grows."""
        return self._follow or not all(Path(path).is_file() for path in self._paths)

    @property
    def size(self) -> int:
        """Bytes of all files together, as they are on disk."""
        total = 0
        for path in self._paths:
            with contextlib.suppress(OSError):  # that is told when it is read
                total += Path(path).stat().st_size
        return total

    @property
    def position(self) -> int:
        """Bytes read of all files together."""
        return sum(capture.position for capture in self._reading.values())

    def __iter__(self) -> Iterator[Block]:
        if len(self._paths) == 1:
            yield from self._guarded(self._paths[0])
        else:
            yield from self._merged()

    def _guarded(self, path: str) -> Iterator[Block]:
        capture = self._reading[path] = CaptureFile(path, self._follow)
        try:
            yield from capture
        except CaptureError as fault:
            self.faults.append(fault)

    def _first(self, order: int) -> _Open | None:
        blocks = self._guarded(self._paths[order])
        block = next(blocks, None)
        return None if block is None else _Open(order, blocks, block)

    def _waiting(self) -> list[tuple[tuple[int, int], int, _Open | None]]:
        """Each file's first time and place; streams stay open, files are opened again later."""
        waiting: list[tuple[tuple[int, int], int, _Open | None]] = []
        for order, path in enumerate(self._paths):
            faults = len(self.faults)
            opened = self._first(order)
            if opened is not None:
                head = opened.head
                if path != "-":
                    opened.blocks.close()  # type: ignore[attr-defined]
                    del self.faults[faults:]  # met again when the file is read
                waiting.append((head, order, opened if path == "-" else None))
        return sorted(waiting, key=lambda entry: entry[0], reverse=True)

    def _merged(self) -> Iterator[Block]:
        waiting = self._waiting()
        active: list[_Open] = []
        while waiting or active:
            active.sort(key=lambda capture: capture.head)
            while waiting and (not active or waiting[-1][0] < active[0].head):
                _, order, opened = waiting.pop()
                if (capture := opened or self._first(order)) is not None:
                    active.insert(0, capture)
            if not active:
                return
            first = active[0]
            others = [capture.head for capture in active[1:2]] + [w[0] for w in waiting[-1:]]
            if others:
                yield first.cut(min(others))
            else:
                yield first.block
                first.block = first.block._replace(frames=first.block.frames[:0])
            if not len(first.block.frames):
                block = next(first.blocks, None)
                if block is None:
                    active.pop(0)
                else:
                    first.block = block
