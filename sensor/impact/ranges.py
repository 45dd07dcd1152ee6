"""Ranges of subscribers, in the order in which the port is best closed.

A range is a /24 (/48 of IPv6). First come those where it stops spam and troubles nobody, then those
with few who must be told before, last those with most. A known customer is where he was last.
"""

from collections import Counter
from collections.abc import Iterable

import msgspec

from sensor.base.addresses import network_of
from sensor.impact.judgement import KINDS, Judgement, Kind

__all__ = ["Range", "ranges"]


class Range(msgspec.Struct, frozen=True):
    """One step of the roll-out."""

    prefix: str
    counts: dict[Kind, int]
    """subscribers that use foreign port 25, by use"""

    @property
    def to_tell(self) -> int:
        """Subscribers who must be told, or asked, before."""
        return sum(n for kind, n in self.counts.items() if kind != "spam source")


def ranges(judgements: Iterable[Judgement]) -> list[Range]:
    """In order: fewest to tell first, then most spam sources."""
    counts: dict[str, Counter[Kind]] = {}
    for one in judgements:
        where = one.address.partition(" ")[0] or one.host
        counts.setdefault(network_of(where), Counter())[one.kind] += 1
    found = [Range(prefix, {kind: c[kind] for kind in KINDS}) for prefix, c in counts.items()]
    return sorted(found, key=lambda r: (r.to_tell, -r.counts["spam source"], r.prefix))
