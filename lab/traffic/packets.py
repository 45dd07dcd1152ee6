"""Connections made into frames, in the order of time, a block after the other."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lab.traffic.plan import numbered
from lab.traffic.scripts import MX_LOOKUP, Scripts
from sensor.capture.block import FRAME, FRAMES_PER_BLOCK, Block

__all__ = ["CONNECTION", "blocks", "write"]

CONNECTION = np.dtype(
    [
        ("start", np.int64),  # nanoseconds since 1970
        ("client_hi", np.uint64),  # IPv4 mapped
        ("client_lo", np.uint64),
        ("server_hi", np.uint64),
        ("server_lo", np.uint64),
        ("number", np.uint32),  # digits for the script
        ("rtt", np.int32),  # microseconds
        ("sender", np.int32),
        ("script", np.int16),
        ("sport", np.uint16),
    ],
    align=True,
)
"""One connection, or one question to a resolver."""

_SLICE: Final = 20_000
"""Connections made into packets at once."""
_V4 = np.uint64(0xFFFF)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def blocks(connections: NDArray[np.void], scripts: Scripts, syns: bool = False) -> Iterator[Block]:
    """Frames of ``connections`` (dtype CONNECTION, by start) in time order.

    With ``syns`` only what opens connections: SYNs and their retries.
    """
    none = np.zeros(0, np.int64)
    left = none, none, none  # times, connections, packets of the scripts
    number = 1
    for at in range(0, len(connections), _SLICE):
        part = connections[at : at + _SLICE]
        which = part["script"].astype(np.int64)
        counts = scripts.first[which + 1] - scripts.first[which]
        index, step = numbered(counts)
        step += scripts.first[which][index]
        index += at
        if syns:
            kept = (scripts.flags[step] == 2) & ~scripts.from_server[step]
            index, step = index[kept], step[kept]
        times = connections["start"][index] + (
            scripts.wait[step] + scripts.trips[step] * connections["rtt"][index] * 1e3
        ).astype(np.int64)
        times, index, step = (
            np.concatenate(pair) for pair in zip(left, (times, index, step), strict=True)
        )
        order = np.argsort(times, kind="stable")
        times, index, step = times[order], index[order], step[order]
        more = at + _SLICE < len(connections)
        cut = np.searchsorted(times, connections["start"][at + _SLICE]) if more else len(times)
        left = times[cut:], index[cut:], step[cut:]
        for k in range(0, cut, FRAMES_PER_BLOCK):
            s = slice(k, min(k + FRAMES_PER_BLOCK, cut))
            frames = np.zeros(s.stop - s.start, FRAME)
            data = _render(connections, scripts, times[s], index[s], step[s], frames)
            yield Block(data, frames, number, "traffic laboratory")
            number += len(frames)


def _render(connections, scripts, times, index, step, frames):  # type: ignore[no-untyped-def]
    rows = connections[index]
    six = rows["client_hi"] != 0
    header = np.where(rows["script"] == MX_LOOKUP, 8, 20)
    sizes = 14 + np.where(six, 40, 20) + header + scripts.size[step]
    frames["ts"] = times
    frames["captured"] = frames["wire"] = sizes
    frames["offset"][1:] = np.cumsum(sizes)[:-1]
    frames["link"] = 1
    frames["vlan"] = -1
    data = np.zeros(int(sizes.sum()), np.uint8)
    _fill(rows, scripts, step, frames["offset"], data)
    return data


@njit(cache=True)
def _put(out, at, width, value):  # type: ignore[no-untyped-def]
    for k in range(width):
        out[at + k] = value >> (8 * (width - 1 - k)) & 0xFF


@njit(cache=True)
def _sum(out, at, size):  # type: ignore[no-untyped-def]
    """The ones' complement sum of RFC 1071, not yet folded."""
    total = 0
    for k in range(0, size - 1, 2):
        total += np.int64(out[at + k]) << 8 | np.int64(out[at + k + 1])
    if size % 2:
        total += np.int64(out[at + size - 1]) << 8
    return total


@njit(cache=True)
def _folded(total):  # type: ignore[no-untyped-def]
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@njit(cache=True)
def _digits(out, at, value):  # type: ignore[no-untyped-def]
    for k in range(8):
        out[at + k] = _HEX[value >> (4 * (7 - k)) & 15]


