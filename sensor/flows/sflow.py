"""sFlow version 5 (sflow.org, 2004): packets' first bytes, one in so many, taken to flows.

    | version 5, address type, agent, sub-agent, sequence, uptime, samples: | type, length, ... |

Of flow samples (1, and 3 the expanded form) the raw packet headers (record 1) are read;
counters and other records are stepped over. Each header is decoded as a captured frame would be.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from sensor.base.kernel import table
from sensor.capture.block import FRAME, NO_VLAN, Block
from sensor.decode.decoder import Decoder
from sensor.decode.segment import TCP
from sensor.flows.record import Export, ExportError, Flow

__all__ = ["read_sflow", "sub_agent"]

_FLOW, _EXPANDED = 1, 3
_RAW: Final = 1
_LINKS: Final = {1: 1, 11: 101, 12: 101}
"""LINKTYPE by header protocol: Ethernet, IPv4, IPv6."""
_MOST: Final = 512
"""Samples of a datagram."""
_MAPPED: Final = 0xFFFF


class _Header(NamedTuple):
    content: bytes
    link: int
    wire: int
    rate: int


def read_sflow(data: bytes, decoder: Decoder, expected: int | None) -> tuple[Export, int]:
    """A datagram, and the number the next should have. Raises ExportError.

    ``decoder`` must watch the ports in question.
    """
    try:
        number, headers, others = _headers(data)
    except (struct.error, IndexError):
        raise ExportError(f"it breaks off after {len(data)} bytes") from None
    found = list(headers)
    flows = _flows(found, decoder) if found else []
    rate = max((one.rate for one in found), default=0)
    missing = 0 if expected is None else (number - expected) & 0xFFFF_FFFF
    lost = missing if missing < 1 << 24 else 0
    others += len(found) - len(flows)
    return Export(flows, others, lost, rate), (number + 1) & 0xFFFF_FFFF


def sub_agent(data: bytes) -> int:
    """Which process of the agent sends; each numbers its datagrams."""
    at = 24 if data[4:8] == b"\0\0\0\2" else 12
    return int.from_bytes(data[at : at + 4])


def _headers(data: bytes) -> tuple[int, list[_Header], int]:
    _, kind = struct.unpack_from(">II", data)
    at = 8 + {1: 4, 2: 16}.get(kind, 0)
    if at == 8:
        raise ExportError(f"address type {kind} at byte 4")
    _, number, _, samples = struct.unpack_from(">IIII", data, at)  # sub-agent, uptime
    at += 16
    if samples > _MOST:
        raise ExportError(f"{samples} samples at byte {at - 4}")
    headers: list[_Header] = []
    others = 0
    for _ in range(samples):
        form, length = struct.unpack_from(">II", data, at)
        at += 8
        if at + length > len(data):
            raise ExportError(f"a sample of {length} bytes at byte {at}")
        if form in (_FLOW, _EXPANDED):
            headers += _of_sample(data[at : at + length], form)
        else:
            others += 1
        at += length
    return number, headers, others


def _of_sample(sample: bytes, form: int) -> Iterator[_Header]:
    wide = form == _EXPANDED
    (rate,) = struct.unpack_from(">I", sample, 12 if wide else 8)
    (records,) = struct.unpack_from(">I", sample, 40 if wide else 28)
    at = 44 if wide else 32
    for _ in range(min(records, _MOST)):
        kind, length = struct.unpack_from(">II", sample, at)
        at += 8
        if kind == _RAW:
            protocol, wire, _, size = struct.unpack_from(">IIII", sample, at)
            content = sample[at + 16 : at + 16 + min(size, max(0, length - 16))]
            if protocol in _LINKS and content:
                yield _Header(content, _LINKS[protocol], wire, max(1, rate))
        at += length


def _flows(headers: list[_Header], decoder: Decoder) -> list[Flow]:
    frames = table(len(headers), FRAME)
    data = np.frombuffer(b"".join(one.content for one in headers), np.uint8)
    offset = 0
    for k, one in enumerate(headers):
        # A nanosecond apart: none is another's copy.
        frames[k] = (k, offset, len(one.content), max(one.wire, len(one.content)), one.link,
                     NO_VLAN)  # fmt: skip
        offset += len(one.content)
    segments = decoder.decode(Block(data, frames, 1, "sflow"))
    flows = []
    for row in segments:
        one = headers[int(row["frame"]) - 1]
        if row["kind"] != TCP:
            continue
        ends = (_address(row, "src"), _address(row, "dst"))
        flows.append(
            Flow(*ends, int(row["sport"]), int(row["dport"]), int(row["tcp_flags"]) & 0xFF, 1,
                 one.wire, one.rate)
        )  # fmt: skip
    return flows


def _address(row: np.void, end: str) -> bytes:
    hi, lo = int(row[f"{end}_hi"]), int(row[f"{end}_lo"])
    if not hi and lo >> 32 == _MAPPED:
        return (lo & 0xFFFF_FFFF).to_bytes(4)
    return (hi << 64 | lo).to_bytes(16)
