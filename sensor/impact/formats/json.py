"""The impact report for programs: JSON."""

import msgspec

from sensor.impact.ranges import ranges
from sensor.impact.report import SCHEMA, Report

__all__ = ["inconclusive", "render"]


def render(report: Report) -> str:
    """One object; ``ranges`` and ``totals`` beside the fields."""
    made = msgspec.to_builtins(report)
    made |= {"totals": report.totals, "ranges": msgspec.to_builtins(ranges(report.subscribers))}
    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"


def inconclusive(why: list[str]) -> str:
    """One object that says so."""
    made = {"schema": SCHEMA, "conclusive": False, "why": why}
    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"
