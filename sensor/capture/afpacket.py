"""Live capture: the kernel's ring of packets, mapped into memory (AF_PACKET, TPACKET_V3).

The kernel fills ring blocks of many frames and hands each over when it is full or ``RETIRE`` ms old
(Documentation/networking/packet_mmap.rst). Up to ``AT_ONCE`` ring blocks are indexed in place as
one block and go to the same kernels as those of a file; nothing is copied. VLAN tags that the card
took off are put back from the ring's metadata; segments that the card or kernel glued together
(GRO, LRO) are larger than any wire carries and are taken as they are.

The filter runs in the kernel (``bpf``). What does not fit into a full ring the kernel drops and
counts; :attr:`Interface.statistics` adds those counts up, for reading them sets them to zero.

While an interface is down nothing comes; when it is up again, frames come again. One that was
deleted is an error.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import table
from sensor.base.sentences import Sentence, sentence
from sensor.capture.block import FRAME, FRAMES_PER_BLOCK, Block, CaptureError
from sensor.capture.bpf import ETHERNET, RAW_IP, Instruction, packed
from sensor.capture.ring import index_ring

__all__ = [
    "Fanout",
    "Interface",
    "Interfaces",
    "Statistics",
    "attach",
    "link_of",
    "probe",
    "trouble_of",
    "why_not",
]

BLOCK: Final = 1 << 17
"""Bytes of one ring block: more than the longest frame (64 kB from GRO and LRO; what is longer, as
with BIG TCP, is cut), and no more, for one frame takes a whole block when it comes alone. The
default ring of 512 therefore lasts ten seconds of the sensor's standing still at a low rate.
"""
AT_ONCE: Final = 8
"""Ring blocks that are read as one at most."""
RETIRE: Final = 20
"""Milliseconds after which a block with frames is handed over though it is not full."""

_MOST_FRAMES: Final = BLOCK // 96
"""Frames in a ring block at most: each takes its header and the alignment at least."""

# linux/if_packet.h, linux/if_ether.h, asm/socket.h
_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION = 1, 5, 6, 10
_FANOUT, _FANOUT_DATA, _IGNORE_OUTGOING = 18, 22, 23
_FANOUT_CBPF: Final = 6
_PROMISCUOUS: Final = 1
_V3: Final = 2
_ETH_P_ALL: Final = 3
_SO_ATTACH_FILTER: Final = 26
_SO_TIMESTAMPNS: Final = 35
_SIOCGIFHWADDR: Final = 0x8927
_SIOCGIFFLAGS: Final = 0x8913
_IS_UP, _IS_RUNNING = 0x1, 0x40
_IN_USE_BY_US: Final = 1  # TP_STATUS_USER
_STATUS: Final = 8  # offset of block_status in a block

_LINKS: Final = {1: ETHERNET, 772: ETHERNET, 65534: RAW_IP, 512: RAW_IP}
"""ARPHRD_ types of interfaces by how their frames begin: Ethernet, loopback, tun, PPP."""


class Statistics(NamedTuple):
    """Since the interface was opened."""

    received: int
    """frames that passed the filter, the dropped ones included"""
    dropped: int
    """of them, those for which the ring had no room"""
    freezes: int
    """times the ring was full"""


class Fanout(NamedTuple):
    """One of several workers that share an interface; each subscriber is always the same one's."""

    group: int
    program: Sequence[Instruction]
    """see ``bpf.steering``"""


