"""Conversations made into Ethernet frames, as a mirror port near the client shows them."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.capture.block import FRAME, FRAMES_PER_BLOCK, Block

__all__ = ["LINUX", "MACHINES", "WINDOWS", "Machine", "Turn", "Wire"]

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
_SEGMENT: Final = 1448
_FRAME_HEAD: Final = bytes.fromhex("020000000001020000000002")


@dataclass(frozen=True)
class Machine:
    """What an operating system shows in its SYN (Zalewski's p0f, database of signatures)."""

    ttl: int
    window: int
    options: bytes
    retries: tuple[float, ...]
    """seconds after the first SYN at which it tries again where nothing answers"""


LINUX: Final = Machine(
    64, 64240, bytes.fromhex("020405b40402080a000000010000000001030307"), (1, 3, 7, 15)
)
"""MSS, SACK, timestamps, window scale 7 (tcp_syn_retries cut to what a mail server waits)."""
WINDOWS: Final = Machine(128, 64240, bytes.fromhex("020405b40103030801010402"), (1, 3))
WINDOWS_OLD: Final = Machine(128, 65535, bytes.fromhex("020405b401010402"), (3, 9))
"""Windows XP and Server 2003."""
BSD: Final = Machine(
    64, 65535, bytes.fromhex("020405b4010303060402080a0000000100000000"), (1, 3, 7)
)
SMALL: Final = Machine(64, 5840, bytes.fromhex("020405b40402080a000000010000000001030302"), (3, 9))
"""A router or a camera with an old Linux."""
RAW: Final = Machine(255, 1024, bytes.fromhex("020405b4"), ())
"""A scanner with a stack of its own (zmap, masscan: no retries)."""
MACHINES: Final = (LINUX, WINDOWS, WINDOWS_OLD, BSD, SMALL)


class Turn(NamedTuple):
    """What one side says before the other does."""

    from_server: bool
    data: bytes
    wait: float
    """seconds it takes its time, beside the way"""


class Wire:
    """Frames in the order they were added; sorted by time when read."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._frames: list[bytes] = []

    def __len__(self) -> int:
        return len(self._times)

    def times(self) -> list[int]:
        """Of each frame, in the order they were added, ns since 1970."""
        return self._times

    def segment(
        self, at: float, machine: Machine, way: tuple[bytes, bytes, int, int],
        seq: int, ack: int, flags: int, data: bytes = b"",
    ) -> None:  # fmt: skip
        """One TCP segment; ``way``: source, destination, their ports (IPv4 or IPv6 addresses)."""
        source, destination, sport, dport = way
        options = machine.options if flags & SYN else b""
        tcp = struct.pack(
            "!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF,
            (20 + len(options)) // 4 << 4, flags, machine.window, 0, 0,
        )  # fmt: skip
        self._add(at, machine.ttl, 6, source, destination, tcp + options + data)

    def datagram(self, at: float, way: tuple[bytes, bytes, int, int], data: bytes) -> None:
        """One UDP datagram."""
        source, destination, sport, dport = way
        udp = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
        self._add(at, 64, 17, source, destination, udp + data)

    def _add(
        self, at: float, ttl: int, protocol: int, source: bytes, to: bytes, rest: bytes
    ) -> None:
        if len(source) == 4:
            ip = struct.pack(
                "!BBHHHBBH", 0x45, 0, 20 + len(rest), len(self._times) & 0xFFFF, 0x4000,
                ttl - 1, protocol, 0,
            )  # fmt: skip
            kind = b"\x08\x00"
        else:
            ip = struct.pack("!IHBB", 6 << 28, len(rest), protocol, ttl - 1)
            kind = b"\x86\xdd"
        self._times.append(int(at * 1e9))
        self._frames.append(_FRAME_HEAD + kind + ip + source + to + rest)

    def unanswered(
        self, at: float, machine: Machine, way: tuple[bytes, bytes, int, int], seq: int, reset: bool
    ) -> float:
        """A SYN that is refused, or that nobody answers; when the client gives up."""
        self.segment(at, machine, way, seq, 0, SYN)
        if reset:
            self.segment(at + 0.04, LINUX, _back(way), 0, seq + 1, RST | ACK)
            return at + 0.05
        for later in machine.retries:
            self.segment(at + later, machine, way, seq, 0, SYN)
        return at + 2 * (machine.retries[-1] if machine.retries else 5.0)

    def connection(
        self, at: float, machine: Machine, way: tuple[bytes, bytes, int, int], rtt: float,
        seqs: tuple[int, int], turns: list[Turn], ending: str,
    ) -> float:  # fmt: skip
        """A whole connection; when it is over.

        ``ending``: who closes, ``client`` or ``server``; ``reset``: the client, by RST;
        ``vanish``: neither, it stays open.
        """
        there = LINUX
        seq, ack = seqs
        self.segment(at, machine, way, seq, 0, SYN)
        at += rtt
        self.segment(at, there, _back(way), ack, seq + 1, SYN | ACK)
        at += 0.0002
        seq, ack = seq + 1, ack + 1
        self.segment(at, machine, way, seq, ack, ACK)
        before = False
        for turn in turns:
            at += turn.wait + (rtt if turn.from_server and not before else 0.0)
            before = turn.from_server
            for k in range(0, len(turn.data), _SEGMENT):
                part = turn.data[k : k + _SEGMENT]
                flags = ACK | (PSH if k + _SEGMENT >= len(turn.data) else 0)
                at += 0.00005
                if turn.from_server:
                    self.segment(at, there, _back(way), ack, seq, flags, part)
                    ack += len(part)
                else:
                    self.segment(at, machine, way, seq, ack, flags, part)
                    seq += len(part)
        return self._end(at + 0.001, machine, way, rtt, seq, ack, ending)

    def _end(
        self, at: float, machine: Machine, way: tuple[bytes, bytes, int, int], rtt: float,
        seq: int, ack: int, ending: str,
    ) -> float:  # fmt: skip
        if ending == "vanish":
            self.segment(at, machine, way, seq, ack, ACK)
            return at
        if ending == "reset":
            self.segment(at, machine, way, seq, ack, RST | ACK)
            return at
        if ending == "client":
            self.segment(at, machine, way, seq, ack, FIN | ACK)
            self.segment(at + rtt, LINUX, _back(way), ack, seq + 1, FIN | ACK)
            self.segment(at + rtt + 0.0002, machine, way, seq + 1, ack + 1, ACK)
            return at + rtt
        self.segment(at, LINUX, _back(way), ack, seq, FIN | ACK)
        self.segment(at + 0.0003, machine, way, seq, ack + 1, FIN | ACK)
        self.segment(at + 0.0003 + rtt, LINUX, _back(way), ack + 1, seq + 1, ACK)
        return at + rtt

    def frames(self) -> tuple[NDArray[np.int64], list[bytes]]:
        """Times, and frames with checksums, in time order (stable)."""
        times = np.array(self._times, np.int64)
        order = np.argsort(times, kind="stable")
        return times[order], _summed([self._frames[i] for i in order])

    def blocks(self, size: int = FRAMES_PER_BLOCK) -> list[Block]:
        """The frames as the sensor's readers hand them over."""
        times, frames = self.frames()
        found = []
        for k in range(0, len(frames), size):
            part = frames[k : k + size]
            rows = np.zeros(len(part), FRAME)
            lengths = np.array([len(frame) for frame in part])
            rows["ts"] = times[k : k + size]
            rows["captured"] = rows["wire"] = lengths
            rows["offset"][1:] = np.cumsum(lengths)[:-1]
            rows["link"], rows["vlan"] = 1, -1
            data = np.frombuffer(b"".join(part), np.uint8)
            found.append(Block(data, rows, k + 1, "senders"))
        return found

    def write(self, path: Path) -> int:
        """Write a nanosecond pcap file; the number of frames."""
        times, frames = self.frames()
        with path.open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
            for ts, frame in zip(times.tolist(), frames, strict=True):
                size = len(frame)
                file.write(struct.pack("<IIII", ts // 10**9, ts % 10**9, size, size) + frame)
        return len(frames)


def _back(way: tuple[bytes, bytes, int, int]) -> tuple[bytes, bytes, int, int]:
    source, destination, sport, dport = way
    return destination, source, dport, sport


def _summed(frames: list[bytes]) -> list[bytes]:
    """The same with the checksums of IPv4, TCP and UDP (RFC 1071)."""
    if not frames:
        return []
    lengths = np.array([len(frame) for frame in frames])
    starts = np.zeros(len(frames) + 1, np.int64)
    np.cumsum((lengths + 1) // 2 * 2, out=starts[1:])
    data = np.zeros(int(starts[-1]), np.uint8)
    for at, frame in zip(starts.tolist(), frames, strict=False):
        data[at : at + len(frame)] = np.frombuffer(frame, np.uint8)
    words = data.view(">u2").astype(np.int64)
    sums = np.concatenate([[0], np.cumsum(words)])

    def total(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
        return sums[last // 2] - sums[first // 2]

    def put(at: NDArray[np.int64], value: NDArray[np.int64]) -> None:
        for _ in range(3):
            value = (value & 0xFFFF) + (value >> 16)
        value = ~value & 0xFFFF
        data[at], data[at + 1] = value >> 8, value & 255

    starts, ends = starts[:-1], starts[1:]
    four = data[starts + 12] == 8
    ip = starts + 14
    put(ip[four] + 10, total(ip[four], ip[four] + 20))
    head = np.where(four, 20, 40)
    protocol = np.where(four, data[ip + 9], data[ip + 6]).astype(np.int64)
    pseudo = total(np.where(four, ip + 12, ip + 8), ip + head)
    put(
        ip + head + np.where(protocol == 6, 16, 6),
        pseudo + protocol + lengths - 14 - head + total(ip + head, ends),
    )
    return [
        data[a : a + n].tobytes() for a, n in zip(starts.tolist(), lengths.tolist(), strict=True)
    ]
