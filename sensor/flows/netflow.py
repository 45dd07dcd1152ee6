"""NetFlow version 5: 24 bytes of header, 48 a record, IPv4 only.

    | version 5, count, uptime, seconds, ns, sequence, engine, sampling: mode 2 bits, interval 14 |
    | source, destination, next hop, 2 interfaces, packets, bytes, first, last,                   |
    |   ports, 0, flags, protocol, ...                                                            |

And records of version 9 and IPFIX, by the elements that templates name.
"""

import struct
from collections.abc import Iterable
from typing import Final

from sensor.flows.record import Export, ExportError, Flow
from sensor.leases.ipfix_message import Record

__all__ = ["ELEMENTS", "flow_of", "rate_of", "read_5"]

_HEADER: Final = 24
_RECORD: Final = 48
_TCP: Final = 6

(_BYTES, _PACKETS, _PROTOCOL, _FLAGS, _SOURCE_PORT, _SOURCE_4, _PORT, _DESTINATION_4, _SOURCE_6,
 _DESTINATION_6, _INTERVAL, _RANDOM_INTERVAL, _ALL_BYTES, _ALL_PACKETS, _TCP_SOURCE, _TCP_PORT,
 _SAMPLED, _SPACE, _SIZE, _POPULATION) = (
    1, 2, 4, 6, 7, 8, 11, 12, 27, 28, 34, 50, 85, 86, 182, 183, 305, 306, 309, 310,
)  # fmt: skip
ELEMENTS: Final = (
    _BYTES, _PACKETS, _PROTOCOL, _FLAGS, _SOURCE_PORT, _SOURCE_4, _PORT, _DESTINATION_4, _SOURCE_6,
    _DESTINATION_6, _INTERVAL, _RANDOM_INTERVAL, _ALL_BYTES, _ALL_PACKETS, _TCP_SOURCE, _TCP_PORT,
    _SAMPLED, _SPACE, _SIZE, _POPULATION,
)  # fmt: skip
"""Information elements that are read, as IANA numbers them."""


def read_5(data: bytes, expected: int | None) -> tuple[Export, int]:
    """A message, and the number the next should have. Raises ExportError."""
    if len(data) < _HEADER:
        raise ExportError(f"{len(data)} bytes are no message of version 5")
    _, count = struct.unpack_from(">HH", data)
    if len(data) < _HEADER + count * _RECORD:
        raise ExportError(f"{count} records said, but {len(data)} bytes came")
    number, _, sampling = struct.unpack_from(">IHH", data, 16)
    rate = sampling & 0x3FFF or 1
    flows: list[Flow] = []
    for at in range(_HEADER, _HEADER + count * _RECORD, _RECORD):
        packets, size = struct.unpack_from(">II", data, at + 16)
        source_port, port, _, flags, protocol = struct.unpack_from(">HHBBB", data, at + 32)
        if protocol == _TCP:
            ends = data[at : at + 4], data[at + 4 : at + 8]
            flows.append(Flow(*ends, source_port, port, flags, packets, size, rate))
    missing = 0 if expected is None else (number - expected) & 0xFFFF_FFFF
    lost = missing if missing < 1 << 24 else 0  # it began anew, or came out of order
    export = Export(flows, count - len(flows), lost, rate)
    return export, (number + count) & 0xFFFF_FFFF


def flow_of(record: Record) -> Flow | None:
    """A record by a template; None: it is not of TCP, or does not say enough."""

    def number(*elements: int) -> int:
        return next((int.from_bytes(record[one]) for one in elements if one in record), 0)

    source = record.get(_SOURCE_4) or record.get(_SOURCE_6, b"")
    destination = record.get(_DESTINATION_4) or record.get(_DESTINATION_6, b"")
    ports = number(_SOURCE_PORT, _TCP_SOURCE), number(_PORT, _TCP_PORT)
    protocol = number(_PROTOCOL) or (_TCP if _TCP_PORT in record else 0)
    if protocol != _TCP or len(source) not in (4, 16) or len(source) != len(destination):
        return None
    flags = number(_FLAGS) if _FLAGS in record else -1
    return Flow(
        source, destination, *ports, flags, number(_PACKETS, _ALL_PACKETS),
        number(_BYTES, _ALL_BYTES), rate_of([record]),
    )  # fmt: skip


def rate_of(records: Iterable[Record]) -> int:
    """One packet in so many, as records or options say it; the largest; 0: they do not."""
    found = 0
    for record in records:
        told = {one: int.from_bytes(record[one]) for one in record}
        interval = max(told.get(_INTERVAL, 0), told.get(_RANDOM_INTERVAL, 0))
        for taken, of in (
            (told.get(_SAMPLED, 0), told.get(_SAMPLED, 0) + told.get(_SPACE, 0)),
            (told.get(_SIZE, 0), told.get(_POPULATION, 0)),
        ):
            if of > taken > 0:
                interval = max(interval, of // taken)
        found = max(found, interval)
    return found
