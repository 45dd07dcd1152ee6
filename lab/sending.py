"""Frames sent as fast as this machine can, or at a rate: a ring that the kernel empties.

    python -m lab.sending INTERFACE CAPTURE SECONDS [PACKETS_A_SECOND]     (root)

Prints how many went, and how many a second. The capture (Ethernet, pcap in nanoseconds or
microseconds) is sent again and again, each time from other client ports, so that its connections
are new ones. One call of the kernel sends thousands of frames (PACKET_TX_RING, linux/if_packet.h),
which is why this outruns senders that make one for each.
"""

import mmap
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["main"]

_SOL_PACKET: Final = 263
_VERSION, _TX_RING, _QDISC_BYPASS = 10, 13, 20
_V2: Final = 1
_SLOT: Final = 2048
_BLOCK: Final = 1 << 20
_BLOCKS: Final = 8
_SLOTS: Final = _BLOCKS * _BLOCK // _SLOT
_DATA: Final = 32
"""Where a frame begins in its slot, behind its header."""
_MOST: Final = 100_000
"""Frames of a capture that are taken."""
_CHUNK: Final = 512
"""Frames sent at once, where there is a rate."""
_MAIL: Final = 25


def load(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """The frames, each in a row as long as the longest, and their lengths."""
    data = path.read_bytes()
    found, at = [], 24
    while at + 16 <= len(data) and len(found) < _MOST:
        (size,) = struct.unpack_from("<I", data, at + 8)
        found.append(data[at + 16 : at + 16 + size])
        at += 16 + size
    lengths = np.array([len(one) for one in found], np.uint32)
    width = -(-int(lengths.max()) // 2) * 2
    rows = np.frombuffer(b"".join(one.ljust(width, b"\0") for one in found), np.uint8)
    return rows.reshape(-1, width).copy(), lengths


class Clients:
    """The ports of clients, in place: another one each time round."""

    def __init__(self, rows: NDArray[np.uint8]) -> None:
        self._words = rows.view(">u2")
        asked = self._words[:, 18] == _MAIL
        answered = self._words[:, 17] == _MAIL
        self._places = [(np.nonzero(asked)[0], 17), (np.nonzero(answered)[0], 18)]
        self._ports = [self._words[rows_, word].copy() for rows_, word in self._places]

    def turn(self, number: int) -> None:
        """Use those of time ``number``."""
        for (rows, word), ports in zip(self._places, self._ports, strict=True):
            self._words[rows, word] = 1024 + (ports.astype(np.int64) + number * 7) % 60_000


class Ring:
    """What the kernel sends from."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(_SOL_PACKET, _VERSION, _V2)
        self._socket.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
        request = struct.pack("IIII", _BLOCK, _BLOCKS, _SLOT, _SLOTS)
        self._socket.setsockopt(_SOL_PACKET, _TX_RING, request)
        self._map = mmap.mmap(self._socket.fileno(), _BLOCK * _BLOCKS)
        self._socket.bind((interface, 0))
        slots = np.frombuffer(self._map, np.uint8).reshape(_SLOTS, _SLOT)
        self._bytes = slots[:, _DATA:]
        self._status, self._lengths = slots.view(np.uint32)[:, 0], slots.view(np.uint32)[:, 1]
        self._at = 0

    def send(self, rows: NDArray[np.uint8], lengths: NDArray[np.uint32]) -> None:
        """Send frames, at most as many as there are slots; returns when all have gone."""
        while len(rows):
            n = min(len(rows), _SLOTS - self._at)
            here = slice(self._at, self._at + n)
            self._bytes[here, : rows.shape[1]] = rows[:n]
            self._lengths[here] = lengths[:n]
            self._status[here] = 1
            while self._status[here].any():
                self._socket.send(b"")
            self._at = (self._at + n) % _SLOTS
            rows, lengths = rows[n:], lengths[n:]


def main(interface: str, path: str, seconds: str, rate: str = "0") -> None:
    """Send for a time."""
    rows, lengths = load(Path(path))
    clients, ring = Clients(rows), Ring(interface)
    wanted, at_once = int(rate), _CHUNK if int(rate) else _SLOTS
    sent = number = 0
    began = time.perf_counter()
    ends = began + float(seconds)
    while time.perf_counter() < ends:
        for at in range(0, len(rows), at_once):
            ring.send(rows[at : at + at_once], lengths[at : at + at_once])
            sent += len(rows[at : at + at_once])
            now = time.perf_counter()
            if now >= ends:
                break
            if wanted and (early := began + sent / wanted - now) > 0:
                time.sleep(early)
        number += 1
        clients.turn(number)
    print(sent, round(sent / (time.perf_counter() - began)))


if __name__ == "__main__":
    main(*sys.argv[1:])
