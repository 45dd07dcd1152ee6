"""TCP conversations made packet by packet, and what the sensor makes of them."""

import socket
import struct
from collections.abc import Callable

import numpy as np

from lab.outputs import sessions_of
from sensor.base.kernel import table
from sensor.capture.block import FRAME, Block
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.smtp.record import Session

CLIENT, SERVER = "203.0.113.7", "198.51.100.25"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
START = 1_750_000_000 * 10**9
MS = 10**6


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    seq: int,
    ack: int,
    flags: int,
    payload: bytes = b"",
    bad_checksum: bool = False,
    ident: int = 1,
    ttl: int = 64,
    options: bytes = b"",
    urgent: int = 0,
) -> bytes:
    """One TCP segment in IP in Ethernet."""
    family = socket.AF_INET6 if ":" in src else socket.AF_INET
    ends = socket.inet_pton(family, src) + socket.inet_pton(family, dst)
    options += bytes(-len(options) % 4)
    words = 5 + len(options) // 4
    tcp = struct.pack(
        ">HHIIBBHHH", sport, dport, seq % 2**32, ack % 2**32, words << 4, flags, 65535, 0, urgent
    )
    tcp += options
    pseudo = ends + struct.pack(">BBH", 0, 6, len(tcp) + len(payload))
    total = checksum(pseudo + tcp + payload) ^ (0x5555 if bad_checksum else 0)
    tcp = tcp[:16] + struct.pack(">H", total) + tcp[18:]
    if family == socket.AF_INET6:
        ip = struct.pack(">IHBB", 6 << 28, len(tcp) + len(payload), 6, ttl) + ends
        return b"\x02" * 12 + b"\x86\xdd" + ip + tcp + payload
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp) + len(payload), ident, 0, ttl, 6, 0) + ends
    return b"\x02" * 12 + b"\x08\x00" + ip + tcp + payload


def stamp(value: int, echo: int) -> bytes:
    """The option of RFC 7323, as most systems send it."""
    return b"\1\1" + struct.pack(">BBII", 8, 10, value % 2**32, echo % 2**32)


class Conversation:
    """One connection; each call adds a packet a millisecond later."""

    def __init__(
        self,
        isn: tuple[int, int] = (1000, 5000),
        sport: int = 4000,
        dport: int = 25,
        ends: tuple[str, str] = (CLIENT, SERVER),
    ):
        self.ends = ends
        self.next = {"c": isn[0], "s": isn[1]}
        self.ports = sport, dport
        self.now = START
        self.frames: list[tuple[int, bytes]] = []

    def raw(self, side: str, flags: int, payload: bytes = b"", seq=None, ack=None, **more) -> None:
        """A packet with any numbers; by default those that come next. Advances nothing."""
        other = "s" if side == "c" else "c"
        ends = self.ends if side == "c" else self.ends[::-1]
        ports = self.ports if side == "c" else self.ports[::-1]
        seq = self.next[side] if seq is None else seq
        ack = (self.next[other] if flags & ACK else 0) if ack is None else ack
        self.now += MS
        more.setdefault("ident", len(self.frames) + 1)
        self.frames.append((self.now, frame(*ends, *ports, seq, ack, flags, payload, **more)))

    def send(self, side: str, payload: bytes = b"", flags: int = ACK | PSH, **more) -> None:
        """The next bytes of a side."""
        self.raw(side, flags, payload, **more)
        self.skip(side, len(payload) + (flags & SYN) // SYN + (flags & FIN))

    def skip(self, side: str, size: int) -> None:
        """Bytes that were sent and not seen."""
        self.next[side] = (self.next[side] + size) % 2**32

    def with_stamps(self, begin: int, step: Callable[[str], int]) -> "Conversation":
        """From now on both sides send timestamps, each ``step(side)`` after its last."""
        clocks = {"c": begin, "s": begin + 77}
        raw = self.raw

        def stamping(side: str, flags: int, payload: bytes = b"", **more) -> None:
            other = "s" if side == "c" else "c"
            clocks[side] += step(side)
            more.setdefault("options", stamp(clocks[side], clocks[other] if flags & ACK else 0))
            raw(side, flags, payload, **more)

        self.raw = stamping  # type: ignore[method-assign]
        return self

    def open(self) -> "Conversation":
        self.send("c", flags=SYN)
        self.send("s", flags=SYN | ACK)
        self.send("c", flags=ACK)
        return self

    def close(self) -> "Conversation":
        self.send("c", flags=FIN | ACK)
        self.send("s", flags=FIN | ACK)
        self.send("c", flags=ACK)
        return self

    def say(self, text: str) -> "Conversation":
        r"""``C: ...`` and ``S: ...``, each line (or part up to |) a packet; ``\r`` as written."""
        for line in text.replace("|", "\n").splitlines():
            if not line.strip():
                continue
            side, _, said = line.strip().partition(": ")
            self.send(side.lower(), said.encode().decode("unicode_escape").encode("latin-1"))
        return self

    def session(self, **settings) -> Session:
        """The one session there is."""
        (only,) = sessions(self.frames, **settings)
        return only


def block(frames: list[tuple[int, bytes]], cut: int = 0) -> Block:
    """Frames with times as one block; what is beyond ``cut`` bytes of each was not captured."""
    rows = table(len(frames), FRAME)
    at = 0
    for row, (ts, content) in zip(rows, frames, strict=True):
        row["ts"], row["offset"], row["wire"] = ts, at, len(content)
        row["captured"] = min(len(content), cut or len(content))
        row["link"], row["vlan"] = 1, -1
        at += len(content)
    data = np.frombuffer(bytearray(b"".join(content for _, content in frames)), np.uint8)
    return Block(data, rows, 1, "made")


def sessions(frames: list[tuple[int, bytes]], cut: int = 0, step: int = 0, **settings):
    """The sessions of these frames, fed ``step`` at a time (0: all at once)."""
    pipeline = Pipeline(Settings(**settings), sessions="all")
    step = step or max(1, len(frames))
    parts = (block(frames[at : at + step], cut) for at in range(0, len(frames), step))
    return sessions_of(pipeline.run(parts))


GOOD = r"""
S: 220 mx.example ESMTP\r\n
C: EHLO mail.sender.example\r\n
S: 250-mx.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250 8BITMIME\r\n
C: MAIL FROM:<annika@sender.example> SIZE=500 BODY=8BITMIME\r\n
S: 250 2.1.0 ok\r\n
C: RCPT TO:<bobbert@receiver.example>\r\n
S: 250 2.1.5 ok\r\n
C: DATA\r\n
S: 354 go on\r\n
C: Subject: secret matters\r\n\r\nDear bob\r\n.\r\n
S: 250 2.0.0 queued\r\n
C: QUIT\r\n
S: 221 2.0.0 bye\r\n
"""
