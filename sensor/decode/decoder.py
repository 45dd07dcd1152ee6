"""Blocks of frames to batches of segments."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import kernel, mix, table
from sensor.capture.block import FRAMES_PER_BLOCK, Block
from sensor.decode.duplicates import RECENT, REMEMBERED, seen_before
from sensor.decode.layers import decode_frame
from sensor.decode.segment import SEGMENT, Outcome, watched_ports

__all__ = ["Decoder", "flow_hash"]

_SEGMENT = int(Outcome.SEGMENT)
_ICMP_ERROR = int(Outcome.ICMP_ERROR)
_DUPLICATE = int(Outcome.DUPLICATE)
_UDP_DNS = int(Outcome.UDP_DNS)
_TCP_DNS = int(Outcome.TCP_DNS)


@kernel
def flow_hash(row, seed):
    """A hash (uint64) of both ends, the same in both directions.

    The seed makes it unguessable to who sends the packets, so that nobody can aim at one slot of a
    table. It decides where things lie, never what comes out.
    """
    source = mix(mix(seed ^ np.uint64(row.sport), row.src_hi), row.src_lo)
    destination = mix(mix(seed ^ np.uint64(row.dport), row.dst_hi), row.dst_lo)
    return mix(seed, source + destination)


@kernel
def decode(data, frames, number, watched, dns, window, seed, recent, counts, rows):
    """Decode ``frames`` into ``rows``; one of ``counts`` goes up for each. Returns the rows filled.

    ``dns`` tells whether DNS is wanted, too; ``window`` is the longest time between copies of a
    packet in nanoseconds; negative: none are looked for.
    """
    n = 0
    for i in range(frames.shape[0]):
        row = rows[n]
        outcome = decode_frame(data, frames[i], watched, row)
        if (
            outcome == _SEGMENT
            or outcome == _ICMP_ERROR
            or (dns and (outcome == _UDP_DNS or (outcome == _TCP_DNS and row.length)))
        ):
            row.ts = frames[i].ts
            row.frame = number + i
            row.flow = flow_hash(row, seed)
            if window >= 0 and seen_before(row, window, recent):
                row.duplicate = 1
                outcome = _DUPLICATE
            n += 1
        counts[outcome] += 1
    return n


class Decoder:
    """Decodes block after block, and counts.

    ``counts`` (int64, one an Outcome) always adds up to the frames seen.
    """

    def __init__(
        self,
        ports: Sequence[int] | None = (25,),
        duplicate_window: float = 0.005,
        dns: bool = False,
    ) -> None:
        """Watch ``ports`` (None: all); copies come within ``duplicate_window`` s (0: never).

        With ``dns``, datagrams and segments of port 53 are given as well.
        """
        self.set(ports, duplicate_window, dns)
        self._seed = np.frombuffer(os.urandom(8), np.uint64).copy()
        self._recent = table(REMEMBERED, RECENT)
        self._rows = table(FRAMES_PER_BLOCK, SEGMENT)
        self.counts = np.zeros(len(Outcome), np.int64)

    def set(self, ports: Sequence[int] | None, duplicate_window: float, dns: bool) -> None:
        """Decode from now on with these settings."""
        self.watched = watched_ports(None if ports is None else list(ports))
        self._window = round(duplicate_window * 1e9) if duplicate_window else -1
        self._dns = dns

    @property
    def seed(self) -> np.uint64:
        """Of the flow hash."""
        return np.uint64(self._seed[0])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What must be kept to go on after a restart."""
        return {"seed": self._seed, "recent": self._recent, "counts": self.counts}

    def decode(self, block: Block, rows: NDArray[np.void] | None = None) -> NDArray[np.void]:
        """The segments of ``block``, dtype SEGMENT; valid until the next call.

        Or as long as ``rows`` are, where they are given (at least one a frame).
        """
        if rows is None:
            if len(block.frames) > len(self._rows):
                self._rows = table(len(block.frames), SEGMENT)
            rows = self._rows
        n = decode(
            block.data,
            block.frames,
            block.number,
            self.watched,
            self._dns,
            self._window,
            self._seed[0],
            self._recent,
            self.counts,
            rows,
        )
        return rows[:n]
