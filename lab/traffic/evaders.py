"""Senders of spam that know this sensor. All of it assumed; each drops what would give it away."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from lab.traffic.families import FAMILIES, Sender, sending
from lab.traffic.legitimate import office
from lab.traffic.plan import HOUR, Plan, joined
from lab.traffic.scripts import Manners

__all__ = ["EVADERS", "HOPPERS"]

_CUTWAIL: Final = FAMILIES["Cutwail"]
_POLITE: Final = Manners(name="mail%SENDER%.example")
_TAKEN: Final = {"taken": 0.55, "unknown": 0.3, "greylisted": 0.1, "blacklisted": 0.05}

SLOW: Final = replace(_CUTWAIL, rate=0.1, big=0.0, steady=True, burst=1000 * HOUR)
SLOWER: Final = replace(SLOW, rate=1 / 60)


def _behind_one_address(rng: np.random.Generator, n: int, days: int) -> Plan:
    """Ten bots at two messages a minute and an office's server, all behind one address."""
    bots = sending(rng, n * 10, days, replace(_CUTWAIL, rate=2, burst=1000 * HOUR), most=60)
    return joined(bots._replace(sender=bots.sender // 10), office(rng, n, days))


EVADERS: Final[dict[str, Sender | Callable[[np.random.Generator, int, int], Plan]]] = {
    "slow: a new MX every 10 min": SLOW,
    "slower: a new MX every hour": SLOWER,
    "big providers only": replace(_CUTWAIL, rate=30, only=(0, 1, 2, 3), burst=1000 * HOUR),
    "ten bots and a server behind one address": _behind_one_address,
    "IPv6 hopper": replace(_CUTWAIL, rate=30, burst=1000 * HOUR),
    "perfect manners": Sender(30, {_POLITE: 1.0}, _TAKEN, dead=0.1, burst=1000 * HOUR),
    "perfect manners, all in TLS": Sender(
        30, {replace(_POLITE, tls=True): 1.0}, _TAKEN, dead=0.1, burst=1000 * HOUR
    ),
    "perfect manners, clean list": Sender(
        30, {_POLITE: 1.0}, {"taken": 0.95, "unknown": 0.05}, dead=0.02, burst=1000 * HOUR
    ),
}
"""The last is a sender that nothing tells from a mailing list but that nobody knows it."""

HOPPERS: Final = ("IPv6 hopper",)
"""Those that take a new address of their /64 for each connection."""
