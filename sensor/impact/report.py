"""The impact report: what closing foreign port 25 would mean, for whom."""

from collections import Counter

import msgspec

from sensor.impact.judgement import KINDS, Judgement, Kind

__all__ = ["SCHEMA", "Report"]

SCHEMA = "port25.impact/1"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What closing foreign port 25 would mean."""

    schema: str = SCHEMA
    first: int
    last: int
    """packet time, nanoseconds since 1970"""
    date: str
    """from which the port is to be closed, as the notices say it"""
    subscribers: list[Judgement]
    """by kind, then most sessions first"""
    left_out: int
    """connections of subscribers there was no room for"""

    @property
    def totals(self) -> dict[Kind, int]:
        """Subscribers by kind."""
        counts = Counter(one.kind for one in self.subscribers)
        return {kind: counts[kind] for kind in KINDS}

    @property
    def submits_to(self) -> Counter[str]:
        """Mail programs by the provider that must offer port 587."""
        programs = (one for one in self.subscribers if one.kind == "mail program")
        return Counter(name for one in programs for name in one.providers)
