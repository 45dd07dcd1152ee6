"""A few frames of an interface, one at a time: UDP of some ports, for who needs no ring.

The filter runs in the kernel, so nothing else reaches us; tags that the card took off are lost.
"""

import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from sensor.capture.afpacket import attach, link_of, why_not
from sensor.capture.block import CaptureError
from sensor.capture.bpf import datagram_filter

__all__ = ["Datagrams"]

_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP, _STATISTICS = 1, 6
_PROMISCUOUS: Final = 1
_SO_ATTACH_FILTER: Final = 26
_LARGEST: Final = 65_536
_AT_ONCE: Final = 1000
_BUFFER: Final = 8 << 20


class Datagrams:
    """Those of one interface."""

    def __init__(self, name: str, ports: Sequence[int]) -> None:
        """Raises CaptureError, with what to do."""
        self.name = name
        self.link = link_of(name)
        self.dropped = 0
        """by the kernel, for want of room"""
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except OSError as error:
            raise CaptureError(name, None, why_not(error)) from None
        try:
            program = datagram_filter(ports, self.link)
            attach(self._socket, socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            index = socket.if_nametoindex(name)
            membership = struct.pack("=iHH8x", index, _PROMISCUOUS, 0)
            self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
            self._socket.bind((name, _ETH_P_ALL))
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            raise CaptureError(name, None, why_not(error)) from None

    def fileno(self) -> int:
        """For select and poll."""
        return self._socket.fileno()

    def read(self) -> Iterator[bytes]:
        """Frames that are there, so many at once. Raises OSError."""
        for _ in range(_AT_ONCE):
            try:
                yield self._socket.recv(_LARGEST)
            except BlockingIOError:
                break
        raw = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
        self.dropped += struct.unpack("=II", raw)[1]

    def close(self) -> None:
        """Read no more."""
        self._socket.close()
