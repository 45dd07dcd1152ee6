"""One capture as several sensors would have seen it: by direction, by flow, twice, bad clocks."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sensor.capture.block import Block
from sensor.capture.pcapfile import CaptureFile
from sensor.decode.decoder import Decoder

__all__ = ["by_direction", "by_flow", "by_route", "doubled", "split", "wrong_clocks"]

Whose = Callable[[np.void | None, int], tuple[int, ...]]
"""Of a segment (None: the frame is none) and the number of its frame: the sensors that see it."""


def by_direction(segment: np.void | None, frame: int) -> tuple[int, ...]:
    """What goes to servers passes the first sensor, what comes back the second."""
    if segment is None:
        return (frame % 2,)
    return (0 if segment["dport"] in (25, 53) else 1,)


def by_route(segment: np.void | None, frame: int) -> tuple[int, ...]:
    """Three sensors at three borders: each direction of a connection passes one of its own."""
    if segment is None:
        return (frame % 3,)
    fields = ("src_hi", "src_lo", "dst_hi", "dst_lo", "sport", "dport")
    return (zlib.crc32(repr([int(segment[field]) for field in fields]).encode()) % 3,)


def by_flow(segment: np.void | None, frame: int) -> tuple[int, ...]:
    """Three sensors; each has both directions of its connections."""
    if segment is None:
        return (frame % 3,)
    ends = sorted(
        (int(segment[f"{end}_hi"]), int(segment[f"{end}_lo"]), int(segment[port]))
        for end, port in (("src", "sport"), ("dst", "dport"))
    )
    return (zlib.crc32(repr(ends).encode()) % 3,)


def doubled(segment: np.void | None, frame: int) -> tuple[int, ...]:
    """Two taps on one line."""
    return (0, 1)


def wrong_clocks(seed: int, off: float = 0.02, jitter: float = 0.002) -> Callable[[int, int], int]:
    """The second sensor's clock is ``off`` seconds behind, and stamps of both come unsteadily.

    Gives what :func:`split` takes as ``clock``; each sensor's stamps still only grow.
    """
    random = np.random.default_rng(seed)
    last = [0, 0, 0]

    def stamp(sensor: int, ts: int) -> int:
        moved = ts - sensor * round(off * 1e9) + int(random.uniform(0, jitter * 1e9))
        last[sensor] = max(last[sensor], moved)
        return last[sensor]

    return stamp


def split(
    capture: Path, folder: Path, whose: Whose, clock: Callable[[int, int], int] | None = None
) -> list[Path]:
    """Write what each sensor sees as ``folder/0.pcap`` and so on; where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    decoder = Decoder((25,), 0, True)
    files: dict[int, list[bytes]] = {}
    for block in CaptureFile(str(capture)):
        segments = {int(s["frame"]): s for s in decoder.decode(block)}
        for k in range(len(block.frames)):
            number = block.number + k
            for sensor in whose(segments.get(number), number):
                frames = files.setdefault(sensor, [_header(block)])
                ts = int(block.frames["ts"][k])
                frames.append(_record(block, k, clock(sensor, ts) if clock else ts))
    paths = []
    for sensor, frames in sorted(files.items()):
        paths.append(folder / f"{sensor}.pcap")
        paths[-1].write_bytes(b"".join(frames))
    return paths


def _header(block: Block) -> bytes:
    """Of a pcap file with nanoseconds."""
    link = int(block.frames["link"][0])
    return struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, link)


def _record(block: Block, k: int, ts: int) -> bytes:
    frame = block.frames[k]
    at, size = int(frame["offset"]), int(frame["captured"])
    head = struct.pack("<IIII", *divmod(ts, 10**9), size, int(frame["wire"]))
    return head + block.data[at : at + size].tobytes()
