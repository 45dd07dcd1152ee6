"""What subscribers do, for the laboratory.

    python -m lab.subscribers KIND [COUNT] [PER_SECOND] [FROM]

``bot`` hands spam to ever new servers, ``syns`` opens connections and says nothing, ``mailer`` is a
mail server that delivers to ever new servers as it should, ``last`` is one connection. ``forged``
sends SYNs in the names of others, a couple of dozen each, to servers that do not answer.
"""

import contextlib
import random
import smtplib
import socket
import sys
import time

ALIVE, DEAD = "198.18", "198.19"
"""Networks of the laboratory's internet: all answer, none do."""
PER_SOURCE = 24
"""SYNs in the name of one host."""


def bot(n: int, source: str) -> None:
    kind = random.Random(n).random()
    if kind < 0.2:
        return syns(n, source)
    ends = (alive(n), 25), 3, (source, 0)
    with contextlib.suppress(OSError), socket.create_connection(*ends) as sock:
        for line in (b"HELO localhost\r\n", b"MAIL FROM:<x@sender.example>\r\n",
                     b"RCPT TO:<nobody@receiver.example>\r\n"):  # fmt: skip
            sock.recv(1000)
            sock.sendall(line)
        sock.recv(1000)


def syns(n: int, source: str) -> None:
    """Every other network is unreachable by what its router says; from the rest nothing comes."""
    network = n % 2 * 128 + n // 2 % 128
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.bind((source, 0))
        sock.connect_ex((f"{DEAD}.{network}.{n // 256 + 1}", 25))
        time.sleep(0.001)


def mailer(n: int, source: str) -> None:
    text = "Subject: hi\r\n\r\nhi"
    with (
        contextlib.suppress(OSError, smtplib.SMTPException),
        smtplib.SMTP(alive(n), 25, "mail.office.example", 5, (source, 0)) as smtp,
    ):
        smtp.sendmail("carol@office.example", ["alice@receiver.example"], text)


def forged(n: int, source: str) -> None:
    """``source`` is not asked: the name of the ``n``-th SYN is one of 10.0.0.0/8."""
    from lab.conversation import SYN, frame  # it takes a while, and the others need it not

    host, server = n // PER_SOURCE, n % PER_SOURCE
    ends = f"10.0.{host >> 8}.{host & 255}", f"{DEAD}.{128 + server}.{host % 250 + 1}"
    packet = frame(*ends, 1024 + n % 60_000, 25, n * 7919, 0, SYN)[14:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        sock.sendto(packet, (ends[1], 0))


def alive(n: int) -> str:
    return f"{ALIVE}.{n % 250}.{n // 250 % 250 + 1}"


def main() -> None:
    kind = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rate = float(sys.argv[3]) if len(sys.argv) > 3 else 20
    source = sys.argv[4] if len(sys.argv) > 4 else "203.0.113.1"
    act = {"bot": bot, "syns": syns, "mailer": mailer, "last": mailer, "forged": forged}[kind]
    began = time.monotonic()
    for n in range(count):
        act(n, source)
        time.sleep(max(0, began + (n + 1) / rate - time.monotonic()))


if __name__ == "__main__":
    main()
