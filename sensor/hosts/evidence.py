"""What is known of one host at one moment: the only thing a detector reads.

Kernels see it as two arrays, ``counts`` (int64[len(Count), 5], a column a window) and ``facts``
(int64[len(Fact)]); Python sees the same as an :class:`Evidence`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

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
    REJECTED = 10  # those whose server refused what it was sent, for good (5yz)
    ACCEPTED = 11  # those whose server took it
    RUDE = 12  # those whose client spoke as no mail server does
    POLITE = 13  # those whose client spoke as one does
    SUBMITTED = 14  # sessions, of any contact, whose client authenticated itself
    MX_LOOKUPS = 15  # DNS queries for MX records
    MAILED = 16  # those whose replies are hidden (TLS, or a server not mirrored), with a message
    UNMAILED = 17  # those without


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
    # Servers of half a day to a day, since the host's third destination (``hosts/conduct.py``).
    LOGINS_REFUSED = 14  # that refused a log-in by 535
    LOGINS_TAKEN = 15  # that took one
    WORDLESS = 16  # that greeted the host, which then left without a word
    KNOWN = 17  # that were spoken to, and wordless sessions with one that had one before
    # Of half a day to a day, likewise (``hosts/identities.py``).
    HELO_NAMES = 18  # different names in HELO or EHLO
    FROM_DOMAINS = 19  # different domains of MAIL FROM
    TO_DOMAINS = 20  # different domains of RCPT TO
    SYN_SHAPES = 21  # different shapes of SYNs
    MAILS = 22  # MAIL commands
    RECIPIENTS = 23  # RCPT commands
    MEETINGS = 24  # unusual networks where it met others of its make (``hosts/meetings``)
    PEERS = 25  # whom it met
    VISITS = 26  # unusual networks it was at, under a name
    MAKE = 27  # of those it met last; 0: nobody


@dataclass(frozen=True)
class Evidence:
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
            window: {what.name.lower(): self.count(what, w) for what in Count}
            for w, window in enumerate(WINDOWS)
        }
