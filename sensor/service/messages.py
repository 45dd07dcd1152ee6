"""What the processes of a sensor say to each other: a struct for each thing that can be said.

    the sensor, or the parent of its workers  <--->  the deliverer   (a packet of a socket each)
    the sensor                                 <--->  a source of leases  (a packet each)
    a worker                                   --->  its parent      (a line of a pipe each)

On the way they are JSON, told apart by ``type``. What a process does not know it refuses: both ends
are of one version, as one starts the other.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from sensor.alerts.alert import Alert
from sensor.alerts.notice import Notice
from sensor.base.sentences import Sentence
from sensor.settings import Settings

__all__ = [
    "LARGEST",
    "Asked",
    "Began",
    "Counted",
    "Counters",
    "Failed",
    "Lent",
    "Noticed",
    "OfSource",
    "Progress",
    "Raised",
    "Remarked",
    "Resumed",
    "Settled",
    "Standing",
    "Stopping",
    "Taken",
    "ToDeliverer",
    "ToParent",
    "ToSensor",
    "ToSource",
    "decode_of_source",
    "decode_to_deliverer",
    "decode_to_parent",
    "decode_to_sensor",
    "decode_to_source",
    "encode",
]

LARGEST: Final = 1 << 20
"""Bytes of a packet."""

Counters = dict[str, dict[str, Any]]
"""Everything there is to count, by stage and name."""


class Began(msgspec.Struct, tag=True, frozen=True):
    """To the others: the state folder is there, and belongs to whom the sensor runs as."""


class Settled(msgspec.Struct, tag=True, frozen=True):
    """To the deliverer: these settings are in force from now on; those of sinks are not."""

    settings: Settings


class Noticed(msgspec.Struct, tag=True, frozen=True):
    """Either way, and of a worker: a notice to be passed on."""

    notice: Notice


class Standing(msgspec.Struct, tag=True, frozen=True):
    """To the deliverer: how the sensor is."""

    counters: Counters


class Stopping(msgspec.Struct, tag=True, frozen=True):
    """To the deliverer: pass on what waits, then end."""

    patience: float
    """seconds without progress after which it is not waited for any longer"""


class Progress(msgspec.Struct, tag=True, frozen=True):
    """Of the deliverer: how far it is."""

    counters: Counters
    waiting: int
    """rows on disk that sinks are not done with"""


class Asked(msgspec.Struct, tag=True, frozen=True):
    """Of a source: how far is what was taken?"""


class Resumed(msgspec.Struct, tag=True, frozen=True):
    """To a source: so far; go on from there."""

    position: str
    """as the source once said it; empty: from the beginning"""


class Lent(msgspec.Struct, tag=True, frozen=True):
    """Of a source: leases."""

    rows: bytes
    """of dtype CHANGE"""
    unfit: dict[str, int]
    """what was told and is no lease, by counter"""
    counters: dict[str, int]
    """what else it counted, by name"""
    position: str
    """how far that is; empty: more belongs to it"""


class Taken(msgspec.Struct, tag=True, frozen=True):
    """To a source: the leases are on disk, and lent."""


class Remarked(msgspec.Struct, tag=True, frozen=True):
    """Of a source: what a person should know."""

    said: Sentence


class Raised(msgspec.Struct, tag=True, frozen=True):
    """Of a worker: an alert, or what became of one."""

    alert: Alert


class Counted(msgspec.Struct, tag=True, frozen=True):
    """Of a worker: how it is."""

    counters: Counters


class Failed(msgspec.Struct, tag=True, frozen=True):
    """Of a worker: why it ends."""

    reason: str


ToDeliverer = Began | Settled | Noticed | Standing | Stopping
ToSensor = Noticed | Progress
ToSource = Began | Resumed | Taken
OfSource = Asked | Lent | Remarked
ToParent = Raised | Noticed | Counted | Failed

encode: Final = msgspec.json.Encoder().encode
"""A message as bytes without a line's end."""

decode_to_deliverer: Final[Callable[[bytes], ToDeliverer]] = msgspec.json.Decoder(
    ToDeliverer
).decode
"""What the sensor says. Raises msgspec.DecodeError."""

decode_to_sensor: Final[Callable[[bytes], ToSensor]] = msgspec.json.Decoder(ToSensor).decode
"""What the deliverer says. Raises msgspec.DecodeError."""

decode_to_source: Final[Callable[[bytes], ToSource]] = msgspec.json.Decoder(ToSource).decode
"""What the sensor says to a source of leases. Raises msgspec.DecodeError."""

decode_of_source: Final[Callable[[bytes], OfSource]] = msgspec.json.Decoder(OfSource).decode
"""What a source of leases says. Raises msgspec.DecodeError."""

decode_to_parent: Final[Callable[[bytes], ToParent]] = msgspec.json.Decoder(ToParent).decode
"""What a worker says. Raises msgspec.DecodeError."""
