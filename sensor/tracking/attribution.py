"""Whose a connection is, and what its outcome counts for its host. Kernels only.

``owners`` is the view of what these kernels may touch (``state.Owners``). What is counted is
explained where it is read: in ``hosts.evidence`` and the detectors.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import inner, inner_routine, mix
from sensor.customers.layout import LEASE_COUNTERS
from sensor.customers.table import lease_of
from sensor.hosts import activity
from sensor.hosts.details import network, promote
from sensor.hosts.evidence import Count
from sensor.hosts.identities import note_shape
from sensor.hosts.in_use import back, wide_hash
from sensor.hosts.layout import NO_DETAIL
from sensor.hosts.proof import (
    DENIED,
    has_verdict,
    new_wide,
    note_inflow,
    note_insistence,
    refuses_anew,
    said_again,
    takes_again,
    weigh,
)
from sensor.hosts.proof import new_verdict as new_verdict_of
from sensor.hosts.settled import unsettle
from sensor.hosts.subscribers import classify, subscriber_key
from sensor.hosts.table import host_row, lookup
from sensor.tcp.connections import INBOUND, OF_PROVEN, PROOF_COUNTS
from sensor.tracking.state import COUNTERS, NOBODY

__all__ = [
    "attempted",
    "came_again",
    "came_back_though_turned_away",
    "count",
    "denied",
    "disowned",
    "follows",
    "held_nothing",
    "looked_up",
    "new_verdict",
    "owner",
    "proven",
    "took_mail",
    "weigh_proof",
]

_ATTEMPTS: Final = COUNTERS["attempts"]
_ATTEMPTS_OF_PROVEN: Final = COUNTERS["attempts_of_proven"]
_TO_OWN: Final = COUNTERS["attempts_to_own_servers"]
_BY_OWN: Final = COUNTERS["attempts_by_own_servers"]
_ELSEWHERE: Final = COUNTERS["attempts_from_elsewhere"]
_UNBACKED: Final = COUNTERS["unbacked"]
_INBOUND: Final = COUNTERS["inbound_messages"]
_FIRST_PROVEN: Final = int(Count.FIRST_PROVEN)
_LEASES: Final = LEASE_COUNTERS["leases_live"]
_MX_LOOKUPS: Final = int(Count.MX_LOOKUPS)
_VERDICTS = np.uint64(0x13198A2E03707344)
_NOTHING = np.uint64(0xA4093822299F31D0)
_TAKEN = np.uint64(0xBE5466CF34E90C6C)
_CAME_AGAIN = np.uint64(0x082EFA98EC4E6C89)
_TURNED_AWAY = np.uint64(0x452821E638D01377)


@inner
def owner(owners, connection):
    """The row of the host that a connection counts for, or NOBODY."""
    h = np.int64(connection.owner)
    return h if h >= 0 and owners.hosts.rows[h].serial == connection.serial else NOBODY


@inner
def count(owners, h, what, first, tick):
    """One more of ``what`` (a Count) for host ``h``; ``first``: of its first contact there."""
    activity.count(owners.hosts, h, what, first, tick)


@inner
def _subscriber(owners, c, hi, lo, port, tick):
    """The row of the host of class ``c`` that an address and port belong to; -1: no room.

    It is the customer's who has them now, where that is known.
    """
    leases = owners.leases
    if leases.meta[_LEASES]:
        r = lease_of(leases, hi, lo, np.int64(port))
        if r >= 0:
            customer = leases.customers[np.int64(leases.rows[r].customer)]
            customer.at = r
            h = host_row(owners.hosts, customer.hi, customer.lo, c, tick)
            if h >= 0:
                owners.hosts.rows[h].class_ = c
            return h
    key_hi, key_lo = subscriber_key(owners.subscribers.classes[c], hi, lo, port)
    return host_row(owners.hosts, key_hi, key_lo, c, tick)


@inner
def follows(owners, hi, lo):
    """The class of an address whose MX lookups count, or NOBODY."""
    c = classify(owners.subscribers, hi, lo)
    class_ = owners.subscribers.classes[c]
    return NOBODY if class_.own or not class_.subscriber else c


@inner
def looked_up(owners, c, hi, lo, port, queries, tick):
    """Somebody of class ``c`` asked for so many MX records; the host, or NOBODY."""
    h = _subscriber(owners, c, hi, lo, port, tick)
    if h >= 0:
        for _ in range(queries):
            count(owners, h, _MX_LOOKUPS, 0, tick)
    return h


@inner
def attempted(owners, connection, ttl, shape, tick):
    """A new connection: whose is it, and is it anything to us? The host, or NOBODY."""
    owners.counters[_ATTEMPTS] += 1
    hi = connection.client_hi
    lo = connection.client_lo
    c = classify(owners.subscribers, hi, lo)
    class_ = owners.subscribers.classes[c]
    if class_.own:
        owners.counters[_BY_OWN] += 1
        return NOBODY
    server = classify(owners.subscribers, connection.server_hi, connection.server_lo)
    if not class_.subscriber:
        owners.counters[_ELSEWHERE] += 1
        to = owners.subscribers.classes[server]
        if to.subscriber and not (to.own or to.shared or to.ports):
            connection.first = INBOUND
        return NOBODY
    if owners.subscribers.classes[server].own:
        owners.counters[_TO_OWN] += 1
        return NOBODY
    h = _subscriber(owners, c, hi, lo, connection.client_port, tick)
    if h >= 0:
        row = owners.hosts.rows[h]
        row.ttl = ttl
        row.syn_shape = (shape ^ shape >> 16) & 0xFFFF
        if row.proven:
            connection.marks |= OF_PROVEN
            owners.counters[_ATTEMPTS_OF_PROVEN] += 1
        connection.owner = h
        connection.serial = row.serial
        connection.first = activity.contact(
            owners.hosts, h, connection.server_hi, connection.server_lo, tick
        )
        if row.detail != NO_DETAIL:
            note_shape(owners.hosts.details[np.int64(row.detail)], shape, tick)
    return h


@inner
def proven(owners, connection, h, first, tick):
    """Host ``h`` completed a handshake; a ``first`` contact may count as proof."""
    owners.hosts.rows[h].proven += 1
    unsettle(owners.hosts, h)
    if first:
        _proven_contact(owners, connection, h, tick)


@inner
def _proven_contact(owners, connection, h, tick):
    """Host ``h`` proved a first contact: does it count (see ``hosts/in_use.py``)?"""
    hosts = owners.hosts
    row = hosts.rows[h]
    hi = connection.server_hi
    lo = connection.server_lo
    counts = True
    if row.detail != NO_DETAIL:
        counts = new_wide(hosts.details[np.int64(row.detail)], wide_hash(hi, lo), tick)
    backed, other_hi, other_lo = back(owners.in_use, row.hi, row.lo, hi, lo, counts, tick)
    if counts or backed:
        connection.proof = PROOF_COUNTS
        count(owners, h, _FIRST_PROVEN, 0, tick)
    else:
        owners.counters[_UNBACKED] += 1
    if other_lo or other_hi:
        other = lookup(hosts, other_hi, other_lo)
        if other >= 0:
            seen = hosts.rows[other].last_seen
            count(owners, other, _FIRST_PROVEN, 0, tick)
            hosts.rows[other].last_seen = seen  # it did nothing now


@inner
def new_verdict(owners, connection, h, taken, tick):
    """The network of a server gives host ``h`` a verdict: does it count?

    The first does, and the 4th, the 16th ...: what a network says again is less news each time. A
    host with a handful of connections has no list: each first contact is one. ``taken``: a message
    was, which counts twice a day.
    """
    d, key = _memory(owners, connection, h)
    if d == NO_DETAIL:
        return connection.first == 1
    detail = owners.hosts.details[d]
    again = said_again(detail, key, tick)
    if taken:
        return takes_again(detail, key, mix(key, _TAKEN), tick) or again
    return refuses_anew(detail, key, tick) or again


@inner
def _memory(owners, connection, h):
    """Which detail knows the verdicts that host ``h`` was given; the server's network, hashed."""
    hi, lo = network(connection.server_hi, connection.server_lo)
    return np.int64(owners.hosts.rows[h].detail), mix(mix(_VERDICTS, hi), lo)


