"""Capture files read and decoded by a thread of their own, some blocks ahead of who follows them.

Kernels run without the interpreter's lock, so with two processors a replay takes as long as the
slower half of its work. What comes out is the same, in the same order, and each block brings the
decoder's counters as they were after it.
"""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import copied, table
from sensor.capture.block import FRAMES_PER_BLOCK, Block
from sensor.capture.merge import Captures
from sensor.capture.pace import paced
from sensor.decode.decoder import Decoder
from sensor.decode.segment import SEGMENT
from sensor.decode.unread import Unread

__all__ = ["Decoded", "decoded", "processors"]

_SLOTS: Final = 3
"""Blocks at most on their way, a megabyte each."""
_LEAST: Final = 1 << 16
"""Bytes of captures, packed or not, of which reading them ahead is worth a thread."""


class Decoded(NamedTuple):
    """A block and what was decoded of it; valid until the next is asked for."""

    block: Block
    segments: NDArray[np.void]
    """dtype SEGMENT"""
    counts: NDArray[np.int64]
    """the decoder's, after this block"""
    position: int
    """bytes read of all files together"""


class _Slot:
    """Room for one block outside of the buffer that it was read into."""

    def __init__(self) -> None:
        self._data = np.empty(1 << 20, np.uint8)
        self._rows = table(FRAMES_PER_BLOCK, SEGMENT)

    def filled(self, block: Block, decoder: Decoder, position: Callable[[], int]) -> Decoded:
        frames = copied(block.frames)
        first, last = frames[0], frames[-1]  # a file's frames lie in its order
        start, end = int(first["offset"]), int(last["offset"]) + int(last["captured"])
        if end - start > len(self._data):
            self._data = np.empty(end - start, np.uint8)
        data = self._data[: end - start]
        data[:] = block.data[start:end]
        frames["offset"] -= start
        own = block._replace(data=data, frames=frames)
        segments = decoder.decode(own, self._rows)
        return Decoded(own, segments, decoder.counts.copy(), position())


def processors() -> int:
    """As many as this process may use."""
    return len(os.sched_getaffinity(0))


def decoded(
    captures: Captures, decoder: Decoder, unread: Unread, pace: float | None = None
) -> Iterator[Decoded]:
    """All blocks of ``captures``, through ``decoder``; ``unread`` counts as they go by.

    With ``pace`` no sooner than they are due, so many times as fast as it was.
    """
    blocks = unread.watch(captures if pace is None else paced(captures, pace), decoder)
    alone = captures.may_wait or captures.size < _LEAST or processors() < 2
    if pace is not None or alone:
        for block in blocks:
            segments = decoder.decode(block)
            yield Decoded(block, segments, decoder.counts, captures.position)
    else:
        yield from _ahead(blocks, decoder, lambda: captures.position)


def _ahead(
    blocks: Iterator[Block], decoder: Decoder, position: Callable[[], int]
) -> Iterator[Decoded]:
    from queue import SimpleQueue

    free: SimpleQueue[_Slot | None] = SimpleQueue()
    ready: SimpleQueue[tuple[_Slot, Decoded] | BaseException | None] = SimpleQueue()
    for _ in range(_SLOTS):
        free.put(_Slot())

    def work() -> None:
        try:
            for block in blocks:
                if (slot := free.get()) is None:
                    return
                ready.put((slot, slot.filled(block, decoder, position)))
        except BaseException as error:  # whoever follows ends with it
            ready.put(error)
        else:
            ready.put(None)

    thread = threading.Thread(target=work, name="reader", daemon=True)
    thread.start()
    try:
        while (one := ready.get()) is not None:
            if isinstance(one, BaseException):
                raise one
            slot, found = one
            yield found
            free.put(slot)
    finally:
        free.put(None)
        thread.join()
