"""A flood of forged sources, announced once: how many, from which networks, which TTL. Kernels.

Alerts of which nothing is proven have a share of the table of alerts (``Levels.unproven_most``). A
host beyond it raises none; it is counted here instead, once. The flood is announced at the first
sweep after it began, with what is known by then, and is over when no new source came for ``QUIET``
seconds; what comes later is another.

Networks are /16 of IPv4 and /32 of IPv6, kept as in Misra and Gries (1982): of those that hold more
than one source in ``NETWORKS`` none is missing, and their counts are lower bounds.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.addresses import text
from sensor.base.kernel import kernel
from sensor.base.sentences import Sentence, sentence

__all__ = ["PENDING", "SOURCES", "Flood", "describe", "emit_flood", "new_flood", "note_source"]

NETWORKS: Final = 16
QUIET: Final = 600
_SHOWN: Final = 3

SOURCES: Final = 0  # of this flood
_SINCE: Final = 1  # tick
_LAST: Final = 2  # tick
_EMITTED: Final = 3  # 1: this flood was announced
PENDING: Final = 4  # 1: the announcement waits for Python
_FACTS: Final = 5

_SHIFT = np.uint64(32)
_MAPPED_PREFIX = np.uint64(0xFFFF)
_NOT_HOST = np.uint64(0xFFFFFFFFFFFF0000)
_NOT_SITE = np.uint64(0xFFFFFFFF00000000)
_ZERO = np.uint64(0)


class Flood(NamedTuple):
    """What is known of the flood there is, until Python announces it."""

    facts: NDArray[np.int64]
    his: NDArray[np.uint64]
    """[NETWORKS]"""
    los: NDArray[np.uint64]
    counts: NDArray[np.int64]
    """[NETWORKS] sources, at least; 0: a free place"""
    ttls: NDArray[np.int64]
    """[256] sources by the TTL of their last SYN; 0: not known"""


def new_flood() -> Flood:
    """Nothing yet."""
    return Flood(
        np.zeros(_FACTS, np.int64),
        np.zeros(NETWORKS, np.uint64),
        np.zeros(NETWORKS, np.uint64),
        np.zeros(NETWORKS, np.int64),
        np.zeros(256, np.int64),
    )


@kernel
def note_source(flood, hi, lo, ttl, tick):
    """One more source, a subscriber's key, that found no room as an alert at ``tick``."""
    facts = flood.facts
    if facts[SOURCES] and tick > facts[_LAST] + QUIET:
        facts[SOURCES] = 0
        facts[_EMITTED] = 0
        flood.counts[:] = 0
        flood.ttls[:] = 0
    if facts[SOURCES] == 0:
        facts[_SINCE] = tick
    facts[SOURCES] += 1
    facts[_LAST] = tick
    flood.ttls[ttl] += 1
    is_v4 = lo >> _SHIFT == _MAPPED_PREFIX
    net_hi = _ZERO if is_v4 else hi & _NOT_SITE
    net_lo = lo & _NOT_HOST if is_v4 else _ZERO
    free = -1
    for k in range(flood.counts.shape[0]):
        if flood.counts[k] == 0:
            free = k
        elif flood.his[k] == net_hi and flood.los[k] == net_lo:
            flood.counts[k] += 1
            return
    if free >= 0:
        flood.his[free] = net_hi
        flood.los[free] = net_lo
        flood.counts[free] = 1
        return
    for k in range(flood.counts.shape[0]):
        flood.counts[k] -= 1


@kernel
def emit_flood(flood):
    """At a sweep: whether Python must announce it now, before anything more happens."""
    facts = flood.facts
    if facts[SOURCES] and not facts[_EMITTED]:
        facts[_EMITTED] = 1
        facts[PENDING] = 1
    return facts[PENDING]


def describe(flood: Flood) -> Sentence:
    """The announcement, which is then no more pending."""
    facts = flood.facts
    facts[PENDING] = 0
    order = sorted(range(NETWORKS), key=lambda k: (-int(flood.counts[k]), k))
    networks = [_network(flood, k) for k in order[:_SHOWN] if flood.counts[k] > 1]
    known = int(flood.ttls[1:].sum())
    ttl = int(flood.ttls[1:].argmax()) + 1
    return sentence(
        "flood.forged",
        sources=int(facts[SOURCES]),
        seconds=int(facts[_LAST] - facts[_SINCE]) + 1,
        networks=networks or None,
        ttl=ttl if known else None,
        share=int(flood.ttls[ttl]) / known if known else None,
    )


def _network(flood: Flood, k: int) -> Sentence:
    hi, lo = int(flood.his[k]), int(flood.los[k])
    network = f"{text(hi, lo)}/{16 if lo else 32}"
    return sentence("flood.network", network=network, sources=int(flood.counts[k]))
