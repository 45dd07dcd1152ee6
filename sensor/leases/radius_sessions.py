"""What becomes of sessions that NASes tell of, and so of leases.

A customer at a NAS is who the lease is of; the NAS's session id only says which Stop belongs to
which Start. All that can happen to accounting on its way is met here, each with a counter:

    a Stop was lost          another session is told to have the prefix: the lease is that one's
    a Start was lost         an Interim-Update begins the session
    out of order, doubled    what is older than the session's end, or than its last word, is nothing
    the NAS began anew       Accounting-On and -Off end all its sessions; an id that comes with
                             another customer is a new session, and ends the old one
    an address changed       within a session: the new one begins, the old one ends

The table holds the sessions heard of last. One that is forgotten loses nothing but order: its lease
ends with its Stop all the same, by the prefixes in that, or with its ``customers.ttl``.
"""

from typing import Final, NamedTuple

from sensor.leases.radius_packet import INTERIM, OFF, ON, START, STOP, Said

__all__ = ["Lease", "Sessions"]

_COUNTERS: Final = (
    "radius_sessions_restarted", "radius_stops_lost", "radius_stops_unknown",
    "radius_out_of_order", "radius_sessions_reused", "radius_sessions_forgotten",
    "radius_without_customer", "radius_without_address", "radius_other_status",
)  # fmt: skip
_MOST: Final = 1_000_000


class Lease(NamedTuple):
    """What a packet says of one prefix."""

    since: int
    """ns"""
    until: int
    """0: it goes on"""
    prefix: str
    customer: str


class _Session:
    __slots__ = ("customer", "ended", "heard", "prefixes")

    def __init__(self, customer: str) -> None:
        self.customer = customer
        self.prefixes: dict[int, tuple[str, int]] = {}
        """by attribute: the prefix, and since when"""
        self.heard = 0
        self.ended = False


class Sessions:
    """The sessions of all NASes."""

    def __init__(self, most: int = _MOST) -> None:
        self.counters = dict.fromkeys(_COUNTERS, 0)
        self.most = most
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._owners: dict[str, tuple[str, str]] = {}
        """by prefix, the session it is in"""
        self._nas: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def owner(self, prefix: str) -> tuple[str, str, str] | None:
        """NAS, session id and customer of who has a prefix now."""
        key = self._owners.get(prefix)
        return None if key is None else (*key, self._sessions[key].customer)

    def hear(self, said: Said, at: int) -> list[Lease]:
        """What a packet of time ``at`` (ns) changes."""
        if said.status in (ON, OFF):
            return self._restart(said.nas, at)
        if said.status not in (START, INTERIM, STOP):
            return self._count("radius_other_status")
        if not said.customer:
            return self._count("radius_without_customer")
        key = said.nas, said.session
        session = self._sessions.pop(key, None)
        leases: list[Lease] = []
        if session is not None and session.customer != said.customer:
            self._count("radius_sessions_reused")
            leases = self._end(key, session, at)
            session = None
        known = session is not None
        session = session or _Session(said.customer)
        if known and self._is_old(session, said, at):
            self._keep(key, session)
            return leases + self._count("radius_out_of_order")
        at = max(at, session.heard)
        session.heard, session.ended = at, said.status == STOP
        self._keep(key, session)
        if said.status == STOP:
            return leases + self._stop(key, session, said, at, known)
        if not said.prefixes and not session.prefixes:
            self._count("radius_without_address")
        return leases + self._go_on(key, session, said, at)

    def _count(self, name: str) -> list[Lease]:
        self.counters[name] += 1
        return []

    @staticmethod
    def _is_old(session: _Session, said: Said, at: int) -> bool:
        """Whether that was told before. (A Stop ends what goes on, whatever its clock says.)"""
        if session.ended:
            return said.status == STOP or at <= session.heard
        return said.status != STOP and at < session.heard

    def _keep(self, key: tuple[str, str], session: _Session) -> None:
        """As the one that was heard of last."""
        self._sessions[key] = session
        self._nas.setdefault(key[0], set()).add(key[1])
        if len(self._sessions) > self.most:
            oldest = next(iter(self._sessions))
            self._forget(oldest, self._sessions.pop(oldest))
            self._count("radius_sessions_forgotten")

    def _forget(self, key: tuple[str, str], session: _Session) -> None:
        for prefix, _ in session.prefixes.values():
            if self._owners.get(prefix) == key:
                del self._owners[prefix]
        ids = self._nas[key[0]]
        ids.discard(key[1])
        if not ids:
            del self._nas[key[0]]

    def _go_on(self, key: tuple[str, str], session: _Session, said: Said, at: int) -> list[Lease]:
        leases = []
        for number, prefix in said.prefixes.items():
            before, since = session.prefixes.get(number, ("", at))
            if before and before != prefix:
                leases += self._release(key, session, number, at)
                since = at
            self._take_from_others(key, prefix)
            session.prefixes[number] = prefix, since
            self._owners[prefix] = key
            leases.append(Lease(since, 0, prefix, session.customer))
        return leases

    def _take_from_others(self, key: tuple[str, str], prefix: str) -> None:
        owner = self._owners.get(prefix)
        if owner is None or owner == key:
            return
        other = self._sessions[owner]
        self._count("radius_stops_lost")
        other.prefixes = {n: one for n, one in other.prefixes.items() if one[0] != prefix}

    def _stop(
        self, key: tuple[str, str], session: _Session, said: Said, at: int, known: bool
    ) -> list[Lease]:
        if known:
            return self._end(key, session, at)
        self._count("radius_stops_unknown")
        mine = [p for p in said.prefixes.values() if p not in self._owners]
        return [Lease(at - 1, at, prefix, session.customer) for prefix in mine]

    def _end(self, key: tuple[str, str], session: _Session, at: int) -> list[Lease]:
        leases = []
        for number in list(session.prefixes):
            leases += self._release(key, session, number, at)
        return leases

    def _release(
        self, key: tuple[str, str], session: _Session, number: int, at: int
    ) -> list[Lease]:
        prefix, since = session.prefixes.pop(number)
        if self._owners.get(prefix) != key:
            return []
        del self._owners[prefix]
        return [Lease(since, max(at, since + 1), prefix, session.customer)]

    def _restart(self, nas: str, at: int) -> list[Lease]:
        leases = []
        for id_ in sorted(self._nas.get(nas, ())):
            session = self._sessions[nas, id_]
            if session.ended or session.heard > at:
                continue
            session.heard, session.ended = at, True
            leases += self._end((nas, id_), session, at)
        self._count("radius_sessions_restarted")
        return leases
