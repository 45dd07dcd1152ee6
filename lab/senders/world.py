"""The mail servers of the world, each with the temper of its kind.

Shares: of 50,000 much-linked domains 28.3 % have their mail at Google and 22.6 % at Microsoft
(deliverability.mailtester.ninja, July 2026). The others: assumed, as ranges that each world draws
from anew, so that nothing can be fitted to one of them.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

__all__ = ["Domain", "Server", "World"]

_GOOGLE: Final = 0.283
_MICROSOFT: Final = 0.226
_WEBMAILS: Final = 6
"""Big providers of mailboxes, by number: Google, Microsoft, and four more."""


@dataclass
class Server:
    """One address that takes mail, or does not."""

    address: int
    """IPv4"""
    provider: int
    """whose it is: what one of them thinks of a client, all of them do"""
    name: str
    alive: str = "up"
    """``up``, ``silent`` or ``reset``"""
    rtt: float = 0.04
    greets_after: float = 0.01
    """seconds; some let bots run into the greeting (postscreen, greet pause)"""
    tls: bool = True
    pipelining: bool = True
    greylists: bool = False
    asks_policy: bool = False
    """refuses addresses on lists of customers' ranges (Spamhaus PBL and the like)"""
    asks_spam: bool = True
    """refuses addresses on lists of senders of spam"""
    refuses_at: str = "rcpt"
    """``greeting``, ``mail`` or ``rcpt``"""
    names_list: bool = True
    """whether the refusal names the list and the client's address"""
    catches_all: bool = False
    """takes mail to mailboxes that never were"""
    filters: float = 0.3
    """probability that a message of spam is refused after DATA"""
    patience: int = 100
    """messages an hour from an address without a name for mail, until it says "later" (4yz)"""
    seen: dict[object, float] = field(default_factory=dict)
    """greylisting: when a client first came with a sender and a recipient"""


@dataclass
class Domain:
    """A domain that people have mailboxes in."""

    name: str
    servers: list[Server]
    """by preference"""


class World:
    """``domains`` of the tail, hosters and big providers, drawn from a seed."""

    def __init__(self, seed: int, domains: int = 6000) -> None:
        rng = self._rng = np.random.default_rng([seed, 77])
        self._greylisting = rng.uniform(0.03, 0.2)
        self._policy = rng.uniform(0.25, 0.6)
        self._dead = rng.uniform(0.0, 0.08)
        self._tls = rng.uniform(0.8, 0.95)
        self._networks = iter(rng.permutation(np.arange(1 << 16)))
        self._providers = 0
        self.webmail = [self._provider(f"webmail{k}.example", 5, 8) for k in range(_WEBMAILS)]
        hosters = [self._provider(f"hoster{k}.example", 2, 6) for k in range(25)]
        self.domains: list[Domain] = []
        for k in range(domains):
            u = rng.random()
            name = f"{_word(rng)}{k}.example"
            if u < _GOOGLE:
                at = self.webmail[0]
            elif u < _GOOGLE + _MICROSOFT:
                at = self.webmail[1]
            elif u < 0.7:
                at = hosters[int(rng.integers(len(hosters)))]
            else:
                self.domains.append(self._own(name))
                continue
            some = rng.permutation(len(at))[: int(rng.integers(2, 5))]
            self.domains.append(Domain(name, [at[i] for i in some]))
        weights = 1.0 / np.arange(1, domains + 1) ** 0.9
        self._popular = np.cumsum(weights / weights.sum())
        self.consumer = [
            Domain(f"webmail{k}.example", servers) for k, servers in enumerate(self.webmail)
        ]

    def _provider(self, name: str, networks: int, each: int) -> list[Server]:
        """The servers of one big provider: one temper, many addresses."""
        rng = self._rng
        self._providers += 1
        temper = {
            "tls": True,
            "asks_policy": bool(rng.random() < 0.7),
            "refuses_at": str(rng.choice(["mail", "rcpt", "greeting"], p=[0.2, 0.6, 0.2])),
            "filters": float(rng.uniform(0.3, 0.9)),
            "patience": int(rng.integers(20, 200)),
            "rtt": float(rng.uniform(0.01, 0.15)),
        }
        return [
            Server(
                self._address(network, k + 1),
                self._providers,
                f"mx{k}.{name}",
                **temper,  # type: ignore[arg-type]
            )
            for network in [int(next(self._networks)) for _ in range(networks)]
            for k in range(each)
        ]

    def _own(self, name: str) -> Domain:
        """A domain with one server, or two, of its own."""
        rng = self._rng
        self._providers += 1
        network = int(next(self._networks))
        dead = rng.random() < self._dead
        pause = float(rng.choice([0.01, 0.3, 2.0, 6.0], p=[0.7, 0.15, 0.1, 0.05]))
        servers = [
            Server(
                self._address(network, int(rng.integers(1, 255))),
                self._providers,
                f"mx{k}.{name}",
                alive=str(rng.choice(["silent", "reset"], p=[0.7, 0.3])) if dead else "up",
                rtt=float(np.clip(rng.lognormal(np.log(0.05), 0.8), 0.003, 0.4)),
                greets_after=pause,
                tls=bool(rng.random() < self._tls),
                pipelining=bool(rng.random() < 0.9),
                greylists=bool(rng.random() < self._greylisting),
                asks_policy=bool(rng.random() < self._policy),
                asks_spam=bool(rng.random() < 0.8),
                refuses_at=str(rng.choice(["greeting", "mail", "rcpt"], p=[0.15, 0.1, 0.75])),
                names_list=bool(rng.random() < 0.8),
                catches_all=bool(rng.random() < 0.2),
                filters=float(rng.uniform(0.0, 0.8)),
                patience=1_000_000,
            )
            for k in range(int(rng.choice([1, 2], p=[0.7, 0.3])))
        ]
        return Domain(name, servers)

    @staticmethod
    def _address(network: int, number: int) -> int:
        return (40 << 24) + (network << 8) + number

    def popular(self, rng: np.random.Generator) -> Domain:
        """A domain as popularity goes (Zipf, exponent 0.9)."""
        return self.domains[int(np.searchsorted(self._popular, rng.random()))]

    def any(self, rng: np.random.Generator) -> Domain:
        """Any domain, each as likely as the other."""
        return self.domains[int(rng.integers(len(self.domains)))]

    def people(self, rng: np.random.Generator, webmail: float = 0.5) -> Domain:
        """Where a private person has a mailbox: at a big provider, or a domain by popularity."""
        if rng.random() < webmail:
            return self.consumer[int(rng.choice(_WEBMAILS, p=[0.4, 0.25, 0.12, 0.1, 0.08, 0.05]))]
        return self.popular(rng)


_SYLLABLES: Final = ("ka", "to", "mi", "ra", "no", "ber", "lin", "so", "va", "shi", "den", "pol")


def _word(rng: np.random.Generator) -> str:
    return "".join(rng.choice(_SYLLABLES, 3))
