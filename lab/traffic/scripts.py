"""What is said in a connection: scripts, each a list of packets with the waits between them.

A script is made of *manners* (how this client speaks) and an *outcome* (what the server does). In
its bytes ``%NUMBER%`` is eight hexadecimal digits of the connection, ``%SENDER%`` of the sender.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MX_LOOKUP", "OUTCOMES", "Manners", "Scripts", "compiled", "facts", "script"]

SYN, ACK, PSH, FIN, RST = 0x02, 0x10, 0x08, 0x01, 0x04
_MAIL: Final = 2500
"""Bytes of a short mail with the headers that servers put on (assumed)."""
_SEGMENT: Final = 1400
NUMBER: Final = b"%NUMBER%"
SENDER: Final = b"%SENDER%"

OUTCOMES: Final = (
    "silent",  # no answer: the client tries its SYN twice more
    "reset",  # RST to the SYN
    "turned_away",  # 554 instead of a greeting: the address is on a block list
    "blacklisted",  # 550 to MAIL, for the same reason
    "unknown",  # 550 to RCPT: no such mailbox
    "greylisted",  # 451 to RCPT
    "taken",  # 250 to the message
    "submitted",  # AUTH, then taken
    "probe",  # greeting, name, QUIT
)
_ALIVE: Final = 2
"""Outcomes from here on answer the SYN."""


@dataclass(frozen=True)
class Manners:
    """How a client speaks."""

    name: str = "mx%SENDER%.sender.example"
    """HELO name"""
    verb: str = "EHLO"
    quits: bool = True
    resets: bool = False
    """whether it ends with RST instead of FIN, where it does not quit"""
    early: bool = False
    """whether it talks before the greeting"""
    tls: bool = False
    port: int = 25


class Packet(NamedTuple):
    """One packet of a script."""

    from_server: bool
    flags: int
    data: bytes
    wait: int
    """microseconds after the packet before, beside ``trips`` round trips"""
    trips: float


class Script(NamedTuple):
    """One connection, or one question to a resolver."""

    packets: tuple[Packet, ...]
    port: int
    answered: bool
    """whether the SYN is"""
    refused: bool
    taken: int
    """messages"""
    secret: bool
    """whether what the server says of the mail is encrypted"""


def _client_hello() -> bytes:
    """A TLS 1.3 ClientHello with a server name (RFC 8446, 4.1.2; RFC 6066, 3)."""
    name = b"mx.d" + NUMBER + b".example"
    sni = len(name).to_bytes(2) + name
    sni = b"\0\0" + (len(sni) + 3).to_bytes(2) + (len(sni) + 1).to_bytes(2) + b"\0" + sni
    extensions = sni + bytes.fromhex("002b0003020304")
    body = b"\x03\x03" + bytes(range(32)) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    body += len(extensions).to_bytes(2) + extensions
    handshake = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(handshake).to_bytes(2) + handshake


def _encrypted(size: int) -> bytes:
    """A TLS record of application data."""
    return (
        b"\x17\x03\x03" + size.to_bytes(2) + bytes(range(256)) * (size // 256) + bytes(size % 256)
    )


def _lines(manners: Manners, outcome: str) -> list[tuple[bool, bytes]]:
    """The dialogue, from the greeting on: (from the server?, bytes)."""
    if outcome == "turned_away":
        return [(True, b"554 5.7.1 listed\r\n")]
    name = manners.name.encode()
    lines = [
        (True, b"220 mx.receiver.example ESMTP\r\n"),
        (False, manners.verb.encode() + b" " + name + b"\r\n"),
    ]
    if manners.early:
        lines.reverse()
    extensions = b"250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n" if manners.verb == "EHLO" else b""
    hello = [(True, b"250-mx.receiver.example\r\n" + extensions + b"250 SIZE 10485760\r\n")]
    if manners.verb == "HELO":
        hello = [(True, b"250 mx.receiver.example\r\n")]
    lines += hello
    mail: list[tuple[bool, bytes]] = []
    if outcome == "submitted":
        mail += [(False, b"AUTH PLAIN AG5vYm9keQBub3RoaW5n\r\n"), (True, b"235 2.7.0 ok\r\n")]
    if outcome != "probe":
        mail.append((False, b"MAIL FROM:<u%NUMBER%@sender.example>\r\n"))
        if outcome == "blacklisted":
            mail.append((True, b"550 5.7.1 listed\r\n"))
        else:
            mail.append((True, b"250 2.1.0 ok\r\n"))
            answer = {"unknown": b"550 5.1.1 unknown\r\n", "greylisted": b"451 4.7.1 later\r\n"}
            mail.append((False, b"RCPT TO:<r%NUMBER%@receiver.example>\r\n"))
            mail.append((True, answer.get(outcome, b"250 2.1.5 ok\r\n")))
            if outcome not in answer:
                # Under TLS the size is all that shows.
                size = _MAIL if manners.tls else 70
                body = b"Subject: laboratory\r\n\r\n" + b"x" * size + b"\r\n.\r\n"
                mail += [(False, b"DATA\r\n"), (True, b"354 go\r\n")]
                mail += [(False, body), (True, b"250 2.0.0 queued\r\n")]
    if manners.quits:
        mail += [(False, b"QUIT\r\n"), (True, b"221 2.0.0 bye\r\n")]
    if manners.tls and manners.verb == "EHLO":
        lines += [(False, b"STARTTLS\r\n"), (True, b"220 2.0.0 go\r\n")]
        lines += [(False, _client_hello()), (True, _encrypted(900))]
        for side, text in mail:
            record = _encrypted(len(text) + 17)
            lines += [(side, record[k : k + _SEGMENT]) for k in range(0, len(record), _SEGMENT)]
    else:
        lines += mail
    return lines


def _packets(manners: Manners, outcome: str) -> list[Packet]:
    opened = Packet(False, SYN, b"", 0, 0)
    if outcome == "silent":
        return [opened, opened._replace(wait=1_000_000), opened._replace(wait=2_000_000)]
    if outcome == "reset":
        return [opened, Packet(True, RST | ACK, b"", 0, 1)]
    packets = [
        opened,
        Packet(True, SYN | ACK, b"", 0, 1),
        Packet(False, ACK, b"", 100, 0),
    ]
    for from_server, data in _lines(manners, outcome):
        wait, trips = (6_000, 1.0) if from_server else (1_500, 0.0)
        packets.append(Packet(from_server, PSH | ACK, data, wait, trips))
    if outcome != "turned_away" and not manners.quits and manners.resets:
        packets.append(Packet(False, RST | ACK, b"", 3_000, 0))
    else:
        # Who was told goodbye, or turned somebody away, closes first.
        first = outcome == "turned_away" or manners.quits
        packets += [
            Packet(first, FIN | ACK, b"", 500, 0),
            Packet(not first, FIN | ACK, b"", 500, 1),
            Packet(first, ACK, b"", 200, 1),
        ]
    return packets


_known: list[Script] = []


@cache
def script(manners: Manners, outcome: str) -> int:
    """The number of the script for these."""
    hidden = manners.tls and manners.verb == "EHLO" and outcome not in ("turned_away",)
    _known.append(
        Script(
            tuple(_packets(manners, outcome)),
            manners.port,
            OUTCOMES.index(outcome) >= _ALIVE,
            outcome in ("turned_away", "blacklisted", "unknown"),
            int(outcome in ("taken", "submitted")),
            hidden,
        )
    )
    return len(_known) - 1


def _mx_lookup() -> int:
    """A question for MX records (RFC 1035, 4.1): UDP, no answer is made."""
    question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x09d" + NUMBER + b"\x07example\0\0\x0f\0\x01"
    _known.append(Script((Packet(False, 0, question, 0, 0),), 53, False, False, 0, False))
    return len(_known) - 1


MX_LOOKUP: Final = _mx_lookup()


class Scripts(NamedTuple):
    """All scripts known, as kernels take them. Packets of a script stand one after the other."""

    first: NDArray[np.int64]
    """[scripts + 1] its first packet"""
    port: NDArray[np.int64]
    from_server: NDArray[np.bool_]
    flags: NDArray[np.int64]
    wait: NDArray[np.float64]
    """ns since the script's beginning, beside the round trips"""
    trips: NDArray[np.float64]
    """round trips since the script's beginning"""
    seq: NDArray[np.int64]
    """bytes (and SYN, FIN) its side sent before"""
    ack: NDArray[np.int64]
    """those the other side sent before"""
    data: NDArray[np.uint8]
    at: NDArray[np.int64]
    size: NDArray[np.int64]
    number_at: NDArray[np.int64]
    """where in the payload the digits of the connection stand, or -1"""
    sender_at: NDArray[np.int64]


