"""Segments of batches that wait, and those of several sensors put together in order."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import room
from sensor.decode.segment import SEGMENT
from sensor.decode.sharing import LEAD
from sensor.decode.taps import put_in_turn

__all__ = ["Ordered", "Part", "below", "bytes_of", "go", "together"]


class Part(NamedTuple):
    """Segments of one batch that wait, in the order of their places."""

    places: NDArray[np.int64]
    rows: NDArray[np.void]
    data: NDArray[np.uint8]
    gone: NDArray[np.bool_]
    """which of them had their turn before it was their place's"""

    @property
    def begin(self) -> int:
        """Where ``data`` begins as ``rows`` count: those before were of others, and are cut off."""
        return int(self.rows["payload"][0]) - int(self.rows["header"][0]) - LEAD

    def cut(self, start: int, stop: int) -> "Part":
        """Only segments ``start`` to ``stop``, at least one, and their bytes. Nothing is copied."""
        rows = self.rows[start:stop]
        last, begin = rows[-1], self.begin
        a = int(rows["payload"][0]) - int(rows["header"][0]) - LEAD - begin
        data = self.data[a : int(last["payload"]) + int(last["captured"]) - begin]
        return Part(self.places[start:stop], rows, data, self.gone[start:stop])


class Ordered(NamedTuple):
    """Segments of several sensors, in one order."""

    segments: NDArray[np.void]
    places: NDArray[np.int64]
    data: NDArray[np.uint8]
    taps: NDArray[np.int64]
    origin: NDArray[np.int64]
    """of each segment, its number among those of all parts together"""


def below(waiting: Iterable[Part], place: int) -> Iterable[Part]:
    """Of what waits, in order, all that is below a place."""
    for part in waiting:
        if part.places[0] >= place:
            return
        n = int(np.searchsorted(part.places, place))
        yield part.cut(0, n)


def go(parts: list[Part], numbers: NDArray[np.int64]) -> None:
    """Segments, by their numbers among those of all ``parts``, had their turn."""
    starts = np.cumsum([0, *(len(part.rows) for part in parts)])
    for number in numbers.tolist():
        k = int(np.searchsorted(starts, number, "right")) - 1
        parts[k].gone[number - starts[k]] = True


def bytes_of(part: Part) -> int:
    """Bytes it holds: of its rows; those it has in common with what was taken count in full."""
    return part.rows.nbytes + part.data.nbytes


def together(parts: list[Part], taps: list[int]) -> Ordered:
    """Parts of sensors, given by number, as one, in order."""
    places = np.concatenate([part.places for part in parts])
    order = np.argsort(places, kind="stable")
    order = order[~np.concatenate([part.gone for part in parts])[order]]
    turns = np.full(len(places), -1, np.int64)
    turns[order] = np.arange(len(order))
    rows = room(len(order), SEGMENT)
    start = size = 0
    for part in parts:
        stop = start + len(part.rows)
        put_in_turn(part.rows, turns[start:stop], size - part.begin, rows)
        start, size = stop, size + len(part.data)
    whose = np.repeat(taps, [len(part.rows) for part in parts])[order].astype(np.int64)
    data = parts[0].data if len(parts) == 1 else np.concatenate([part.data for part in parts])
    return Ordered(rows, places[order], data, whose, order.astype(np.int64))
