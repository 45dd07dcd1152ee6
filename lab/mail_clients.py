"""Clients of other makers in conversation with a server: swaks, and Python's smtplib.

    python -m lab.mail_clients CONVERSATION ADDRESS PORT

Each conversation comes with what its session record must say (besides what Wireshark says).
``PORT`` is the client's.
"""

import contextlib
import smtplib
import ssl
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["CONVERSATIONS"]

ME = "mail.sender.example"
CAROL = "carol@sender.example"
ALICE, BOB, NOBODY = (f"{name}@receiver.example" for name in ("alice", "bob", "nobody"))
TEXT = "Subject: hello\r\n\r\nA line.\r\n.. and dots.\r\n"
MX = "mx.receiver.example"


def client(address: str, port: int) -> smtplib.SMTP:
    return smtplib.SMTP(address, 25, ME, source_address=("203.0.113.1", port), timeout=300)


def tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def two_messages(address: str, port: int) -> None:
    with client(address, port) as smtp:
        smtp.sendmail(CAROL, [ALICE], TEXT)
        smtp.rset()
        smtp.sendmail(CAROL, [ALICE, BOB], TEXT * 300)


def all_refused(address: str, port: int) -> None:
    smtp = client(address, port)
    with contextlib.suppress(smtplib.SMTPRecipientsRefused):
        smtp.sendmail(CAROL, [NOBODY], TEXT)
    smtp.close()  # without QUIT


def encrypted(address: str, port: int) -> None:
    smtp = client(address, port)
    smtp._host = MX  # what smtplib puts into the SNI
    with contextlib.suppress(OSError, smtplib.SMTPException):
        smtp.starttls(context=tls())
        smtp.sendmail(CAROL, [ALICE], TEXT)
        smtp.quit()


def authenticated(address: str, port: int) -> None:
    with client(address, port) as smtp:
        smtp.login("user", "not-a-secret")
        smtp.sendmail(CAROL, [ALICE], TEXT)


def denied(address: str, port: int) -> None:
    with client(address, port) as smtp, contextlib.suppress(smtplib.SMTPAuthenticationError):
        smtp.login("user", "a-wrong-secret")


def chunked(address: str, port: int) -> None:
    with client(address, port) as smtp:
        smtp.ehlo()
        smtp.mail(CAROL)
        smtp.rcpt(ALICE)
        part = TEXT.encode()
        for last in (b"", b" LAST"):
            smtp.send(b"BDAT %d%s\r\n%s" % (len(part), last, part))
            smtp.getreply()


def odd(address: str, port: int) -> None:
    with client(address, port) as smtp:
        smtp.helo("bareword")
        smtp.docmd("NOOP")
        smtp.docmd("XYZZY plugh")
        smtp.docmd("VRFY alice")
        smtp.docmd("HELP")


ONE = {"mail_attempted": 1, "mail_from_domain": "sender.example", "helo": ME, "ehlo": True}
SENT = ONE | {"rcpt_accepted": 1, "messages_accepted": 1, "quit": True}
HIDDEN = {"starttls": "accepted", "tls": True, "tls_sni": MX, "mail_attempted": 0, "quit": False}

CONVERSATIONS: dict[str, tuple[Callable[[str, int], None] | list[str], dict[str, Any]]] = {
    "swaks": (["--to", ALICE], SENT | {"rcpt_attempted": 1, "pipelined": False}),
    "swaks-pipelined": (
        ["--pipeline", "--to", f"{ALICE},{NOBODY},{BOB}"],
        ONE | {"rcpt_attempted": 3, "rcpt_accepted": 2, "rcpt_rejected": 1, "messages_accepted": 1},
    ),
    "swaks-tls": (["--tls", "--tls-sni", MX, "--to", ALICE], HIDDEN),
    "swaks-hello": (["--quit-after", "EHLO"], {"mail_attempted": 0, "helo": ME, "quit": True}),
    "two-messages": (
        two_messages,
        {"mail_attempted": 2, "rcpt_accepted": 3, "messages_accepted": 2, "quit": True},
    ),
    "all-refused": (
        all_refused,
        ONE | {"rcpt_rejected": 1, "rcpt_accepted": 0, "messages_accepted": 0, "quit": False},
    ),
    "tls": (encrypted, HIDDEN),
    "auth": (authenticated, SENT | {"auth_mechanism": "PLAIN", "auth_ok": True}),
    "auth-denied": (denied, {"auth_mechanism": "PLAIN", "auth_ok": False, "mail_attempted": 0}),
    "chunked": (chunked, SENT | {"message_bytes": 2 * len(TEXT)}),
    "odd": (odd, {"helo": "bareword", "unknown_commands": 1, "anomalies": ["unknown_command"]}),
}
"""By name: a function of (address, port) or swaks' arguments, and what the record must say."""

ONLY = {"auth": ("exim",), "auth-denied": ("exim",), "chunked": ("postfix", "exim")}
"""Servers that can hold a conversation, where not all can."""


def words(name: str, address: str, port: int) -> list[str]:
    """The program that holds a conversation."""
    how = CONVERSATIONS[name][0]
    if callable(how):
        return [sys.executable, "-m", "lab.mail_clients", name, address, str(port)]
    return [
        "swaks", "--server", address, "--local-interface", "203.0.113.1", "--local-port", str(port),
        "--helo", ME, "--from", CAROL, "--silent", *how,
    ]  # fmt: skip


if __name__ == "__main__":
    how = CONVERSATIONS[sys.argv[1]][0]
    assert callable(how)
    how(sys.argv[2], int(sys.argv[3]))
