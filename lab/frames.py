"""Small captures made in memory."""

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sensor.base.kernel import table
from sensor.capture.block import FRAME, Block
from sensor.decode.decoder import Decoder

Frame = tuple[int, bytes]
"""(nanoseconds since 1970, bytes)"""


def block(frames: Iterable[bytes], link: int = 1, cut: int = 0) -> Block:
    """Frames as a block; the last ``cut`` bytes of each are on the wire only."""
    frames = list(frames)
    data = np.frombuffer(bytearray(b"".join(frames)), np.uint8)
    rows = table(len(frames), FRAME)
    at = 0
    for row, frame in zip(rows, frames, strict=True):
        row["offset"], row["wire"], row["captured"] = at, len(frame), max(0, len(frame) - cut)
        row["link"], row["vlan"] = link, -1
        at += len(frame)
    return Block(data, rows, 1, "made")


def decode(frame: bytes, link: int = 1, ports: list[int] | None = None, cut: int = 0):
    """One frame through a fresh decoder: the segment or None, and the decoder."""
    decoder = Decoder(ports or [25])
    rows = decoder.decode(block([frame], link, cut))
    return (rows[0] if len(rows) else None), decoder


def pcap(frames: Iterable[Frame], big: bool = False, nano: bool = False, link: int = 1) -> bytes:
    order = ">" if big else "<"
    unit = 1 if nano else 1000
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)]
    for ts, frame in frames:
        seconds, rest = divmod(ts, 10**9)
        out.append(struct.pack(order + "IIII", seconds, rest // unit, len(frame), len(frame)))
        out.append(frame)
    return b"".join(out)


def ng_block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def ng_section(order: str = "<") -> bytes:
    return ng_block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def ng_interface(link: int = 1, resolution: int | None = None, order: str = "<") -> bytes:
    body = struct.pack(order + "HHI", link, 0, 65535)
    if resolution is not None:
        body += struct.pack(order + "HHB3x", 9, 1, resolution) + struct.pack(order + "HH", 0, 0)
    return ng_block(1, body, order)


def ng_packet(interface: int, ticks: int, frame: bytes, order: str = "<") -> bytes:
    head = struct.pack(
        order + "IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)
    )
    return ng_block(6, head + frame, order)


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)
