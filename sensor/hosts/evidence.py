"""What is known of one host at one moment: the only thing a detector reads.

Kernels see it as two arrays, ``counts`` (int64[len(Count), 5], a column a window) and ``facts``
(int64[len(Fact)]); Python sees the same as an :class:`Evidence`.
"""

from enum import IntEnum
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor.hosts.windows import WINDOWS

__all__ = ["Count", "Evidence", "Fact"]


class Count(IntEnum):
    """Rows of ``counts``; at most ``MOST``."""

    NETWORKS = 0  # distinct foreign destinations by network: /24, or /48 of IPv6
    ADDRESSES = 1  # distinct foreign destinations by address
    SYNS = 2  # retries included
    RETRIES = 3
    ANSWERED = 4
    REFUSED = 5
    UNANSWERED = 6
    FIRST_ANSWERED = 7  # first contacts to a destination, by what became of them
    FIRST_FAILED = 8
    FIRST_PROVEN = 9  # those whose handshake proves that the host itself spoke
    # Verdicts of servers, the first of each network: see ``sensor/smtp/transactions.py``.
    REJECTED = 10  # refused for good (5yz): there is no such mailbox
    ACCEPTED = 11  # the message was taken
    RUDE = 12  # those whose client spoke as no mail server does
    POLITE = 13  # those whose client spoke as one does
    SUBMITTED = 14  # sessions, of any contact, whose client authenticated itself
    MX_LOOKUPS = 15  # DNS queries for MX records
    MAILED = 16  # networks whose replies are hidden (TLS, a server not mirrored, or nothing is
    # read), and that were sent a message
    UNMAILED = 17  # those that were not, at the first contact
    POLICY = 18  # verdicts: refused for who the client is, or where it comes from
    CONTENT = 19  # refused for what stands in the message
    ASKED = 20  # nothing was to be sent: recipients were taken, and no DATA followed
    EMPTY = 21  # networks whose replies are hidden, and that were not even sent an envelope


MOST: Final = 32
"""Counts there can be: a host's log has five bits for which it is (``table.HOST``)."""
assert len(Count) <= MOST, f"{len(Count)} counts: at most {MOST} fit the log of a host"


class Fact(IntEnum):
    """Entries of ``facts``."""

    CONNECTIONS = 0  # opened since the host was first seen
    PROVEN = 1  # handshakes that prove that the host itself spoke
    DISOWNED = 2  # answers the host reset: it had sent no SYN
    REPLIES_VISIBLE = 3  # 1 where the mirror shows what became of connections
    CLASS = 4  # row of Subscribers.classes
    FIRST_SEEN = 5  # tick
    HOURS = 6  # whole hours in which first contacts were counted, of the last 23
    NEW = 7  # first contacts in them, answered or failed
    NEW_SQUARED = 8  # the sum over those hours of their number squared
    PROVEN_REFUSED = 9  # proven first contacts of half a day to a day by what became of them
    PROVEN_TAKEN = 10
    PROVEN_RUDE = 11
    PROVEN_POLITE = 12
    DENIED = 13  # those the holder of the address reset afterwards: it had sent no SYN
    INBOUND = 14  # messages it took itself, from outside on port 25, in half a day to a day
    # Servers of half a day to a day, since the host's third destination (``hosts/conduct.py``).
    LOGINS_REFUSED = 15  # that refused a log-in by 535
    LOGINS_TAKEN = 16  # that took one
    WORDLESS = 17  # that greeted the host, which then left without a word
    KNOWN = 18  # that were spoken to, and wordless sessions with one that had one before
    # Of half a day to a day, likewise (``hosts/identities.py``).
    HELO_NAMES = 19  # different names in HELO or EHLO
    FROM_DOMAINS = 20  # different domains of MAIL FROM
    TO_DOMAINS = 21  # different domains of RCPT TO
    SYN_SHAPES = 22  # different shapes of SYNs
    MAILS = 23  # MAIL commands
    RECIPIENTS = 24  # RCPT commands
    MEETINGS = 25  # unusual networks where it met others of its make (``hosts/meetings``)
    PEERS = 26  # whom it met
    VISITS = 27  # unusual networks it was at, under a name
    MAKE = 28  # of those it met last; 0: nobody
    UNREAD = 29  # 1 where nothing that is said is read
    # Networks of the half day by what they say under TLS (``hosts/answers.py``).
    SHUT = 30  # that answer alike whomever the host writes to, and were sent no message
    SHUT_TIMES = 31  # sessions with them
    OPEN = 32  # that were sent a message, or answer differently
    FILTERING = 33  # that answer some messages longer than others
    TAKING = 34  # that answer nearly all of them alike
    INFLOW = 35  # messages it took from outside in the last half hour to hour
    INSISTED = 36  # times this minute and the last that it was turned away where it had been before


_NAMES: Final = tuple(what.name.lower() for what in Count)


class Evidence(msgspec.Struct, frozen=True):
    """One host's evidence at a moment."""

    counts: NDArray[np.int64]
    facts: NDArray[np.int64]

    def count(self, what: Count, window: int) -> int:
        """``what`` in window number ``window``."""
        return int(self.counts[what, window])

    def fact(self, what: Fact) -> int:
        """One fact."""
        return int(self.facts[what])

    def windows(self) -> dict[str, dict[str, int]]:
        """All counts by window and name, as alerts carry them."""
        return {
            window: dict(zip(_NAMES, counts, strict=False))
            for window, counts in zip(WINDOWS, self.counts.T.tolist(), strict=True)
        }
