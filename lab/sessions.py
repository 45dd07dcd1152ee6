"""A capture of whole SMTP sessions, seeded: real dialogues, each with its own names and sizes.

    python -m lab.sessions OUT.pcap --sessions 100000

Every session has a handshake, a greeting, EHLO with capabilities, MAIL, one to three RCPTs (some
of them pipelined), and then either delivers a message of one to four segments and says QUIT, or is
refused and, half the time, hangs up. Checksums are right. Sessions overlap in time as on a wire.
"""

import argparse
import random
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.generate import write

START = 1_700_000_000
FIN, SYN, PSH, ACK = 1, 2, 8, 16


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _turns(rng: random.Random, k: int) -> list[tuple[int, bytes]]:
    """Who says what: (1 client or 0 server, bytes)."""
    sender, recipient = f"sender{k % 977}.example", f"receiver{k % 1409}.example"
    greeting = f"220 mx{k % 89}.{recipient} ESMTP ready\r\n".encode()
    turns = [
        (0, greeting),
        (1, f"EHLO mail{k % 31}.{sender}\r\n".encode()),
        (0, f"250-mx.{recipient}\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-STARTTLS\r\n"
            "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 CHUNKING\r\n".encode()),
    ]  # fmt: skip
    mail = f"MAIL FROM:<user{rng.randrange(9999)}@{sender}> SIZE={rng.randrange(99999)}\r\n"
    recipients = [
        f"RCPT TO:<user{rng.randrange(9999)}@{recipient}>\r\n" for _ in range(rng.randrange(1, 4))
    ]
    refused = rng.random() < 0.2
    if rng.random() < 0.3:
        turns.append((1, (mail + "".join(recipients)).encode()))
        replies = "250 2.1.0 Sender ok\r\n"
        replies += ("550 5.1.1 No such user\r\n" if refused else "250 2.1.5 ok\r\n") * len(
            recipients
        )
        turns.append((0, replies.encode()))
    else:
        turns += [(1, mail.encode()), (0, b"250 2.1.0 Sender ok\r\n")]
        for line in recipients:
            turns.append((1, line.encode()))
            turns.append((0, b"550 5.1.1 No such user\r\n" if refused else b"250 2.1.5 ok\r\n"))
    if not refused:
        turns += [(1, b"DATA\r\n"), (0, b"354 End data with <CR><LF>.<CR><LF>\r\n")]
        lines = "".join(f"This is line {n} of a message, and nothing much.\r\n" for n in range(27))
        body = lines.encode() * rng.randrange(1, 5)
        turns += [(1, body[at : at + 1448]) for at in range(0, len(body), 1448)]
        turns += [(1, b".\r\n"), (0, b"250 2.0.0 Ok: queued\r\n")]
    if not refused or rng.random() < 0.5:
        turns += [(1, b"QUIT\r\n"), (0, b"221 2.0.0 Bye\r\n")]
    return turns


def _packets(rng: random.Random, k: int) -> list[bytes]:
    """The frames of one session."""
    ends = [0xC0000000 + rng.randrange(1 << 22), 0x0A000000 + k % 65536]  # server, client
    ports = [25, 1024 + k * 7 % 60000]
    seq = [rng.randrange(1 << 32), rng.randrange(1 << 32)]
    out = []

    def send(side: int, flags: int, payload: bytes = b"") -> None:
        other = 1 - side
        addresses = struct.pack(">II", ends[side], ends[other])
        head = struct.pack(
            ">HHIIBB",
            ports[side],
            ports[other],
            seq[side],
            seq[other] if flags & ACK else 0,
            80,
            flags,
        )
        tcp = head + b"\xfa\xf0\0\0\0\0"
        size = len(tcp) + len(payload)
        total = _checksum(
            addresses + struct.pack(">HH", 6, size) + tcp + payload + b"\0" * (size & 1)
        )
        tcp = head + struct.pack(">HHH", 0xFAF0, total, 0)
        ip = struct.pack(">BBHHHBBH", 69, 0, 20 + size, len(out) + 1, 0x4000, 64, 6, 0) + addresses
        out.append(b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + ip + tcp + payload)
        seq[side] = (seq[side] + len(payload) + bool(flags & (SYN | FIN))) % (1 << 32)

    send(1, SYN)
    send(0, SYN | ACK)
    send(1, ACK)
    for side, text in _turns(rng, k):
        send(side, ACK | PSH, text)
    send(1, FIN | ACK)
    send(0, FIN | ACK)
    send(1, ACK)
    return out


def generate(sessions: int, seed: int = 1, kinds: int = 2000) -> tuple[NDArray[np.uint8], int]:
    """The bytes of a pcap file's records, and how many packets.

    ``kinds`` different sessions are made with care and then repeated from other addresses.
    """
    rng = random.Random(seed)
    kinds = min(kinds, sessions)
    templates = [_packets(rng, k) for k in range(kinds)]
    timed = []
    for k in range(sessions):
        t = k * 400.0  # microseconds: 2,500 sessions a second
        for j in range(len(templates[k % kinds])):
            t += rng.uniform(500, 40_000)
            timed.append((t, k, j))
    timed.sort()
    parts = []
    for t, k, j in timed:
        frame = bytearray(templates[k % kinds][j])
        if k >= kinds:  # another client: its number goes into the address, and out of the checksum
            at = 26 if frame[34:36] != b"\0\x19" else 30
            shift = k // kinds
            word = int.from_bytes(frame[at : at + 2], "big") + shift
            frame[at : at + 2] = word.to_bytes(2, "big")
            total = (~int.from_bytes(frame[50:52], "big") & 0xFFFF) + shift
            total = (total & 0xFFFF) + (total >> 16)
            frame[50:52] = (~total & 0xFFFF).to_bytes(2, "big")
        seconds, micros = divmod(int(t), 1_000_000)
        parts.append(struct.pack("<IIII", START + seconds, micros, len(frame), len(frame)))
        parts.append(bytes(frame))
    return np.frombuffer(b"".join(parts), np.uint8), len(timed)


def main() -> None:
    """Write one capture, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    write(a.out, generate(a.sessions, a.seed)[0])


if __name__ == "__main__":
    main()
