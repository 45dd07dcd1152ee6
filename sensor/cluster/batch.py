"""The batch: segments of one share as one message of Kafka; docs/cluster.md shows it.

A line of JSON (:class:`Head`), then zstd of the columns, one after the other, each little-endian in
the order of ``COLUMNS``, then of the segments' TCP or UDP headers and payloads, each right behind
the one before; of a TCP header without the ports and numbers, which columns are. What a reader
needs beyond that follows from it: where each segment's bytes lie, and its flow hash, which is
different in every process.
"""

import itertools
import sys
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import room
from sensor.blocking.decision import SENSOR
from sensor.decode.segment import SEGMENT
from sensor.decode.sharing import GOOD, from_columns

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = [
    "COLUMNS",
    "LATEST",
    "MOST_BYTES",
    "MOST_SEGMENTS",
    "SCHEMA",
    "Batch",
    "BatchError",
    "Head",
    "decode",
    "encode",
    "segments_of",
]

SCHEMA: Final = "port25.segments/1"
MOST_SEGMENTS: Final = 4096
MOST_BYTES: Final = 1 << 19
"""Of headers and payloads; with the columns a batch stays below the megabyte that topics take."""

_TTL: Final = "ttl"
COLUMNS: Final = (
    *(
        (name, SEGMENT[name].newbyteorder("<"))
        for name in (
            "ts", "src_hi", "src_lo", "dst_hi", "dst_lo", "tunnels", "seq", "ack", "mark",
            "length", "captured", "vlan", "sport", "dport", "tcp_flags", "kind", "header",
        )
    ),
    (_TTL, np.dtype(np.uint8)),
)  # fmt: skip
"""Fields of a segment by name and type; ``ttl`` is 0 where it is not known."""

_GROUPS: Final = [
    (dtype.newbyteorder("="), len(list(columns)))
    for dtype, columns in itertools.groupby(dtype for _, dtype in COLUMNS)
]
"""How many columns of one type stand behind each other, as ``from_columns`` takes them."""
_WRONG: Final = (
    "",
    "column captured: out of bounds",
    "column kind or vlan: out of bounds",
    "column header: out of bounds",
)
"""By what ``from_columns`` finds."""

_ROW_BYTES: Final = sum(dtype.itemsize for _, dtype in COLUMNS)
_LARGEST_HEAD: Final = 4096
_LEVEL: Final = -1
"""Of zstd: beside level 1 a sixth less work for 3 % more bytes."""
LATEST: Final = 1 << 62
"""Packet time, in the year 2116: kernels add to it, and must not wrap."""
Time = Annotated[int, msgspec.Meta(ge=0, le=LATEST)]


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a batch."""

    schema: Literal["port25.segments/1"] = SCHEMA
    sensor: Annotated[str, msgspec.Meta(pattern=SENSOR)]
    run: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{1,16}\Z")]
    """another one each time a sensor begins"""
    number: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
    """of this batch among those of the run in this partition, from 0 on: none may be missing"""
    link: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """interface or file the packets came from"""
    first: Time = 0
    last: Time = 0
    """packet time of the oldest and the newest segment, nanoseconds since 1970; 0: none are here"""
    mark: Time = 0
    """nothing older will come from this sensor into this partition; 0: it cannot say yet"""
    segments: Annotated[int, msgspec.Meta(ge=0, le=MOST_SEGMENTS)] = 0
    bytes: Annotated[int, msgspec.Meta(ge=0, le=MOST_BYTES)] = 0
    """of headers, as they are sent, and payloads"""
    live: bool = False
    """whether packets come as they are captured, and not from a file"""
    end: bool = False
    """the run is over"""


class Batch(NamedTuple):
    """One message, read."""

    head: Head
    rows: NDArray[np.void]
    """dtype SEGMENT, without ``payload`` and ``flow``"""
    ttls: NDArray[np.uint8]
    packed: NDArray[np.uint8]


class BatchError(ValueError):
    """A message that is no batch; the text says where it is not."""


def encode(
    head: Head, rows: NDArray[np.void], ttls: NDArray[np.uint8], packed: NDArray[np.uint8]
) -> bytes:
    """The message."""
    parts = [
        np.ascontiguousarray(ttls if name == _TTL else rows[name], dtype).tobytes()
        for name, dtype in COLUMNS
    ]
    body = b"".join([*parts, packed.tobytes()])
    return msgspec.json.encode(head) + b"\n" + (zstd.compress(body, level=_LEVEL) if body else b"")


def segments_of(message: bytes) -> int:
    """How many segments a message of :func:`encode` has."""
    return msgspec.json.decode(message.partition(b"\n")[0], type=Head).segments


def decode(message: bytes) -> Batch:
    """Read a message. Raises BatchError; takes no more memory than the largest batch does."""
    line, _, body = message[: _LARGEST_HEAD + 1].partition(b"\n")
    if len(line) > _LARGEST_HEAD or len(line) == len(message):
        raise BatchError("expected a line of JSON at byte 0")
    try:
        head = msgspec.json.decode(line, type=Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BatchError(f"the line of JSON: {error}") from None
    size = head.segments * _ROW_BYTES + head.bytes
    raw = b""
    body = message[len(line) + 1 :]
    if body:
        try:
            raw = zstd.ZstdDecompressor().decompress(body, size + 1)
        except zstd.ZstdError as error:
            raise BatchError(f"byte {len(line) + 1}: {error}") from None
    if len(raw) != size:
        raise BatchError(f"expected {size:,} bytes of segments, found {len(raw):,} or more")
    rows = room(head.segments, SEGMENT)
    ttls = np.empty(head.segments, np.uint8)
    given: list[NDArray[Any]] = []
    at = 0
    for dtype, count in _GROUPS:
        group = np.frombuffer(raw, dtype.newbyteorder("<"), count * head.segments, at)
        given.append(group.reshape(count, head.segments).astype(dtype, copy=False))
        at += group.nbytes
    times = given[0][0]
    if head.segments and (times.min() < 0 or times.max() > LATEST):
        raise BatchError("column ts: out of bounds")
    given += rows, ttls
    wrong, size = from_columns(*given)
    if wrong != GOOD:
        raise BatchError(_WRONG[wrong])
    if size != head.bytes:
        raise BatchError("columns captured and header: they do not add up to the bytes")
    return Batch(head, rows, ttls, np.frombuffer(raw, np.uint8, head.bytes, at))
