"""One subscriber at work: a queue of what it means to do, and the connections that come of it."""

import heapq
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from lab.senders.smtp import Client, Message, converse
from lab.senders.wire import Wire
from lab.senders.world import Domain, Server, World

__all__ = ["BACKOFF", "DAY", "HOUR", "MINUTE", "START", "Host"]

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
START: Final = 1_750_032_000.0
"""Midnight, UTC: moments are seconds after it."""
BACKOFF: Final = (300.0, 600.0, 1200.0, 2400.0, 4000.0, 4000.0, 4000.0, 8000.0, 16000.0)
"""Waits between tries (Postfix: minimal_backoff_time 300 s, doubled, maximal 4000 s)."""
_RESOLVER: Final = bytes([9, 9, 9, 9])


class Host:
    """``run`` does in order of time what ``at`` was told."""

    def __init__(
        self, wire: Wire, world: World, rng: np.random.Generator, address: bytes, client: Client
    ) -> None:
        self.wire, self.world, self.rng, self.address = wire, world, rng, address
        self.client = client
        self.asks = bool(rng.random() < 0.5)
        """whether its questions for MX records pass the mirror"""
        self.port = int(rng.integers(20_000, 60_000))
        self.hour: dict[tuple[int, int], int] = {}
        self.sent = 0
        self._queue: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0

    def at(self, when: float, what: Callable[[float], None]) -> None:
        """Do ``what(when)`` then."""
        self._number += 1
        heapq.heappush(self._queue, (when, self._number, what))

    def run(self, until: float = DAY, most: int = 4000) -> None:
        """All that is due, at most so many connections."""
        while self._queue and self._queue[0][0] < until and self.sent < most:
            when, _, what = heapq.heappop(self._queue)
            what(when)

    def text(self) -> str:
        """The address as servers write it."""
        return ".".join(str(b) for b in self.address[:4])

    def ask(self, when: float, name: str, kind: int = 15) -> None:
        """A question to a resolver on the other side of the mirror (RFC 1035, 4.1)."""
        labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
        number = int(self.rng.integers(1, 65536)).to_bytes(2)
        query = number + b"\x01\0\0\x01\0\0\0\0\0\0" + labels + b"\0" + kind.to_bytes(2) + b"\0\x01"
        way = self.address, _RESOLVER, int(self.rng.integers(1024, 65536)), 53
        if len(self.address) == 4:
            self.wire.datagram(START + when, way, query)

    def connect(
        self, when: float, server: Server, messages: list[Message], client: Client | None = None
    ) -> tuple[float, list[str] | None]:
        """One connection: when it is over, and each message's result, None if nobody answered."""
        client = client or self.client
        self.sent += 1
        self.port = 1024 + (self.port - 1023) % 64_000
        way = self.address, self._reach(server), self.port, client.port
        seq = int(self.rng.integers(1 << 32))
        if server.alive != "up":
            over = self.wire.unanswered(
                START + when, client.machine, way, seq, server.alive == "reset"
            )
            return over - START, None
        talk = converse(self.rng, client, server, messages, when, self.text(), self.hour)
        rtt = server.rtt * float(self.rng.uniform(0.95, 1.3))
        over = self.wire.connection(
            START + when, client.machine, way, rtt, (seq, int(self.rng.integers(1 << 32))),
            talk.turns, talk.ending,
        )  # fmt: skip
        return over - START, talk.results

    def _reach(self, server: Server) -> bytes:
        four = server.address.to_bytes(4)
        if len(self.address) == 4:
            return four
        return bytes.fromhex("24000000") + four[1:3] + bytes(9) + four[3:]

    def deliver(
        self, when: float, domain: Domain, message: Message, client: Client | None = None,
        tries: int = 0,
    ) -> None:  # fmt: skip
        """As a mail server does: the next exchanger if one is dead, again later if told so."""
        if self.asks and not tries:
            self.ask(when - 0.03, domain.name)
        results: list[str] | None = None
        for server in domain.servers[:3]:
            when, results = self.connect(when, server, [message], client)
            if results is not None:
                break
        if (results is None or results[0] == "later") and tries < len(BACKOFF):
            wait = BACKOFF[tries] * float(self.rng.uniform(0.9, 1.4))
            self.at(when + wait, lambda at: self.deliver(at, domain, message, client, tries + 1))

    def blast(
        self, when: float, domain: Domain, messages: list[Message], client: Client | None = None
    ) -> list[str] | None:
        """As a bot does: any exchanger, once."""
        server = domain.servers[int(self.rng.integers(len(domain.servers)))]
        return self.connect(when, server, messages, client)[1]

    def receive(self, when: float, message: Message, spam: bool = False) -> None:
        """Mail from abroad to this host's own server."""
        mine = Server(0, -1, "mail.customer.example", rtt=0.001, asks_spam=False, filters=0.5)
        domain = self.world.people(self.rng)
        sender = domain.servers[int(self.rng.integers(len(domain.servers)))]
        them = Client(helo=sender.name, spam=spam, tls=bool(self.rng.random() < 0.8))
        talk = converse(self.rng, them, mine, [message], when, "198.51.100.1", {})
        way = self._reach(replace(sender, address=sender.address ^ 0x40)), self.address
        self.wire.connection(
            START + when, them.machine, (*way, int(self.rng.integers(1024, 65536)), 25),
            float(self.rng.uniform(0.001, 0.004)),
            (int(self.rng.integers(1 << 32)), int(self.rng.integers(1 << 32))),
            talk.turns, talk.ending,
        )  # fmt: skip