def compiled() -> Scripts:
    """The scripts known by now."""
    rows = []
    data = bytearray()
    first = [0]
    for one in _known:
        sent = [0, 0]
        clock = trips = 0.0
        for packet in one.packets:
            clock += packet.wait * 1e3
            trips += packet.trips
            side = packet.from_server
            again = packet.flags == SYN and sent[0]
            seq, ack = (0, 0) if again else (sent[side], sent[1 - side])
            rows.append(
                (side, packet.flags, clock, trips, seq, ack, len(data), len(packet.data),
                 packet.data.find(NUMBER), packet.data.find(SENDER))
            )  # fmt: skip
            data += packet.data
            if not again:
                sent[side] += len(packet.data) + bool(packet.flags & (SYN | FIN))
        first.append(len(rows))
    side, flags, clock, trips, seq, ack, at, size, number, sender = zip(*rows, strict=True)
    return Scripts(
        np.array(first), np.array([one.port for one in _known]), np.array(side, bool),
        np.array(flags), np.array(clock), np.array(trips), np.array(seq), np.array(ack),
        np.frombuffer(bytes(data), np.uint8), np.array(at), np.array(size), np.array(number),
        np.array(sender),
    )  # fmt: skip


def facts() -> NDArray[np.void]:
    """Of each script, what the truth must say of a connection that follows it."""
    return np.array(
        [(s.port == 25, s.answered, s.refused, s.taken, s.secret) for s in _known],
        [("mail", "?"), ("answered", "?"), ("refused", "?"), ("taken", "i4"), ("secret", "?")],
    )
