"""Captures of several sensors as one pcapng: in order of time, each sensor an interface of its own.

What is read are files as :mod:`sensor.evidence.store` writes them (pcapng, little-endian,
nanoseconds, Ethernet or raw IP), but they came over a network: a part that is anything else ends
where it is, and that is told. The same packet at two taps stands there twice, once an interface.
"""

import heapq
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

__all__ = ["Part", "join"]

_SECTION: Final = 0x0A0D0D0A
_ORDER: Final = 0x1A2B3C4D
_INTERFACE: Final = 1
_PACKET: Final = 6
_LARGEST: Final = 1 << 20
"""Bytes of a block."""
_NANOSECONDS: Final = struct.pack("<HHB", 9, 1, 9)
"""The option if_tsresol as it begins."""
_LINKS: Final = {1: "", 101: " (IP)"}
"""Ethernet, raw IP; what is said of it behind the sensor's name."""


class Part(NamedTuple):
    """What was made of one sensor's file."""

    packets: int
    fault: str
    """why there are no more; empty: it was read to its end"""


class _Bad(Exception):  # noqa: N818 - never leaves here
    """No such file."""


class _Packet(NamedTuple):
    ts: int
    order: int
    link: int
    wire: int
    data: bytes


class _Reader:
    """The packets of one file."""

    def __init__(self, order: int, file: BinaryIO) -> None:
        self._order, self._file = order, file
        self.packets = 0
        self.fault = ""

    def __iter__(self) -> Iterator[_Packet]:
        try:
            for one in self._read():
                self.packets += 1
                yield one
        except (_Bad, struct.error) as error:
            self.fault = str(error)

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        while head := self._file.read(8):
            if len(head) < 8:
                raise _Bad("it ends within a block")
            kind, size = struct.unpack("<II", head)
            if not 12 <= size <= _LARGEST or size % 4:
                raise _Bad("it is no capture of port25")
            rest = self._file.read(size - 8)
            if len(rest) < size - 8:
                raise _Bad("it ends within a block")
            yield kind, rest[:-4]

    def _read(self) -> Iterator[_Packet]:
        links: list[int] = []
        first = True
        for kind, body in self._blocks():
            if first and (kind != _SECTION or struct.unpack_from("<I", body)[0] != _ORDER):
                raise _Bad("it is no capture of port25")
            first = False
            if kind == _SECTION:
                links = []
            elif kind == _INTERFACE:
                link = struct.unpack_from("<H", body)[0]
                if link not in _LINKS or not body[8:].startswith(_NANOSECONDS) or len(links) > 16:
                    raise _Bad("it is no capture of port25")
                links.append(link)
            elif kind == _PACKET:
                which, high, low, size, wire = struct.unpack_from("<5I", body)
                if which >= len(links) or 20 + size > len(body):
                    raise _Bad("it is no capture of port25")
                data = body[20 : 20 + size]
                yield _Packet(high << 32 | low, self._order, links[which], wire, data)


class _Joined:
    """The file that is written."""

    def __init__(self, file: BinaryIO, names: Sequence[str], comment: str) -> None:
        self._file, self._names = file, names
        self._known: dict[tuple[int, int], int] = {}
        said = comment.encode()[:65_000]
        head = struct.pack("<IHHq", _ORDER, 1, 0, -1) + _option(1, said) + bytes(4)
        self._block(_SECTION, head)

    def _block(self, kind: int, body: bytes) -> None:
        size = 12 + len(body)
        self._file.write(struct.pack("<II", kind, size) + body + struct.pack("<I", size))

    def add(self, one: _Packet) -> None:
        key = one.order, one.link
        if key not in self._known:
            self._known[key] = len(self._known)
            name = f"{self._names[one.order]}{_LINKS[one.link]}".encode()[:200]
            body = struct.pack("<HHI", one.link, 0, 0) + _option(2, name) + _option(9, b"\x09")
            self._block(_INTERFACE, body + bytes(4))
        size = len(one.data)
        head = struct.pack(
            "<5I", self._known[key], one.ts >> 32, one.ts & 0xFFFFFFFF, size, one.wire
        )
        self._block(_PACKET, head + one.data + bytes(-size % 4))


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def join(parts: Sequence[tuple[str, Path]], output: Path, comment: str) -> list[Part]:
    """Write the packets of files, each of a sensor of that name; what was made of each.

    A file in which a packet is older than the one before keeps its own order. Raises OSError.
    """
    files = [path.open("rb") for _, path in parts]
    try:
        readers = [_Reader(order, file) for order, file in enumerate(files)]
        with output.open("wb") as target:
            joined = _Joined(target, [name for name, _ in parts], comment)
            for one in heapq.merge(*readers, key=lambda one: (one.ts, one.order)):
                joined.add(one)
    finally:
        for file in files:
            file.close()
    return [Part(one.packets, one.fault) for one in readers]