@inner
def held_nothing(owners, connection, h, tick):
    """A session of host ``h`` held no message: does that count?

    As of a verdict; but before a message has gone to that network, it has given none: one that goes
    there later counts as well.
    """
    d, key = _memory(owners, connection, h)
    if d == NO_DETAIL:
        return connection.first == 1
    detail = owners.hosts.details[d]
    again = said_again(detail, key, tick)
    fresh = not has_verdict(detail, key) and new_verdict_of(detail, mix(key, _NOTHING), tick)
    return fresh or again


@inner
def came_again(owners, connection, h, tick):
    """A message of host ``h`` went to a network: whether that had put it off before, until now.

    Who is put off comes again to the same server; another server of that network is another mail's.
    """
    d, key = _memory(owners, connection, h)
    if d == NO_DETAIL or connection.first == 1:
        return False
    detail = owners.hosts.details[d]
    if not has_verdict(detail, mix(key, _NOTHING)):
        return False
    return new_verdict_of(detail, mix(key, _CAME_AGAIN), tick)


@inner
def came_back_though_turned_away(owners, connection, h, tick):
    """Host ``h`` was turned away by a greeting, and left without QUIT: not for the first time?

    Both times are proven, and the first counts as proof: nobody else's server can say this of it.
    """
    d, key = _memory(owners, connection, h)
    if d == NO_DETAIL or connection.proof == 0:
        return False
    detail = owners.hosts.details[d]
    if connection.proof == PROOF_COUNTS:
        new_verdict_of(detail, mix(key, _TURNED_AWAY), tick)
        return False
    if not has_verdict(detail, mix(key, _TURNED_AWAY)):
        return False
    note_insistence(detail, tick)
    return True