def link_of(name: str) -> int:
    """The LINKTYPE_ number of an interface's frames. Raises CaptureError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            raw = fcntl.ioctl(asked, _SIOCGIFHWADDR, struct.pack("16s16x", name.encode()[:15]))
        except OSError as error:
            raise CaptureError(name, None, why_not(error) + _others(error)) from None
    hardware = struct.unpack_from("=H", raw, 16)[0]
    if hardware not in _LINKS:
        fault = f"its link type (ARPHRD {hardware}) cannot be read; Ethernet and raw IP can"
        raise CaptureError(name, None, fault)
    return _LINKS[hardware]


def _others(error: OSError) -> str:
    """The interfaces there are, for who named one that is not there."""
    names = ", ".join(name for _, name in socket.if_nameindex())
    return f"; there are: {names or 'none'}" if error.errno == errno.ENODEV else ""


def probe(name: str) -> int:
    """Make sure that an interface can be captured from; its LINKTYPE_. Raises CaptureError."""
    link = link_of(name)
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError as error:
        raise CaptureError(name, None, why_not(error)) from None
    return link


def trouble_of(name: str) -> Sentence | None:
    """Why nothing can come from an interface, if it is down or its cable leads nowhere."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            raw = fcntl.ioctl(asked, _SIOCGIFFLAGS, struct.pack("16s16x", name.encode()[:15]))
        except OSError as error:
            return sentence("interface.fault", interface=name, error=why_not(error))
    flags = struct.unpack_from("=H", raw, 16)[0]
    if not flags & _IS_UP:
        return sentence("interface.down", interface=name)
    if not flags & _IS_RUNNING:
        return sentence("interface.no_carrier", interface=name)
    return None


def why_not(error: OSError) -> str:
    """Why an interface cannot be captured from, and what to do."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return "capturing needs root, or the capability CAP_NET_RAW"
    if error.errno == errno.ENODEV:
        return "no such interface"
    return error.strerror or str(error)


class Interface:
    """The ring of one interface."""

    def __init__(
        self,
        name: str,
        program: Sequence[Instruction],
        megabytes: int = 64,
        promiscuous: bool = True,
        incoming_only: bool = False,
        fanout: Fanout | None = None,
    ) -> None:
        """Open the ring. Raises CaptureError, with what to do."""
        self.name = name
        self._link = link_of(name)
        self._received = self._dropped = self._freezes = 0
        self._number = 1
        self._next = 0
        self._held: list[int] = []
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except OSError as error:
            raise CaptureError(name, None, why_not(error)) from None
        try:
            self._set_up(program, (megabytes << 20) // BLOCK, promiscuous, incoming_only, fanout)
        except OSError as error:
            self._socket.close()
            raise CaptureError(name, None, why_not(error)) from None
        self._frames = table(FRAMES_PER_BLOCK, FRAME)

    def _set_up(
        self,
        program: Sequence[Instruction],
        blocks: int,
        promiscuous: bool,
        incoming_only: bool,
        fanout: Fanout | None,
    ) -> None:
        sock = self._socket
        attach(sock, socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        # One stamp a packet, whoever else captures it.
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(_SOL_PACKET, _VERSION, _V3)
        if incoming_only:
            sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        request = struct.pack("=7I", BLOCK, blocks, 2048, BLOCK * blocks // 2048, RETIRE, 0, 0)
        sock.setsockopt(_SOL_PACKET, _RX_RING, request)
        self._map = mmap.mmap(sock.fileno(), BLOCK * blocks)
        self.ring: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        self._status = np.frombuffer(self._map, np.uint32)[_STATUS // 4 :: BLOCK // 4]
        index = socket.if_nametoindex(self.name)
        if promiscuous:
            membership = struct.pack("=iHH8x", index, _PROMISCUOUS, 0)
            sock.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
        sock.bind((self.name, _ETH_P_ALL))
        if fanout is not None:
            sock.setsockopt(_SOL_PACKET, _FANOUT, fanout.group & 0xFFFF | _FANOUT_CBPF << 16)
            attach(sock, _SOL_PACKET, _FANOUT_DATA, fanout.program)

    def set_filter(self, program: Sequence[Instruction]) -> None:
        """Let other frames through from now on."""
        attach(self._socket, socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def fileno(self) -> int:
        """For select and poll."""
        return self._socket.fileno()

    @property
    def waiting(self) -> int:
        """Ring blocks that wait to be read."""
        return int(np.count_nonzero(self._status & _IN_USE_BY_US))

    def read(self) -> Block | None:
        """The next block, if there is one; the one before is given back to the kernel."""
        n = 0
        self._status[self._held] = 0
        self._held = []
        while (
            self._status[self._next] & _IN_USE_BY_US
            and len(self._held) < AT_ONCE
            and n + _MOST_FRAMES <= len(self._frames)
        ):
            n += index_ring(self.ring, self._next * BLOCK, self._frames[n:], self._link)
            self._held.append(self._next)
            self._next = (self._next + 1) % len(self._status)
        if n == 0:
            return None
        self._number += n
        return Block(self.ring, self._frames[:n], self._number - n, self.name)

    def check(self) -> None:
        """Raise CaptureError when the interface was deleted; one that is down may come up again."""
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error and error != errno.ENETDOWN:
            raise CaptureError(self.name, None, os.strerror(error))
        try:
            socket.if_nametoindex(self.name)
        except OSError:
            raise CaptureError(self.name, None, "the interface is gone") from None

    @property
    def statistics(self) -> Statistics:
        """The kernel's counts, added up over all the times they were read."""
        raw = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12)
        received, dropped, freezes = struct.unpack("=3I", raw)
        self._received += received
        self._dropped += dropped
        self._freezes += freezes
        return Statistics(self._received, self._dropped, self._freezes)

    def close(self) -> None:
        """Stop capturing; blocks read are no longer valid."""
        self._socket.close()


