"""What subscribers do, for the laboratory.

    python -m lab.subscribers KIND [COUNT] [PER_SECOND] [FROM]

``bot`` hands spam to ever new servers, ``syns`` opens connections and says nothing, ``mailer`` is a
mail server that delivers to ever new servers as it should, ``last`` is one connection.
"""

import contextlib
import random
import smtplib
import socket
import sys
import time

ALIVE, DEAD = "198.18", "198.19"
"""Networks of the laboratory's internet: all answer, none do."""


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


def alive(n: int) -> str:
    return f"{ALIVE}.{n % 250}.{n // 250 % 250 + 1}"


def main() -> None:
    kind = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rate = float(sys.argv[3]) if len(sys.argv) > 3 else 20
    source = sys.argv[4] if len(sys.argv) > 4 else "203.0.113.1"
    act = {"bot": bot, "syns": syns, "mailer": mailer, "last": mailer}[kind]
    began = time.monotonic()
    for n in range(count):
        act(n, source)
        time.sleep(max(0, began + (n + 1) / rate - time.monotonic()))


if __name__ == "__main__":
    main()
