"""Who meets whom at servers that hardly anybody uses, within minutes. Kernels only.

Bots of one campaign work through one list with one program: within minutes several subscribers go
to the same servers, call themselves by names of one pattern, and have one shape of SYN (Stringhini,
Holz, Stone-Gross, Kruegel, Vigna: "BotMagnifier: Locating Spambots on the Internet", USENIX
Security 2011; Zhao, Xie, Yu, Ke, Yu, Chen, Gillum: "BotGraph: Large Scale Spamming Botnet
Detection", NSDI 2009). It shows also where each by itself is slow, polite and listed nowhere.

A first contact whose client gave a name is a *visit* of a network of servers (/24, /48 of IPv6) by
a subscriber of a *make*: pattern of its HELO name, HELO or EHLO, shape of its last SYN. Two
subscribers of one make *meet* where one visits within ``WITHIN`` seconds of the other. Networks
that mail goes to anyhow are no place to meet: those visited in ``USUAL`` or more other hours of the
last day. Each of the two has from then on one more place where it met, and one more peer (``met``).

Two tables of fixed size, found by hash: who stands where another comes to gives way, and is counted
if he was there within ``WITHIN``. What is remembered follows from packets alone, so a replay says
the same. Subscribers are those of one worker: workers do not see each other's.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import inner_routine, kernel, mix, table
from sensor.hosts.details import network
from sensor.hosts.layout import NO_DETAIL
from sensor.hosts.met import note_meeting, note_visit

__all__ = ["MEETINGS", "USUAL", "WITHIN", "Meetings", "make_of", "new_meetings", "visit"]

WITHIN: Final = 900
"""Seconds between two visits that are a meeting: what a command server hands out is worked off."""
USUAL: Final = 3
"""Other hours of the last day in which anybody visited a network that mail goes to anyhow."""
_ROWS: Final = 1 << 16
_GUESTS: Final = 4
"""Visits of one make at one place that are remembered, the newest."""

MEETING = np.dtype(
    [
        ("key", np.uint64),  # of the place and the make
        ("host", np.int32, _GUESTS),
        ("serial", np.uint32, _GUESTS),
        ("tick", np.uint32, _GUESTS),
        ("met", np.uint8, _GUESTS),  # 1: somebody, in that visit
    ],
    align=True,
)
"""Visits of one make at one place (64 bytes)."""
PLACE = np.dtype([("key", np.uint64), ("hours", np.uint32), ("hour", np.uint32)], align=True)
"""In which of the last 24 hours a network was visited: bit 0 is hour ``hour`` (16 bytes)."""

MEETINGS: Final = {
    "visits": 0,  # first contacts under a name that were compared
    "meetings": 1,  # two subscribers of one make at an unusual network within minutes
    "meetings_displaced": 2,  # visits forgotten early: another's stand in their place
}
"""Slots of ``meta``."""
_VISITS, _MEETINGS, _DISPLACED = MEETINGS.values()

_HOUR: Final = 3600
_DAY: Final = 24
_SALT = np.uint64(0xD6E8FEB86659FD93)
_MASK = np.uint64(_ROWS - 1)
_ONE = np.uint64(1)
_HOURS = np.uint64((1 << _DAY) - 1)
_MAKE = np.uint64(0x7FFFFFFF)
_LETTER, _DIGIT, _MIXED = 1, 2, 3


class Meetings(NamedTuple):
    """The tables, as kernels take them; 5.2 MB when full."""

    rows: NDArray[np.void]
    """dtype MEETING"""
    places: NDArray[np.void]
    """dtype PLACE"""
    meta: NDArray[np.int64]
    """by MEETINGS"""


def new_meetings() -> Meetings:
    """Empty ones."""
    return Meetings(table(_ROWS, MEETING), table(_ROWS, PLACE), np.zeros(len(MEETINGS), np.int64))


@kernel
def _pattern(name, size):
    """The pattern of a name by its hash: words, numbers and mixtures, and what parts them."""
    hashed = _SALT
    run = 0
    for k in range(size + 1):
        byte = np.int64(name[k]) if k < size else 0
        letter = 0x41 <= (byte & 0xDF) <= 0x5A
        digit = 0x30 <= byte <= 0x39
        if letter or digit:
            run |= _LETTER if letter else _DIGIT
            continue
        if run:
            hashed = mix(hashed, np.uint64(run))
            run = 0
        hashed = mix(hashed, np.uint64(byte + 4))
    return hashed


@kernel
def make_of(name, size, extended, shape):
    """The make of a client as a positive int64; ``extended``: it said EHLO."""
    hashed = mix(mix(_pattern(name, size), np.uint64(extended)), np.uint64(shape))
    return np.int64((hashed ^ (hashed >> np.uint64(32))) & _MAKE) | 1


@kernel
def _others(hours):
    """How many hours there are beside the newest."""
    n = 0
    for k in range(1, _DAY):
        n += np.int64((hours >> np.uint64(k)) & _ONE)
    return n


@kernel
def _is_usual(meetings, place, tick):
    """Whether mail goes to a network anyhow; that it goes there now is noted."""
    hour = tick // _HOUR
    row = meetings.places[np.int64(place & _MASK)]
    if row.key != place:
        if _others(np.uint64(row.hours)) >= USUAL and hour <= np.int64(row.hour) + 1:
            return False  # a place that is in use stays known
        row.key = place
        row.hours = 1
        row.hour = hour
        return False
    past = hour - np.int64(row.hour)
    hours = (np.uint64(row.hours) << np.uint64(past)) & _HOURS if past < _DAY else np.uint64(0)
    row.hours = np.int64(hours | _ONE)
    row.hour = hour
    return _others(hours) >= USUAL


@kernel
def _peer(row):
    """A subscriber by its hash."""
    return mix(mix(_SALT, row.hi), row.lo)


@inner_routine
def visit(meetings, hosts, h, hi, lo, make, tick):
    """Host ``h``, which has a detail, is at ``hi:lo`` for the first time; whether it met any."""
    net_hi, net_lo = network(hi, lo)
    place = mix(mix(_SALT, net_hi), net_lo)
    host = hosts.rows[h]
    detail = hosts.details[np.int64(host.detail)]
    meetings.meta[_VISITS] += 1
    if _is_usual(meetings, place, tick):
        return False
    key = mix(place, np.uint64(make))
    row = meetings.rows[np.int64(key & _MASK)]
    if row.key != key:
        for k in range(_GUESTS):
            meetings.meta[_DISPLACED] += row.tick[k] > 0 and tick <= row.tick[k] + WITHIN
            row.tick[k] = 0
        row.key = key
    mine = 0
    for k in range(_GUESTS):
        if row.tick[k] and row.host[k] == h and row.serial[k] == host.serial:
            row.tick[k] = tick  # another server of the same network
            return False
        if row.tick[k] < row.tick[mine]:
            mine = k
    note_visit(detail, tick)
    met = 0
    for k in range(_GUESTS):
        if row.tick[k] == 0 or tick > np.int64(row.tick[k]) + WITHIN:
            continue
        other = hosts.rows[np.int64(row.host[k])]
        if other.serial != row.serial[k] or other.detail == NO_DETAIL:
            continue
        note_meeting(detail, _peer(other), make, met == 0, tick)
        theirs = hosts.details[np.int64(other.detail)]
        note_meeting(theirs, _peer(host), make, row.met[k] == 0, tick)
        row.met[k] = 1
        met = 1
        meetings.meta[_MEETINGS] += 1
    row.host[mine] = h
    row.serial[mine] = host.serial
    row.tick[mine] = tick
    row.met[mine] = met
    return met > 0
