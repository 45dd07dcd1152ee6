"""Blocks of frames from capture files.

Reads pcap and pcapng, either byte order, micro- and nanosecond, several interfaces and link types,
plain or inside gzip or zstd (known by their first bytes, not by name), from a path or from standard
input (``-``), and files that still grow. Blocks are views of one buffer that moves along the file.

A fault raises CaptureError with file and offset after all frames before it were yielded. Offsets
inside compressed files count uncompressed bytes.
"""

import io
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import table
from sensor.base.units import SECOND
from sensor.capture import records
from sensor.capture.block import FRAME, FRAMES_PER_BLOCK, Block, CaptureError

__all__ = ["CaptureFile"]

CHUNK: Final = 1 << 20
"""Bytes asked of a file at a time: as many as the L2 cache holds."""

_POLL: Final = 0.1
"""Seconds between looks at a file that is followed."""

_MOST_CAPTURED: Final = 262_144
"""libpcap's MAXIMUM_SNAPLEN: the most bytes a packet has, whatever a file header promises."""
_MOST_BLOCK: Final = 16 << 20
"""Largest believable pcapng block (Wireshark's own ceiling)."""
_MOST_INTERFACES: Final = 65_536

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = b"\x2a\x4d\x18"  # after a byte from 50 to 5f (RFC 8878, 3.1.2)
_PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
_BOTH: Final[tuple[Literal["big", "little"], ...]] = ("big", "little")
_ORDERS: Final = {  # magic number: nanoseconds of one fraction unit, bytes more in a record header
    0xA1B2C3D4: (1000, 0),
    0xA1B23C4D: (1, 0),
    0xA1B2CD34: (1000, 8),  # Kuznetzov's: interface[4] protocol[2] type[1] pad[1]; home routers
    0x1C0001AC: (1000, 0),  # IXIA's, hardware clock; the size of all packets follows the header
    0x1C0001AB: (1000, 0),  # IXIA's, software clock
}
_IXIA: Final = (0x1C0001AC, 0x1C0001AB)
_PCAP: Final = {  # first four bytes: big-endian, magic number
    magic.to_bytes(4, order): (order == "big", magic) for magic in _ORDERS for order in _BOTH
}


class _Stream:
    """The bytes of a file through one buffer that moves along it.

    Reading beats mapping: a buffer that stays in the cache costs a third less than a page fault
    for every page of the file, and a file that shrinks while it is read is an error, not a SIGBUS.
    """

    def __init__(self, file: io.BufferedIOBase, poll: float | None) -> None:
        self._file = file
        self._poll = poll
        self._buffer = np.empty(CHUNK, np.uint8)
        self.base = 0
        """Offset in the file of ``data[0]``."""
        self.data: NDArray[np.uint8] = self._buffer[:0]

    def refill(self, used: int) -> bool:
        """Drop the first ``used`` bytes of ``data`` and add more; False when there are no more."""
        rest = len(self.data) - used
        if rest > len(self._buffer) // 2:
            # A record longer than the buffer; records are at most _MOST_BLOCK, so this ends.
            grown = np.empty(2 * len(self._buffer), np.uint8)
            grown[:rest] = self.data[used:]
            self._buffer = grown
        elif used and rest:
            self._buffer[:rest] = self.data[used:].copy()
        self.base += used
        self.data = self._buffer[:rest]
        while True:
            # One read of what is there: a live pipe must not wait until the buffer is full.
            got = self._file.readinto1(memoryview(self._buffer.data)[rest:])
            if got:
                self.data = self._buffer[: rest + got]
                return True
            if self._poll is None:
                return False
            time.sleep(self._poll)

    def skip(self, size: int) -> bool:
        """Drop ``size`` bytes, more than ``data`` may hold; False when the file ends before."""
        while size > len(self.data):
            size -= len(self.data)
            if not self.refill(len(self.data)):
                return False
        rest = len(self.data) - size
        self._buffer[:rest] = self.data[size:].copy()
        self.base += size
        self.data = self._buffer[:rest]
        return True

    def close(self) -> None:
        self._file.close()