@njit(cache=True)
def _fill(rows, scripts, steps, offsets, out):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        row = rows[i]
        j = steps[i]
        at = offsets[i]
        server = scripts.from_server[j]
        six = row.client_hi != 0
        udp = row.script == MX_LOOKUP
        header = 8 if udp else 20
        size = scripts.size[j]
        for k in range(12):
            out[at + k] = 0
        out[at] = out[at + 6] = 2
        out[at + 5] = 1 + (not server)
        out[at + 11] = 1 + server
        _put(out, at + 12, 2, 0x86DD if six else 0x0800)
        ip = at + 14
        hi_a, lo_a, hi_b, lo_b = row.client_hi, row.client_lo, row.server_hi, row.server_lo
        if server:
            hi_a, lo_a, hi_b, lo_b = hi_b, lo_b, hi_a, lo_a
        protocol = 17 if udp else 6
        if six:
            out[ip] = 0x60
            _put(out, ip + 4, 2, header + size)
            out[ip + 6] = protocol
            out[ip + 7] = 60
            _put(out, ip + 8, 8, hi_a)
            _put(out, ip + 16, 8, lo_a)
            _put(out, ip + 24, 8, hi_b)
            _put(out, ip + 32, 8, lo_b)
            tcp = ip + 40
            total = _sum(out, ip + 8, 32)
        else:
            out[ip] = 0x45
            _put(out, ip + 2, 2, 20 + header + size)
            _put(out, ip + 4, 2, np.int64(row.number + 7 * j) & 0xFFFF)
            out[ip + 6] = 0x40
            out[ip + 8] = 60
            out[ip + 9] = protocol
            _put(out, ip + 12, 4, np.int64(lo_a & np.uint64(0xFFFFFFFF)))
            _put(out, ip + 16, 4, np.int64(lo_b & np.uint64(0xFFFFFFFF)))
            _put(out, ip + 10, 2, _folded(_sum(out, ip, 20)))
            tcp = ip + 20
            total = _sum(out, ip + 12, 8)
        port = scripts.port[row.script]
        _put(out, tcp, 2, port if server else np.int64(row.sport))
        _put(out, tcp + 2, 2, np.int64(row.sport) if server else port)
        if udp:
            _put(out, tcp + 4, 2, header + size)
        else:
            # Sequence numbers begin at hashes of the connection's number.
            mine = np.int64(row.number) * 2654435761 + np.int64(row.sport) * 40503
            theirs = np.int64(row.number) * 2246822519 + np.int64(row.sport) * 97
            if server:
                mine, theirs = theirs, mine
            _put(out, tcp + 4, 4, (mine + scripts.seq[j]) & 0xFFFFFFFF)
            if scripts.flags[j] & 0x10:
                _put(out, tcp + 8, 4, (theirs + scripts.ack[j]) & 0xFFFFFFFF)
            out[tcp + 12] = 0x50
            out[tcp + 13] = scripts.flags[j]
            _put(out, tcp + 14, 2, 64240)
        data = tcp + header
        for k in range(size):
            out[data + k] = scripts.data[scripts.at[j] + k]
        if scripts.number_at[j] >= 0:
            _digits(out, data + scripts.number_at[j], np.int64(row.number))
        if scripts.sender_at[j] >= 0:
            _digits(out, data + scripts.sender_at[j], np.int64(row.sender))
        checksum = _folded(total + protocol + header + size + _sum(out, tcp, header + size))
        _put(out, tcp + (6 if udp else 16), 2, checksum)


def write(path: Path, frames: Iterator[Block]) -> int:
    """Write a nanosecond pcap file; the number of frames."""
    n = 0
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        for block in frames:
            records = np.zeros(len(block.frames), "<u4, <u4, <u4, <u4")
            records["f0"] = block.frames["ts"] // 1_000_000_000
            records["f1"] = block.frames["ts"] % 1_000_000_000
            records["f2"] = records["f3"] = block.frames["captured"]
            out = bytearray()
            for record, frame in zip(records, block.frames, strict=True):
                out += record.tobytes()
                out += block.data[frame["offset"] :][: frame["captured"]].tobytes()
            file.write(out)
            n += len(block.frames)
    return n