@inner_routine
def took_mail(owners, connection, tick):
    """A subscriber, the server of a connection from outside, took a message."""
    hi = connection.server_hi
    lo = connection.server_lo
    c = classify(owners.subscribers, hi, lo)
    h = _subscriber(owners, c, hi, lo, connection.server_port, tick)
    if h < 0:
        return
    hosts = owners.hosts
    if hosts.rows[h].detail == NO_DETAIL and not promote(hosts, h, tick):
        return
    hosts.rows[h].last_seen = tick
    note_inflow(hosts.details[np.int64(hosts.rows[h].detail)], tick)
    owners.counters[_INBOUND] += 1


@inner
def disowned(owners, h):
    """The holder of the address of host ``h`` reset an answer to a SYN it never sent."""
    owners.hosts.rows[h].disowned += 1


@inner
def denied(owners, connection, h, first, tick):
    """The holder of the address of host ``h`` reset a handshake that had seemed proven."""
    row = owners.hosts.rows[h]
    connection.proof = 0
    row.disowned += 1
    row.proven -= min(1, np.int64(row.proven))
    unsettle(owners.hosts, h)
    if first and row.detail != NO_DETAIL:
        weigh(owners.hosts.details[np.int64(row.detail)], DENIED, tick)


@inner
def weigh_proof(owners, connection, h, kind, tick):
    """Something that is no proof by itself was seen in a connection; is that proven?"""
    d = np.int64(owners.hosts.rows[h].detail)
    if connection.proof == PROOF_COUNTS and d != NO_DETAIL:
        weigh(owners.hosts.details[d], kind, tick)
