"""What became of a host's mail: verdicts of servers, and what sizes tell where those are hidden.

``followed`` is the view of what these kernels may touch (``state.Followed``). Those that say so
give the row of the host whose evidence changed, or NOBODY. Kernels only.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import inner, inner_routine, mix
from sensor.hosts.answers import UNKNOWN, note_envelope, note_letter
from sensor.hosts.details import network
from sensor.hosts.evidence import Count
from sensor.hosts.layout import NO_DETAIL
from sensor.hosts.proof import REFUSED, TAKEN
from sensor.hosts.settled import unsettle
from sensor.smtp.session import (
    AUTH_ACCEPTED,
    CLIENT_SPOKE,
    GREETED,
    IN_TLS,
    NO_AUTH,
    SERVER_SPOKE,
)
from sensor.tcp.connections import BOTH_SEEN, CLIENT, INBOUND
from sensor.tracking.attribution import (
    came_again,
    came_back_though_turned_away,
    count,
    held_nothing,
    new_verdict,
    owner,
    took_mail,
    weigh_proof,
)
from sensor.tracking.state import COUNTERS, NOBODY, owners_of

__all__ = [
    "count_flights",
    "decided",
    "hidden_outcome",
    "insisted",
    "note_visit",
    "weighed_unread",
]

_TAKEN: Final = COUNTERS["transactions_accepted"]
_TURNED_DOWN: Final = COUNTERS["transactions_rejected"]
_ASKED: Final = COUNTERS["transactions_asked"]

_C_REJECTED: Final = int(Count.REJECTED)
_C_ACCEPTED: Final = int(Count.ACCEPTED)
_C_SUBMITTED: Final = int(Count.SUBMITTED)
_C_MAILED: Final = int(Count.MAILED)
_C_UNMAILED: Final = int(Count.UNMAILED)
_C_ASKED: Final = int(Count.ASKED)
_C_EMPTY: Final = int(Count.EMPTY)
_C_REFUSED_AS = np.array(
    [int(Count.REJECTED), int(Count.REJECTED), int(Count.POLICY), int(Count.CONTENT)], np.int64
)
"""By the class of the refusal (``smtp/refusals``)."""

# Bytes of a client that hold a message: see ``detectors/deliveries.py``.
_SEALED: Final = 800  # under TLS, behind its hello
_UNREAD: Final = 2500  # where nothing is read, of a session in which the server sent a certificate
_PLAIN: Final = 600  # of one in which it did not
# Up to so many in which it did not begin one: EHLO and QUIT, and no envelope.
_SEALED_EMPTY: Final = 600
_UNREAD_EMPTY: Final = 620
_PLAIN_EMPTY: Final = 64
_TURNED_AWAY: Final = 500
"""The least code of a greeting that turns a client away for good (RFC 5321, 3.1)."""
_FLIGHTS: Final = 3
"""Times a client of TLS 1.3 speaks that sends its hello, EHLO and QUIT; before 1.3 once more."""
_TLS_1_3: Final = 0x0304
_SHORT: Final = 35
"""Bytes of a record that holds QUIT, RSET or DATA: with 24 of AES-GCM in TLS 1.2, 17 in 1.3."""
_CERTIFICATE: Final = 1800
"""Bytes of a server that hold one: a server that speaks in clear says less."""
_BODY: Final = 64
"""Bytes after DATA that hold one: a client whose DATA was refused sends RSET or QUIT."""
_GREETING: Final = 4
"""Bytes a server that spoke has sent."""
_MOD: Final = 0xFFFFFFFF
_ONE = np.uint64(1)


@inner
def count_flights(s, side, grown):
    """So many bytes under TLS: do they come after some of the other side, and answer what?"""
    if side == CLIENT:
        if s.spoke == SERVER_SPOKE:
            s.flights = min(s.flights + 1, 0xFFFF)
            s.flight = 0
        short = s.flight <= _SHORT
        s.flight += grown
        if short and s.flight > _SHORT:
            s.answer = 0
        s.spoke = CLIENT_SPOKE
    else:
        if s.flight > _SHORT:
            s.answer += grown
        s.spoke = SERVER_SPOKE


@inner
def note_visit(s, both):
    """A session is over: a client that said QUIT and named no sender had nothing to send."""
    if s.quit and s.mail_attempted == 0 and s.auth == NO_AUTH and s.tls != IN_TLS:
        s.asked = s.greeted == GREETED and s.banner_code < 400 and both


@inner_routine
def decided(followed, connection, s, tick):
    """What a session decided since it was last asked; gives the host whose evidence changed."""
    accepted = np.int64(s.accepted)
    rejected = np.int64(s.rejected)
    asked = np.int64(s.asked)
    submitted = s.auth == AUTH_ACCEPTED and not s.auth_counted
    if accepted + rejected + asked + submitted == 0:
        return NOBODY
    s.accepted = 0
    s.rejected = 0
    s.asked = 0
    followed.counters[_ASKED] += asked
    followed.counters[_TAKEN] += accepted
    followed.counters[_TURNED_DOWN] += rejected
    owners = owners_of(followed)
    h = owner(owners, connection)
    changed = NOBODY
    if submitted:
        s.auth_counted = 1
        if h >= 0:
            count(owners, h, _C_SUBMITTED, 0, tick)
            changed = h
    if connection.first == INBOUND and accepted and s.outcomes == 0:
        s.outcomes = 1
        took_mail(owners, connection, tick)
    # One verdict a network: a hundred recipients refused by one provider are one opinion. Who logs
    # in is served for that: it tells of no mail server, nor of a list.
    if h >= 0 and s.outcomes == 0 and accepted + rejected + asked and s.auth != AUTH_ACCEPTED:
        s.outcomes = 1
        what = _C_ACCEPTED if accepted else _C_ASKED
        if rejected > accepted:
            what = _C_REFUSED_AS[s.refused_as]
        if new_verdict(owners, connection, h, what == _C_ACCEPTED, tick):
            count(owners, h, what, 0, tick)
            changed = h
            if what != _C_ASKED:
                proof = TAKEN if what == _C_ACCEPTED else REFUSED
                weigh_proof(owners, connection, h, proof, tick)
    return changed


@inner
def insisted(followed, connection, s, tick):
    """A session is over: gives the host if it insists (``hosts/proof.py``), or NOBODY."""
    h = owner(owners_of(followed), connection)
    if h < 0 or s.banner_code < _TURNED_AWAY or s.quit:
        return NOBODY
    if came_back_though_turned_away(owners_of(followed), connection, h, tick):
        return h
    return NOBODY


@inner_routine
def _sized(followed, connection, size, least, empty, said, tick):
    """A session whose replies are hidden: did its client send a message, ``least`` bytes?

    Up to ``empty`` it did not even begin one. The server ``said`` so many bytes to what it sent
    last, or UNKNOWN; below zero: replies are hidden otherwise. Gives the host whose evidence
    changed.
    """
    owners = owners_of(followed)
    if connection.first == INBOUND and size >= least:
        took_mail(owners, connection, tick)
    h = owner(owners, connection)
    if h < 0:
        return NOBODY
    news = size > empty and _compared(owners, connection, h, said, size >= least, tick)
    if _counted(owners, connection, h, size, least, empty, tick) or news:
        return h
    return NOBODY


@inner
def _compared(owners, connection, h, said, letter, tick):
    """What was said to a message or an envelope, held against what was before: does it tell?"""
    d = np.int64(owners.hosts.rows[h].detail)
    if said < 0 or d == NO_DETAIL:
        return False
    hi, lo = network(connection.server_hi, connection.server_lo)
    hashed = mix(mix(_ONE, hi), lo)
    unsettle(owners.hosts, h)
    if letter:
        return note_letter(owners.hosts.details[d], hashed, said, tick)
    return note_envelope(owners.hosts.details[d], hashed, said, tick)


@inner
def _counted(owners, connection, h, size, least, empty, tick):
    """A session whose replies are hidden counts, or is no news; whether it does."""
    if size <= empty:
        if not new_verdict(owners, connection, h, False, tick):
            return False
        count(owners, h, _C_EMPTY, 0, tick)
    elif size < least:
        if not held_nothing(owners, connection, h, tick):
            return False
        count(owners, h, _C_UNMAILED, 0, tick)
    else:
        fresh = new_verdict(owners, connection, h, True, tick)
        again = came_again(owners, connection, h, tick)
        if not (fresh or again):
            return False
        if fresh:
            count(owners, h, _C_MAILED, 0, tick)
        if again:  # no bot comes again: that makes up for it
            count(owners, h, _C_MAILED, 0, tick)
    return True


@inner
def weighed_unread(followed, connection, tick):
    """A connection nobody read has closed: numbers of both sides tell how much each has sent.

    Gives the host whose evidence changed.
    """
    if connection.midstream or connection.seen != BOTH_SEEN or connection.syns == 0:
        return NOBODY
    sent = np.int64(connection.client_next) - np.int64(connection.client_isn) - 2 & _MOD
    heard = np.int64(connection.server_next) - np.int64(connection.server_isn) - 2 & _MOD
    if heard < _GREETING or heard >= 1 << 31 or sent >= 1 << 31:
        return NOBODY
    if heard >= _CERTIFICATE:
        return _sized(followed, connection, sent, _UNREAD, _UNREAD_EMPTY, -1, tick)
    return _sized(followed, connection, sent, _PLAIN, _PLAIN_EMPTY, -1, tick)


@inner
def hidden_outcome(followed, connection, s, tick):
    """Session ``s``, whose replies are hidden, is over; gives the host whose evidence changed."""
    size = np.int64(s.body_bytes)
    least = _BODY
    empty = np.int64(-1)
    said = np.int64(-1)
    if s.tls == IN_TLS:
        size = np.int64(s.bytes[0]) - np.int64(s.hello_size)
        least = _SEALED
        if s.flights <= (_FLIGHTS if s.tls_version >= _TLS_1_3 else _FLIGHTS + 1):
            empty = _SEALED_EMPTY
        said = _said(s, connection.seen == BOTH_SEEN)
    return _sized(followed, connection, size, least, empty, said, tick)


@inner
def _said(s, both):
    """Bytes the server said to the client's last message or envelope; UNKNOWN: who knows.

    Before TLS 1.3 there are ciphers that make QUIT as long as an envelope.
    """
    sure = s.tls_version >= _TLS_1_3 or s.flight <= _SHORT
    whole = s.lost[0] == 0 and s.lost[1] == 0
    return np.int64(s.answer) if both and sure and whole else np.int64(UNKNOWN)
