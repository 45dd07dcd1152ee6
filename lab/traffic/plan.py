"""A plan: which sender connects to whom, when, and what is said. What every model makes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.traffic.scripts import MX_LOOKUP

__all__ = ["DAY", "HOUR", "Plan", "chosen", "daytime", "joined", "numbered", "with_lookups"]

HOUR = 3600.0
DAY = 24 * HOUR


class Plan(NamedTuple):
    """Columns of equal length, in any order."""

    sender: NDArray[np.int64]
    """number of the sender within its class"""
    start: NDArray[np.float64]
    """seconds since the first midnight"""
    server: NDArray[np.int64]
    """network << 8 | number in it"""
    domain: NDArray[np.int64]
    """of the recipient: digits in what is said"""
    script: NDArray[np.int64]


def joined(*plans: Plan) -> Plan:
    """Several plans as one."""
    return Plan(*(np.concatenate(columns) for columns in zip(*plans, strict=True)))


def chosen(rng: np.random.Generator, n: int, shares: dict[int, float]) -> NDArray[np.int64]:
    """int64[n]: keys of ``shares`` as often as these say (they need not add up to 1)."""
    weights = np.array(list(shares.values()), float)
    picked: NDArray[np.int64] = rng.choice(list(shares), n, p=weights / weights.sum())
    return picked


def numbered(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """int64[sum of counts], twice: of each thing whose it is, and its number among theirs."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def daytime(rng: np.random.Generator, n: int, days: int, office: bool) -> NDArray[np.float64]:
    """float64[n]: moments when people are at it: 8 to 18 on offices' days, 7 to 23 at home.

    One in ten at any time: people abroad, and programs.
    """
    begin, length = (8, 10) if office else (7, 16)
    hour = begin + length * rng.beta(1.5, 1.5, n)
    hour = np.where(rng.random(n) < 0.1, rng.uniform(0, 24, n), hour)
    return rng.integers(0, days, n) * DAY + hour * HOUR


def with_lookups(
    rng: np.random.Generator, plan: Plan, asks: NDArray[np.bool_], ahead: float = 0.05
) -> Plan:
    """The same with a question for MX records before each connection for which ``asks``."""
    asked = Plan(*(column[asks] for column in plan))
    return joined(
        plan,
        asked._replace(
            start=asked.start - rng.exponential(ahead, len(asked.start)),
            script=np.full(len(asked.start), MX_LOOKUP),
        ),
    )
