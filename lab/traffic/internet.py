"""The mail servers of the world, as a sender meets them.

Half of all recipients are at four big providers, whose servers are hundreds of addresses in a few
networks. The others are in a long tail: domain number d is chosen with a weight of 1 / d (Zipf), as
popularity of domains goes. Two in five of those keep their mail with one of the big providers or
of twenty hosters; the others have a server in a network of their own.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BIG", "DOMAINS", "NETWORKS", "addresses_of", "draw", "named", "new_domains"]

BIG: Final = 4
"""Domains below this number are the big providers."""
DOMAINS: Final = 200_000
NETWORKS: Final = 1 << 18
_BIG_NETWORKS: Final = 5
"""of each big provider"""
_HOSTERS: Final = 20
_HOSTED: Final = 0.4
_BIG_SHARE: Final = 0.5
_TAIL: Final = np.cumsum(1.0 / np.arange(1, DOMAINS - BIG + 1))


def draw(
    rng: np.random.Generator, n: int, big: float = _BIG_SHARE, tail: int = DOMAINS
) -> NDArray[np.int64]:
    """int64[n]: domains of recipients, a share of ``big`` at the big providers."""
    size = min(tail, DOMAINS) - BIG
    found = np.searchsorted(_TAIL[:size], rng.random(n) * _TAIL[size - 1]) + BIG
    return np.where(rng.random(n) < big, rng.integers(0, BIG, n), found)


def new_domains(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    """int64[n]: domains of the tail, each as likely as the other."""
    return rng.integers(BIG, DOMAINS, n)


def _hash(values: NDArray[np.int64], salt: int) -> NDArray[np.uint64]:
    """uint64: the same for the same value and salt (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def named(values: NDArray[np.int64], salt: int, choices: int) -> NDArray[np.int64]:
    """int64: one of ``choices`` for each value, always the same one."""
    chosen: NDArray[np.int64] = (_hash(values, salt) % np.uint64(choices)).astype(np.int64)
    return chosen


def addresses_of(
    rng: np.random.Generator, domains: NDArray[np.int64], few: int = 0
) -> NDArray[np.int64]:
    """int64[n]: a mail server of each domain, as network << 8 | number in it.

    Of a big provider or a hoster any of its servers (60 of each), or one of the ``few`` that the
    domain's name stands for; else the one the domain has.
    """
    n = len(domains)
    lot = domains * 8 + rng.integers(0, few, n) if few else None

    def any_of(salt: int, choices: int) -> NDArray[np.int64]:
        return rng.integers(0, choices, n) if lot is None else named(lot, salt, choices)

    host = np.where(named(domains, 1, 1000) < _HOSTED * 1000, named(domains, 2, BIG + _HOSTERS), -1)
    big = np.where(domains < BIG, domains, host)
    network = BIG * _BIG_NETWORKS + _HOSTERS + named(domains, 3, NETWORKS - 1000)
    number = 1 + named(domains, 4, 254)
    hoster = (big >= BIG) & (domains >= BIG)
    network = np.where(hoster, BIG * _BIG_NETWORKS + big - BIG, network)
    number = np.where(hoster, 1 + any_of(7, 60), number)
    at_big = (big >= 0) & (big < BIG)
    network = np.where(at_big, big * _BIG_NETWORKS + any_of(5, _BIG_NETWORKS), network)
    number = np.where(at_big, 1 + any_of(6, 12), number)
    return network << 8 | number