def attach(sock: socket.socket, level: int, option: int, program: Sequence[Instruction]) -> None:
    """Give the kernel a program (struct sock_fprog points to it)."""
    code = ctypes.create_string_buffer(packed(program))
    sock.setsockopt(level, option, struct.pack("HL", len(program), ctypes.addressof(code)))


class Interfaces:
    """Several interfaces as one stream of blocks in time order.

    With one, a block is passed on as it comes. With more (a tap has one for each direction), frames
    wait until every interface has come as far, or ``2 * RETIRE`` ms have passed without its having
    anything.
    """

    def __init__(self, interfaces: Sequence[Interface]) -> None:
        self._interfaces = list(interfaces)
        self._blocks: list[Block | None] = [None] * len(self._interfaces)

    def read(self, seconds: float) -> Iterator[Block]:
        """What there is within ``seconds``; each block is valid until the next is asked for.

        Raises CaptureError.
        """
        ready, _, _ = select.select(self._interfaces, [], [], seconds)
        found = False
        for block in self._merged() if len(self._interfaces) > 1 else self._single():
            found = True
            yield block
        if not found:  # nothing came, or an error is what select found
            for interface in ready or self._interfaces:
                interface.check()

    def _single(self) -> Iterator[Block]:
        while (block := self._interfaces[0].read()) is not None:
            yield block

    def _merged(self) -> Iterator[Block]:
        while True:
            for k, interface in enumerate(self._interfaces):
                if self._blocks[k] is None:
                    self._blocks[k] = interface.read()
            heads = [
                (int(block.frames["ts"][0]), k)
                for k, block in enumerate(self._blocks)
                if block is not None
            ]
            if not heads:
                return
            _, first = min(heads)
            block = self._blocks[first]
            assert block is not None
            times = block.frames["ts"]
            # Frames of an interface without any may still be on their way for so long.
            until = min(
                [ts for ts, k in heads if k != first]
                + [time.time_ns() - 2 * RETIRE * 1_000_000] * (len(heads) < len(self._blocks))
            )
            later = np.flatnonzero(times > until)
            n = int(later[0]) if len(later) else len(times)
            if n == 0:
                return
            rest = block.frames[n:]
            if len(rest):
                self._blocks[first] = block._replace(frames=rest, number=block.number + n)
                yield block._replace(frames=block.frames[:n])
            else:
                self._blocks[first] = None
                yield block