class CaptureFile:
    """The blocks of one capture file, to be iterated over once."""

    def __init__(self, path: str, follow: bool = False) -> None:
        """``-`` is standard input. With ``follow``, wait at the end for more, for ever."""
        self.name = "standard input" if path == "-" else path
        self._path = path
        self._follow = follow
        self._file: io.BufferedReader | None = None
        self._faults: tuple[type[Exception], ...] = ()

    @property
    def position(self) -> int:
        """Bytes of the file read so far, compressed ones where it is compressed."""
        try:
            return self._file.tell() if self._file is not None else 0
        except (OSError, ValueError):  # a pipe; closed
            return 0

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks; frames and data of one are valid until the next is asked for.

        Raises CaptureError.
        """
        source: _Stream | None = None
        try:
            source = self._open()
            magic = _head(source, self.name)
            reader = _pcapng_blocks if magic == _PCAPNG else _pcap_blocks
            yield from reader(source, self.name)
        except OSError as error:
            raise CaptureError(self.name, None, error.strerror or str(error)) from error
        except self._faults as error:
            at = source.base + len(source.data) if source is not None else 0
            fault = f"the compressed data is damaged or cut short: {error}"
            raise CaptureError(self.name, at, fault) from None
        finally:
            if self._file is not None:
                self._file.close()

    def _open(self) -> _Stream:
        if self._path == "-":
            file = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
        else:
            file = Path(self._path).open("rb")  # noqa: SIM115  closed by __iter__
        self._file = file
        while not (head := file.peek(4)[:4]) or (len(head) < 4 and self._follow):
            if not self._follow:
                raise CaptureError(self.name, 0, "the file is empty")
            time.sleep(_POLL)
        skippable = head[1:] == _ZSTD_SKIPPABLE and head[0] >> 4 == 5
        if not head.startswith((_GZIP, _ZSTD)) and not skippable:
            return _Stream(file, _POLL if self._follow else None)
        if self._follow:
            raise CaptureError(self.name, 0, "a compressed file cannot be followed")
        from sensor.capture.compressed import FAULTS, unpacked

        self._faults = FAULTS
        return _Stream(unpacked(file, head.startswith(_GZIP)), None)


def _head(source: _Stream, name: str) -> bytes:
    """The first four bytes, which tell the format."""
    _need(source, 4, name, "the file header")
    magic = source.data[:4].tobytes()
    if magic != _PCAPNG and magic not in _PCAP:
        fault = f"not a capture: it begins with {magic.hex(' ')}, expected a pcap or pcapng header"
        raise CaptureError(name, source.base, fault)
    return magic


def _need(source: _Stream, size: int, name: str, what: str) -> None:
    while len(source.data) < size:
        if not source.refill(0):
            fault = f"cut short: {what} needs {size} bytes, {len(source.data)} are left"
            raise CaptureError(name, source.base, fault)


def _pcap_blocks(source: _Stream, name: str) -> Iterator[Block]:
    _need(source, 24, name, "the file header")
    header = source.data[:24].tobytes()
    big, magic = _PCAP[header[:4]]
    fraction, extra = _ORDERS[magic]
    snaplen, link = struct.unpack(">II" if big else "<II", header[16:])
    link &= 0xFFFF  # the upper half tells of frame check sequences
    limit = max(snaplen if snaplen < _MOST_BLOCK else 0, _MOST_CAPTURED)
    frames = table(FRAMES_PER_BLOCK, FRAME)
    number, pos = 1, 28 if magic in _IXIA else 24
    _need(source, pos, name, "the file header")
    while True:
        n, pos, status = records.index_pcap(
            source.data, pos, big, fraction, link, limit, extra, frames
        )
        if n:
            yield Block(source.data, frames[:n], number, name)
            number += n
        if status == records.ABSURD:
            captured = int.from_bytes(source.data[pos + 8 : pos + 12], "big" if big else "little")
            fault = (
                f"packet {number} claims {captured:,} bytes, more than the {limit:,} a packet can"
                " have; the file is damaged here"
            )
            raise CaptureError(name, source.base + pos, fault)
        if status == records.MORE:
            if not source.refill(pos):
                _end(source, name, f"packet {number}")
                return
            pos = 0


def _end(source: _Stream, name: str, what: str) -> None:
    """At the end of the file: fine between records, a fault inside one."""
    if left := len(source.data):
        fault = f"cut short: {what} is not whole, only {left:,} bytes of it are there"
        raise CaptureError(name, source.base, fault)


class _Interfaces:
    """The interfaces described so far in one pcapng section, as the kernel reads them."""

    def __init__(self) -> None:
        self.rows = np.zeros((4, 4), np.int64)
        self.count = 0

    def add(self, body: bytes, order: str) -> str | None:
        """Take the body of an interface description block; a fault comes back as text."""
        if len(body) < 8:
            return "an interface description block is too short"
        if self.count == _MOST_INTERFACES:
            return f"more than {_MOST_INTERFACES:,} interfaces are described"
        link, _, snaplen = struct.unpack_from(order + "HHI", body)
        units, offset = 1_000_000, 0
        told = set()  # of an option said twice, the first counts
        at = 8
        while at + 4 <= len(body):
            code, length = struct.unpack_from(order + "HH", body, at)
            value = body[at + 4 : at + 4 + length]
            if code == 0 or len(value) < length:
                break
            if code in told:
                pass
            elif code == 9 and length == 1:  # if_tsresol
                units = (2 if value[0] & 0x80 else 10) ** (value[0] & 0x7F)
            elif code == 14 and length == 8:  # if_tsoffset, in seconds
                offset = struct.unpack(order + "q", value)[0] * SECOND
            told.add(code)
            at += 4 + (length + 3 & ~3)
        if units >= 1 << 62:
            return f"an interface counts time in 1/{units:.1e} s, finer than can be read"
        if abs(offset) >= 1 << 62:
            return "an interface has an absurd time offset"
        if self.count == len(self.rows):
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)])
        self.rows[self.count] = link, units, offset, snaplen
        self.count += 1
        return None


def _padded(length: int) -> int:
    """Blocks fill up to four bytes, also those of writers that count without."""
    return length + 3 & ~3


def _pcapng_blocks(source: _Stream, name: str) -> Iterator[Block]:
    interfaces = _Interfaces()
    big = False
    last = np.zeros(1, np.int64)
    frames = table(FRAMES_PER_BLOCK, FRAME)
    number, pos = 1, 0
    while True:
        n, pos, status = records.index_pcapng(
            source.data, pos, big, interfaces.rows, interfaces.count, _MOST_BLOCK, last, frames
        )
        if n:
            yield Block(source.data, frames[:n], number, name)
            number += n
        fault = None
        if status == records.SECTION and pos + 28 <= len(source.data):
            body = source.data[pos : pos + 28].tobytes()
            big = body[8:12] == b"\x1a\x2b\x3c\x4d"
            length = int.from_bytes(body[4:8], "big" if big else "little")
            if not big and body[8:12] != b"\x4d\x3c\x2b\x1a":
                fault = "a section header block has no byte-order mark"
            elif length < 28 or length > _MOST_BLOCK:
                fault = f"a section header block claims {length:,} bytes"
            elif (major := int.from_bytes(body[12:14], "big" if big else "little")) != 1:
                fault = f"a section of pcapng version {major}, expected version 1"
            elif pos + _padded(length) <= len(source.data):
                interfaces = _Interfaces()
                pos += _padded(length)
                continue
        elif status == records.INTERFACE:
            order = ">" if big else "<"
            length = struct.unpack(order + "I", source.data[pos + 4 : pos + 8].tobytes())[0]
            body = source.data[pos + 8 : pos + _padded(length) - 4].tobytes()
            fault = interfaces.add(body, order)
            if fault is None:
                pos += _padded(length)
                continue
        elif status == records.PASSED_OVER:
            length = int.from_bytes(source.data[pos + 4 : pos + 8], "big" if big else "little")
            start = source.base + pos
            if not source.skip(pos + _padded(length)):
                raise CaptureError(name, start, f"cut short: a block claims {length:,} bytes")
            pos = 0
            continue
        elif status == records.ABSURD:
            fault = f"a block claims more than {_MOST_BLOCK:,} bytes; the file is damaged here"
        elif status == records.BAD_BLOCK:
            fault = "a block whose lengths contradict each other; the file is damaged here"
        elif status == records.UNKNOWN_INTERFACE:
            fault = f"packet {number} is of an interface that was never described"
        if fault is not None:
            raise CaptureError(name, source.base + pos, fault)
        if status != records.FULL:
            if not source.refill(pos):
                _end(source, name, f"a block after packet {number - 1}")
                return
            pos = 0
