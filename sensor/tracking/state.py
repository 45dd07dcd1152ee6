"""What the tracking keeps: its tables, its buffers, its counters, and who may touch which of them.

:class:`Tracking` is all there is. Only ``loop`` sees the whole; it gives each of its three
neighbours a view, which is a tuple of the same arrays:

``attribution``  :class:`Owners`: hosts, and whose a connection is
``sessions``     :class:`Followed`: connections, sessions and their records, and the owners
``evaluate``     :class:`Judged`: hosts, alerts and events

So what a line means can change no alert by itself, and no alert can change what is read.

Events and records go to Python through buffers of fixed size. Before each segment, and before each
moment that is due, there is room for all that it can give rise to; else the kernel returns and is
called again for the rest, so nothing depends on how a capture is cut into blocks.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.proof import ProofTables
from detectors.score import ModelTables
from sensor.alerts.flood import Flood
from sensor.alerts.lifecycle import AlertTable, Levels
from sensor.base.kernel import Intrinsic, table
from sensor.customers.layout import HELD, HELD_MOST, Changes, Leases
from sensor.dns.lookups import Lookups
from sensor.hosts.evidence import Count, Fact
from sensor.hosts.in_use import InUse
from sensor.hosts.layout import HostTable
from sensor.hosts.meetings import Meetings
from sensor.hosts.subscribers import Subscribers
from sensor.smtp.session import SESSION, Sessions
from sensor.tcp.connections import CONNECTION, Connections

__all__ = [
    "ALWAYS",
    "AUTO",
    "COUNTERS",
    "CURSOR",
    "DESTINATIONS",
    "DUE",
    "EVENT",
    "MOMENTS",
    "NEXT_SWEEP",
    "NOBODY",
    "NOTED",
    "NO_ROOM",
    "SWEEP_LEFT",
    "TICK",
    "WATCHED",
    "Events",
    "Followed",
    "Judged",
    "Owners",
    "Records",
    "Tracking",
    "followed_of",
    "judged_of",
    "new_events",
    "new_records",
    "owners_of",
]

COUNTERS: Final = {
    "attempts": 0,  # SYNs that open a connection
    "retries": 1,
    "answered": 2,
    "refused": 3,
    "unanswered": 4,
    "proven": 5,
    "disowned": 6,
    "unsolicited_answers": 7,
    "outside_connections": 8,  # segments of no connection whose SYN was seen
    "attempts_to_own_servers": 9,
    "attempts_by_own_servers": 10,
    "attempts_from_elsewhere": 11,  # by hosts outside the subscriber prefixes
    "suppressed_by_exemption": 12,
    "midstream": 13,  # connections picked up without their SYN
    "sessions": 14,  # connections in which something was said
    "sessions_evicted": 15,
    "transactions_accepted": 16,
    "transactions_rejected": 17,
    "bytes_read": 18,  # of streams
    "bytes_missed": 19,  # of streams, in gaps: what the mirror or this sensor lost
    "denied": 20,  # proven handshakes that the holder of the address reset as never begun
    "unbacked": 21,  # proven first contacts with servers nobody else uses, which do not count
    "segments_ignored": 22,  # resets and the like that their receivers drop
    "attempts_of_proven": 23,  # those of hosts that had completed a handshake before
    "replies_to_proven": 24,  # those of them that were answered or refused
    "inbound_messages": 25,  # that subscribers' own servers took from outside
    "transactions_asked": 26,  # recipients were taken, and no DATA followed
}

# Instead of the row of a host: nobody's evidence changed, or the segment is nobody's we follow.
NOBODY: Final = -1
# Instead of the row of a session: there is none left.
NO_ROOM: Final = -1

DESTINATIONS: Final = 64
"""Destinations in an event, the newest."""

WATCHED: Final = 4
"""State of an event that only shows the evidence of the watched host."""
NOTED: Final = 5
"""State of one that shows a candidate: no alert, but a score worth to be known."""

EVENT = np.dtype(
    [
        ("ts", np.int64),  # packet time, ns
        ("opened", np.int64),  # of the alert
        ("host_hi", np.uint64),
        ("host_lo", np.uint64),
        ("score", np.int32),  # centibans
        ("revision", np.int32),
        ("tick", np.uint32),
        ("state", np.uint8),  # alerts.lifecycle.STATES, WATCHED or NOTED
        ("destinations", np.uint8),
        ("abuse", np.uint8),  # number of its kind (``alerts.abuse.KINDS``)
        ("proven", np.uint8),  # 1: at some time in this alert the proof was enough for a block
        ("held", np.uint8),  # of a customer: leases in ``Events.held``
        ("at", np.uint8),  # and which of them stands for him
        ("standing", np.uint8),  # AWAY, LENT (``alerts.lifecycle``) or 0
    ],
    align=True,
)

# Slots of Tracking.moments.
TICK: Final = 0  # what the cutoffs are of
NEXT_SWEEP: Final = 1  # tick
CURSOR: Final = 2  # of a sweep that waits for room
DUE: Final = 3  # ns: nothing is due before
SWEEP_LEFT: Final = 4  # alerts the sweep that waits for room has still to look at
MOMENTS: Final = 5

# Values of ``visibility``: whether the mirror shows what becomes of connections.
AUTO: Final = 0  # found out from the traffic
ALWAYS: Final = 1


class Events(NamedTuple):
    """Events that Python has not taken yet; in the place behind them a host is weighed."""

    rows: NDArray[np.void]
    """dtype EVENT"""
    counts: NDArray[np.int64]
    """[events, Count, WINDOWS] of each the evidence"""
    facts: NDArray[np.int64]
    """[events, Fact]"""
    his: NDArray[np.uint64]
    """[events, DESTINATIONS], newest first"""
    los: NDArray[np.uint64]
    ticks: NDArray[np.uint32]
    held: NDArray[np.void]
    """[events, HELD_MOST] dtype HELD, of a customer the leases"""
    size: NDArray[np.int64]
    """[1]"""


def new_events(events: int) -> Events:
    """An empty buffer."""
    return Events(
        table(events, EVENT),
        np.zeros((events, len(Count), 5), np.int64),
        np.zeros((events, len(Fact)), np.int64),
        np.zeros((events, DESTINATIONS), np.uint64),
        np.zeros((events, DESTINATIONS), np.uint64),
        np.zeros((events, DESTINATIONS), np.uint32),
        table(events * HELD_MOST, HELD).reshape(events, HELD_MOST),
        np.zeros(1, np.int64),
    )


SUSPECT = np.dtype([("hi", np.uint64), ("lo", np.uint64), ("class_", np.int16), ("is_", np.uint8)])
"""Whose connection it was, and whether the host has an alert or was a candidate once."""


class Records(NamedTuple):
    """Connections that ended and that Python has not taken yet; one of no size keeps none."""

    connections: NDArray[np.void]
    """dtype CONNECTION"""
    sessions: NDArray[np.void]
    """dtype SESSION: of each, blank where nothing was said"""
    ends: NDArray[np.uint8]
    """numbers in ENDS"""
    suspects: NDArray[np.void]
    """dtype SUSPECT"""
    size: NDArray[np.int64]
    """[1]"""
    everyone: bool
    """whether all are kept, or only those of suspects"""


def new_records(connections: int, everyone: bool) -> Records:
    """An empty buffer; of no size where nobody asks for sessions."""
    return Records(
        table(connections, CONNECTION),
        table(connections, SESSION),
        np.zeros(connections, np.uint8),
        table(connections, SUSPECT),
        np.zeros(1, np.int64),
        everyone,
    )


class Tracking(NamedTuple):
    """All the state there is, and the settings the kernels need."""

    connections: Connections
    sessions: Sessions
    lookups: Lookups
    hosts: HostTable
    alerts: AlertTable
    subscribers: Subscribers
    model: ModelTables
    proof: ProofTables
    in_use: InUse
    meetings: Meetings
    flood: Flood
    levels: Levels
    leases: Leases
    changes: Changes
    events: Events
    records: Records
    watched: NDArray[np.uint8]
    """ports, as bits"""
    ahead: NDArray[np.int64]
    """[GROUP] for ``ahead`` to work in"""
    clock: NDArray[np.int64]
    counters: NDArray[np.int64]
    """by COUNTERS"""
    moments: NDArray[np.int64]
    peers: NDArray[np.int64]
    """[4] connections whose outcome the other workers saw, connections they saw opened; the same
    of hosts that had completed a handshake
    """
    watch: NDArray[np.uint64]
    """hi, lo, 1: emit every change of this host's evidence"""
    timeout: int
    """ns a SYN may wait for its answer"""
    visibility: int
    """AUTO, ALWAYS, or another: never"""
    reads: bool
    """whether what is said is read at all, or only headers"""
    checks: bool
    """whether wrong TCP checksums are heeded"""


