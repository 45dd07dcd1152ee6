"""What goes to Kafka: messages, and the sources on disk they come from."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from sensor import __version__

__all__ = ["Header", "Message", "Source", "headers"]

Header = tuple[str, bytes]


class Message(NamedTuple):
    """One row of a source, ready to be sent."""

    number: int
    topic: str
    """empty: there is nothing to send of this row"""
    key: bytes = b""
    """what follows the first ``@`` does not count for the partition: one subscriber, or customer,
    one partition
    """
    value: bytes | None = None
    """None: a tombstone"""
    headers: Sequence[Header] = ()
    ts: int = 0
    """packet time, ns"""


def headers(schema: str, **more: str) -> Sequence[Header]:
    """What every message bears: its schema, its form, who made it, and ``more``."""
    all_ = {
        "schema": schema,
        "content-type": "application/json",
        "producer": f"port25/{__version__}",
    }
    return [(name, text.encode()) for name, text in (all_ | more).items()]


class Source(Protocol):
    """One source."""

    name: str

    def read(self, after: int, most: int) -> list[Message]:
        """At most ``most`` rows with numbers above ``after``, in order."""

    def changes(self) -> int:
        """A number that differs when there may be more."""

    def last(self) -> int:
        """Number of the newest row."""

    def resend(self, position: int) -> list[Message]:
        """What to tell anew whenever there is a new connection; numbers mean nothing.

        Of rows above ``position`` nothing: they are read next, in order.
        """
