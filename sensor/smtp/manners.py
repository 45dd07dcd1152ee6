"""Did the client speak as a mail server does? Kernels only.

What spam engines get wrong is how they are told apart (Stringhini, Egele, Zarras, Holz, Kruegel,
Vigna: "B@bel: Leveraging Email Delivery for Spam Mitigation", USENIX Security 2012): they hurry, so
they talk before they are asked; they do not say goodbye; they name themselves with whatever is at
hand. RFC 5321 asks for the rest: a name that is a domain or an address literal (4.1.1.1), MAIL
after the greeting (4.1.4), QUIT at the end (4.1.1.10).

A session is *rude* when its client did any of ``RUDE_ANOMALIES``, gave a name that no mail server
has, or closed the connection itself without QUIT; *polite* when it did nothing of that and said
QUIT, or went on under TLS. Neither is said of one that the server turned away before anything was
said, or that has holes. Where packets were cut short (``snaplen``), a QUIT that was seen is one all
the same, and whatever was rude: else a capture of headers and a few bytes would know rude sessions
alone. Nor is either said of one that hung up on a server that had said that it closes (421: RFC
5321, 3.8), had spoken out of turn or in no SMTP, or had let it wait for longer than any client
must.

A client that knows from an earlier session that the server offers PIPECONNECT (Exim) need not wait
for the greeting, nor for the reply to EHLO. What it had heard before this sensor looked is not
known; so it is enough that the server has offered it by the end of the session.

Where the server's side is not seen, only the name and QUIT are judged: whether a client was hasty,
or who hung up first, cannot be known then.
"""

from typing import Final

from sensor.base.kernel import kernel, routine
from sensor.base.units import SECOND
from sensor.smtp.anomalies import ANOMALIES, MALFORMED_REPLY
from sensor.smtp.dialogue import conclude
from sensor.smtp.session import (
    CAPABILITIES,
    CLIENT_CLOSED,
    FOREIGN,
    GREETED,
    IN_TLS,
    NO_TLS,
)
from sensor.smtp.transactions import PATIENCE_SECONDS

__all__ = [
    "POLITE",
    "RUDE",
    "UNDECIDED",
    "judge",
    "left_wordless",
]

# What a session can be.
RUDE: Final = -1
UNDECIDED: Final = 0
POLITE: Final = 1

RUDE_ANOMALIES: Final = (
    "early_talker",
    "unadvertised_pipelining",
    "data_before_354",
    "bare_lf",
    "binary_command",
    "out_of_sequence",
    "commands_before_tls",
    "http",
    "socks",
    "binary_client",
)
"""Anomalies that are the client's, and that no mail server shows."""

_COUNTED: Final = sum(1 << ANOMALIES.index(name) for name in RUDE_ANOMALIES)
_HASTE: Final = sum(
    1 << ANOMALIES.index(name) for name in ("early_talker", "unadvertised_pipelining")
)
_PIPECONNECT: Final = 1 << CAPABILITIES.index("PIPECONNECT")
_ASTRAY: Final = 1 << MALFORMED_REPLY
_UNSURE: Final = sum(1 << ANOMALIES.index(name) for name in ("gap", "evicted"))
_CUT: Final = 1 << ANOMALIES.index("cut")


@kernel
def name_is_odd(name, size):
    """Whether a HELO name is neither a domain with a dot nor an address literal in brackets."""
    if size == 0:
        return True
    if name[0] == 0x5B:
        return name[size - 1] != 0x5D
    dots = 0
    letters = 0
    for k in range(size):
        byte = name[k]
        if byte == 0x2E:
            dots += 1
        elif byte < 0x30 or byte > 0x39:
            letters += 1
    return dots == 0 or letters == 0


@kernel
def _rude(s):
    """The anomalies that count against the client."""
    rude = s.anomalies & _COUNTED
    if s.ehlo_commands and (s.early_pipelining or s.capabilities & _PIPECONNECT):
        rude &= ~_HASTE
    return rude


@kernel
def _let_down(s):
    """Whether the server gave a reason to hang up without QUIT."""
    waited = s.closed_at - s.asked_at if s.waiting_size else 0
    return (
        s.closing == 1
        or s.mode[1] == FOREIGN
        or s.anomalies & _ASTRAY != 0
        or waited >= PATIENCE_SECONDS * SECOND
    )


@kernel
def left_wordless(s, both):
    """Whether the client heard a greeting and left without a word, for no fault of the server's."""
    return (
        both
        and s.greeted == GREETED
        and s.banner_code < 400
        and s.bytes[0] == 0
        and s.tls == NO_TLS
        and s.closer == CLIENT_CLOSED
        and s.anomalies & _UNSURE == 0
        and not _let_down(s)
    )


@routine
def judge(s, both):
    """Conclude session ``s``: RUDE, POLITE, or UNDECIDED where neither can be said."""
    conclude(s)
    if both and _rude(s):
        return RUDE
    cut = s.anomalies & _CUT != 0
    if s.anomalies & _UNSURE or s.commands == 0 or (cut and s.quit == 0):
        return UNDECIDED
    if both and (s.greeted != GREETED or s.banner_code >= 400):
        return UNDECIDED
    if s.helo_size and not cut and name_is_odd(s.helo, s.helo_size):
        return RUDE
    if s.quit or s.tls == IN_TLS:
        return POLITE
    return RUDE if both and s.closer == CLIENT_CLOSED and not _let_down(s) else UNDECIDED
