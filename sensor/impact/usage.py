"""What each subscriber did on foreign port 25, counted from session records.

Only what a subscriber said itself counts towards a use: connections without a completed handshake
may be somebody else's, under a forged address. They are counted, and that is all.
"""

import dataclasses
import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from sensor.base.addresses import as_int, network_of
from sensor.dns.exchangers import provider
from sensor.hosts.subscribers import (
    Subscribers,
    classify,
    host_text,
    parse_host,
    subscriber_key,
)
from sensor.smtp.record import Session

__all__ = ["COUNTED", "NAMED", "Usage", "Usages"]

COUNTED: Final = (
    "connections", "completed", "spoken", "authenticated", "encrypted", "ended_politely",
    "messages", "recipients", "recipients_refused",
)  # fmt: skip
"""Fields of a usage that are numbers of something."""
NAMED: Final = ("networks", "providers", "names")
"""Fields that count by name."""

_MOST_SERVERS: Final = 512
"""Different servers, networks or names that are counted for one subscriber."""
_HALF: Final = (1 << 64) - 1
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(slots=True)
class Usage:
    """One subscriber. Names are Counters with at most ``_MOST_SERVERS`` keys."""

    host: str
    """the subscriber as alerts name it; of a known customer his pseudonym"""
    shared: bool
    exempt: bool
    first: int
    last: int
    """packet time, ns since 1970"""
    connections: int = 0
    completed: int = 0
    """with a handshake: the subscriber itself"""
    spoken: int = 0
    """in which it said something"""
    authenticated: int = 0
    encrypted: int = 0
    ended_politely: int = 0
    messages: int = 0
    recipients: int = 0
    recipients_refused: int = 0
    networks: Counter[str] = field(default_factory=Counter)
    """/24 or /48 of the servers it spoke to"""
    providers: Counter[str] = field(default_factory=Counter)
    """domains of the servers it spoke to, by MX name or TLS server name; else their network"""
    names: Counter[str] = field(default_factory=Counter)
    """HELO names it used, escaped"""
    address: str = ""
    """of a known customer where he was at ``last``: ``ADDRESS port N``, as it may be shared"""

    def add(self, one: Session) -> None:
        """Count one connection."""
        self.connections += 1
        if one.customer and (one.end >= self.last or not self.address):
            self.address = f"{one.src} port {one.sport}"
        self.first = min(self.first, one.ts)
        self.last = max(self.last, one.end)
        if one.handshake not in ("complete", "midstream"):
            return
        self.completed += 1
        if not one.commands and not one.tls:
            return
        self.spoken += 1
        self.authenticated += one.auth_ok is True
        self.encrypted += one.tls
        self.ended_politely += one.quit
        self.messages += one.messages_accepted
        self.recipients += one.rcpt_attempted
        self.recipients_refused += one.rcpt_rejected
        network = network_of(one.dst)
        name = one.dst_name or one.tls_sni
        _count(self.networks, network)
        _count(self.providers, (name and provider(name)) or name or network)
        if one.helo:
            _count(self.names, one.helo)

    def plus(self, later: "Usage") -> "Usage":
        """Both together, of one subscriber; the later one knows better who that is."""
        whole = dataclasses.replace(
            later, first=min(self.first, later.first), last=max(self.last, later.last),
            address=max(self, later, key=lambda one: one.last).address,
        )  # fmt: skip
        for name in COUNTED:
            setattr(whole, name, getattr(self, name) + getattr(later, name))
        for name in NAMED:
            most = (getattr(self, name) + getattr(later, name)).most_common(_MOST_SERVERS)
            setattr(whole, name, Counter(dict(most)))
        return whole


def _count(counter: Counter[str], key: str) -> None:
    if key in counter or len(counter) < _MOST_SERVERS:
        counter[key] += 1


@lru_cache(maxsize=65536)
def _ip(text: str) -> IPAddress:
    return ipaddress.ip_address(text)


class Usages:
    """All subscribers, at most ``most``; those beyond are counted in ``left_out``."""

    def __init__(self, subscribers: Subscribers, most: int) -> None:
        self._subscribers = subscribers
        self._most = most
        self._hosts: dict[str, Usage] = {}
        self.left_out = 0
        """connections of subscribers there was no room for"""
        self._class = lru_cache(maxsize=65536)(self._look_up)

    def __iter__(self) -> Iterator[Usage]:
        return iter(self._hosts.values())

    def reload(self, subscribers: Subscribers) -> None:
        """Other settings say who is who."""
        self._subscribers = subscribers
        self._class.cache_clear()

    def put(self, usage: Usage) -> None:
        """What was counted before, and kept."""
        if (before := self._hosts.get(usage.host)) is not None:
            self._hosts[usage.host] = before.plus(usage)
        elif len(self._hosts) < self._most:
            self._hosts[usage.host] = usage
        else:
            self.left_out += usage.connections

    def drain(self) -> list[Usage]:
        """All of it, and begin anew."""
        found = list(self._hosts.values())
        self._hosts.clear()
        return found

    def _look_up(self, address: str) -> np.void:
        """Its class, dtype CLASS."""
        number = as_int(_ip(address))
        row = classify(self._subscribers, np.uint64(number >> 64), np.uint64(number & _HALF))
        found: np.void = self._subscribers.classes[row]
        return found

    def _host(self, one: Session, c: np.void) -> str:
        if one.customer:
            return one.customer
        number = as_int(_ip(one.src))
        hi, lo = subscriber_key(c, np.uint64(number >> 64), np.uint64(number & _HALF), one.sport)
        return host_text(int(hi), int(lo), int(c["fold"]), int(c["ports"]))

    def _standing(self, one: Session, c: np.void) -> tuple[bool, bool]:
        """Whether many share what a connection came from, and whether whose it was is exempt."""
        exempt = c["exempt"] >= 0
        if not one.customer:
            return bool(c["shared"]), bool(exempt)
        hi, lo = parse_host(one.customer, self._subscribers)
        his = self._subscribers.classes[classify(self._subscribers, np.uint64(hi), np.uint64(lo))]
        return False, bool(exempt or his["exempt"] >= 0)

    def add(self, sessions: Iterable[Session]) -> None:
        """Count connections of subscribers to foreign servers."""
        for one in sessions:
            c = self._class(one.src)
            if not c["subscriber"] or c["own"] or self._class(one.dst)["own"]:
                continue
            host = self._host(one, c)
            usage = self._hosts.get(host)
            if usage is None:
                if len(self._hosts) >= self._most:
                    self.left_out += 1
                    continue
                shared, exempt = self._standing(one, c)
                usage = self._hosts[host] = Usage(host, shared, exempt, one.ts, one.end)
            usage.add(one)
