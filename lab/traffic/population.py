"""Who is there: subscribers by class, their addresses, and all their connections in time order."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.traffic.evaders import EVADERS, HOPPERS
from lab.traffic.families import FAMILIES, Sender, sending
from lab.traffic.legitimate import CLASSES, SCANNERS
from lab.traffic.packets import CONNECTION
from lab.traffic.plan import DAY, Plan
from lab.traffic.scripts import Scripts, compiled, facts
from sensor.settings import Settings

__all__ = ["SETTINGS", "Group", "Traffic", "traffic"]

START: Final = 1_750_032_000
"""Midnight, UTC, of the first day."""
_SECOND: Final = 1_000_000_000
_MAPPED: Final = np.uint64(0xFFFF << 32)
_SUBSCRIBERS: Final = 0x0A000000
_SERVERS: Final = 0x40000000
_SIX: Final = np.uint64(0x20010DB8 << 32)

SETTINGS: Final = Settings(subscriber_prefixes=("10.0.0.0/8", "2001:db8::/32"))


class Group(NamedTuple):
    """Senders of one class, numbered ``first`` to ``first + senders - 1``."""

    name: str
    kind: str
    """``legitimate``, ``family``, ``evader`` or ``scanner``"""
    first: int
    senders: int
    """those with connections, and those without"""


class Traffic(NamedTuple):
    """A population's traffic, and the truth."""

    connections: NDArray[np.void]
    """dtype CONNECTION, by start"""
    scripts: Scripts
    facts: NDArray[np.void]
    """of each script (``scripts.facts``)"""
    groups: list[Group]
    hosts: dict[str, int]
    """subscriber, as alerts name it: number of the sender"""
    days: int
    silent: int
    """subscribers without a connection to port 25, 465 or 587, who have no number"""

    def mail_by_sender(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Of each sender its connections to port 25, as rows of ``connections`` in time order."""
        mail = np.flatnonzero(self.facts["mail"][self.connections["script"]])
        rows = mail[np.argsort(self.connections["sender"][mail], kind="stable")]
        senders = self.connections["sender"][rows]
        for a, b in pairwise(np.flatnonzero(np.diff(senders, prepend=-1, append=-1))):
            yield int(senders[a]), rows[a:b]


def traffic(
    seed: int,
    subscribers: int,
    days: int = 1,
    bots: int = 0,
    scanners: int = 0,
    each: int | None = None,
) -> Traffic:
    """Traffic of ``subscribers`` legitimate ones in the mix of ``CLASSES``, and senders of spam.

    ``bots`` of each family and each kind of evader. With ``each``, as many of every legitimate
    class instead of the mix.
    """
    groups: list[Group] = []
    parts: list[NDArray[np.void]] = []
    hosts: dict[str, int] = {}
    silent = 0

    def add(name: str, kind: str, plan: Plan, senders: int) -> None:
        first = groups[-1].first + groups[-1].senders if groups else 0
        groups.append(Group(name, kind, first, senders))
        parts.append(_connections(seed, plan, first, name in HOPPERS))
        hosts.update(_hosts(first, senders, name in HOPPERS))

    for number, (name, (model, share)) in enumerate(CLASSES.items()):
        rng = np.random.default_rng([seed, 1, number])
        n = each if each is not None else _rounded(rng, subscribers * share / 1_000_000)
        if model is None:
            silent += n
        elif n:
            add(name, "legitimate", model(rng, n, days), n)
    for number, (name, how) in enumerate(FAMILIES.items()):
        rng = np.random.default_rng([seed, 2, number])
        if bots:
            add(name, "family", sending(rng, bots, days, how), bots)
    for number, (name, evader) in enumerate(EVADERS.items()):
        rng = np.random.default_rng([seed, 3, number])
        if bots:
            slow = isinstance(evader, Sender)
            plan = sending(rng, bots, days, evader) if slow else evader(rng, bots, days)
            add(name, "evader", plan, bots)
    for number, (name, scan) in enumerate(SCANNERS.items()):
        rng = np.random.default_rng([seed, 4, number])
        if scanners:
            add(name, "scanner", scan(rng, scanners, days), scanners)
    connections = np.concatenate(parts)
    kept = (connections["start"] >= START * _SECOND) & (
        connections["start"] < (START + days * DAY) * _SECOND
    )
    connections = connections[kept]
    connections = connections[np.argsort(connections["start"], kind="stable")]
    return Traffic(connections, compiled(), facts(), groups, hosts, days, silent)


def _rounded(rng: np.random.Generator, expected: float) -> int:
    """A whole number whose mean is ``expected``."""
    return int(expected + rng.random())


def _connections(seed: int, plan: Plan, first: int, hops: bool) -> NDArray[np.void]:
    n = len(plan.start)
    rng = np.random.default_rng([seed, 5, first])
    out = np.zeros(n, CONNECTION)
    out["start"] = START * _SECOND + (plan.start * 1e9).astype(np.int64)
    out["sender"] = first + plan.sender
    out["script"] = plan.script
    out["number"] = plan.domain
    out["rtt"] = (1e3 * rng.lognormal(np.log(40), 0.6, n)).clip(2e3, 4e5)
    out["sport"] = rng.integers(1024, 65536, n)
    sender = (first + plan.sender).astype(np.uint64)
    network = (plan.server >> 8).astype(np.uint64)
    number = (plan.server & 255).astype(np.uint64)
    if hops:
        out["client_hi"] = _SIX + sender
        out["client_lo"] = rng.integers(1, 1 << 63, n).astype(np.uint64)
        out["server_hi"] = np.uint64(0x2400 << 48) + (network << np.uint64(16))
        out["server_lo"] = number
    else:
        out["client_lo"] = _MAPPED + np.uint64(_SUBSCRIBERS) + sender
        out["server_lo"] = _MAPPED + np.uint64(_SERVERS) + (network << np.uint64(8)) + number
    return out


def _hosts(first: int, senders: int, hops: bool) -> dict[str, int]:
    if hops:
        return {
            f"2001:db8:{n >> 16:x}:{n & 65535:x}::/64": n for n in range(first, first + senders)
        }
    return {
        f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}": n for n in range(first, first + senders)
    }