class Owners(NamedTuple):
    """What ``attribution`` may touch."""

    hosts: HostTable
    subscribers: Subscribers
    in_use: InUse
    leases: Leases
    counters: NDArray[np.int64]


class Followed(NamedTuple):
    """What ``sessions`` may touch."""

    reads: bool

    connections: Connections
    sessions: Sessions
    records: Records
    meetings: Meetings
    counters: NDArray[np.int64]
    owners: Owners


class Judged(NamedTuple):
    """What ``evaluate`` may touch."""

    hosts: HostTable
    subscribers: Subscribers
    alerts: AlertTable
    model: ModelTables
    proof: ProofTables
    flood: Flood
    levels: Levels
    leases: Leases
    events: Events
    counters: NDArray[np.int64]
    moments: NDArray[np.int64]
    peers: NDArray[np.int64]
    watch: NDArray[np.uint64]
    visibility: int
    reads: bool


def _owners(t: Any) -> Owners:
    if isinstance(t, Followed):
        return t.owners
    return Owners(t.hosts, t.subscribers, t.in_use, t.leases, t.counters)


def _followed(t: Tracking) -> Followed:
    return Followed(
        t.reads, t.connections, t.sessions, t.records, t.meetings, t.counters, _owners(t)
    )


def _judged(t: Tracking) -> Judged:
    return Judged(
        t.hosts, t.subscribers, t.alerts, t.model, t.proof, t.flood, t.levels, t.leases, t.events,
        t.counters, t.moments, t.peers, t.watch, t.visibility, t.reads,
    )  # fmt: skip


def _compiled_view() -> Any:
    from sensor.base.intrinsics import part_or_whole

    return part_or_whole("owners")


owners_of = Intrinsic(_owners, _compiled_view)
"""The view of ``attribution``, of all or of what ``sessions`` sees.

Compiled, a view is all of the state: what it leaves out is refused where kernels run as Python, as
all do before they are compiled in advance.
"""


def _compiled_whole() -> Any:
    from sensor.base.intrinsics import part_or_whole

    return part_or_whole("")


followed_of = Intrinsic(_followed, _compiled_whole)
"""The view of ``sessions``."""

judged_of = Intrinsic(_judged, _compiled_whole)
"""The view of ``evaluate``."""
