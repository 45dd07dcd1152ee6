"""Captures replayed at the pace of their own time, or a multiple of it."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np

from sensor.capture.block import Block

__all__ = ["factor", "paced"]

_GRAIN: Final = 0.1
"""Seconds of waiting that are worth it."""


def factor(text: str) -> float:
    """``10x`` or ``10``: how many times as fast as it was. Raises ValueError."""
    found = float(text.removesuffix("x"))
    if not 0 < found < 1e6:
        raise ValueError(f"{text}: more than 0 and less than a million")
    return found


def paced(
    blocks: Iterable[Block],
    times: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Block]:
    """Frames no sooner than they are due, in parts of blocks; what is cut changes no alert."""
    began, first = clock(), None
    for block in blocks:
        due = block.frames["ts"].astype(np.float64) / 1e9
        first = float(due[0]) if first is None else first
        due = began + (np.maximum.accumulate(due) - first) / times
        at = 0
        while at < len(due):
            if (wait := float(due[at]) - clock()) > 0:
                sleep(wait)
            to = max(at + 1, int(np.searchsorted(due, clock() + _GRAIN, side="right")))
            part = block.frames[at:to]
            yield block._replace(frames=part, number=block.number + at)
            at = to
