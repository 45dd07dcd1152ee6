"""Where export messages come from: captures of them, or a port that hears them.

Of a capture every UDP datagram to the port of ``flows.listen`` is one, at its packet's time; so the
same capture gives the same alerts. Heard live it counts when it arrives, and only from
``flows.senders``: UDP proves nothing of who sends it, so it belongs into a network of your own.
"""

import ipaddress
import select
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from sensor.capture.merge import Captures
from sensor.flows.settings import FlowSettings
from sensor.leases.datagram import FragmentError, datagram_of
from sensor.leases.listening import address_of, bound, endpoint, networks
from sensor.leases.settings import LeaseSettingsError

__all__ = ["Heard", "Message", "Recorded", "SourceError"]

_LARGEST: Final = 65_535
_AT_ONCE: Final = 1000
_TURN: Final = 1.0


class SourceError(Exception):
    """It cannot be heard; the text says why."""


class Message(NamedTuple):
    """One datagram, or that time has passed without any."""

    ts: int
    """nanoseconds since 1970"""
    exporter: str
    data: bytes
    """none: time has passed"""


class Recorded:
    """Messages in captures."""

    def __init__(self, captures: Captures, settings: FlowSettings) -> None:
        """Raises SourceError."""
        self._captures = captures
        try:
            _, self._port = endpoint("flows.listen", settings.listen)
            self._senders = networks("flows.senders", settings.senders)
        except LeaseSettingsError as error:
            raise SourceError(str(error)) from None
        self.counts = {"frames_of_others": 0, "export_fragments": 0, "exports_of_strangers": 0}

    def __iter__(self) -> Iterator[Message]:
        for block in self._captures:
            rows = block.frames[["ts", "offset", "captured", "link"]].tolist()
            for ts, offset, captured, link in rows:
                try:
                    one = datagram_of(block.data[offset : offset + captured].tobytes(), link)
                except FragmentError:
                    self.counts["export_fragments"] += 1
                    continue
                if one is None or one.port != self._port:
                    self.counts["frames_of_others"] += 1
                    continue
                exporter = ipaddress.ip_address(one.source)
                if self._senders and not any(exporter in net for net in self._senders):
                    self.counts["exports_of_strangers"] += 1
                    continue
                yield Message(ts, str(exporter), one.payload)


class Heard:
    """Messages as they come, until ``ends`` says so."""

    def __init__(self, settings: FlowSettings, ends: Callable[[], bool]) -> None:
        """Raises SourceError."""
        try:
            at = endpoint("flows.listen", settings.listen)
            self._senders = networks("flows.senders", settings.senders)
            self._sock = bound(at)
        except (LeaseSettingsError, OSError) as error:
            raise SourceError(f"flows.listen: {error}") from None
        if not self._senders:
            raise SourceError("flows.senders: missing; nobody would be heard")
        self._ends = ends
        self.counts = {"exports_of_strangers": 0}

    def __iter__(self) -> Iterator[Message]:
        while not self._ends():
            ready, _, _ = select.select([self._sock], [], [], _TURN)
            if not ready:
                yield Message(time.time_ns(), "", b"")
                continue
            for _ in range(_AT_ONCE):
                try:
                    data, sender = self._sock.recvfrom(_LARGEST)
                except OSError:
                    break
                exporter = address_of(sender[0])
                if any(exporter in net for net in self._senders):
                    yield Message(time.time_ns(), str(exporter), data)
                else:
                    self.counts["exports_of_strangers"] += 1
        self._sock.close()
