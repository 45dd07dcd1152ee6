"""Blocks and lookups in force for programs: JSON."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from sensor.blocking.decision import Decision

__all__ = ["LOOKUPS", "render"]

LOOKUPS: Final = True


def render(decisions: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
    """An array of decisions (docs/decision.schema.json), one a line."""
    lines = ",\n".join(msgspec.json.encode(one).decode() for one in decisions)
    return f"[\n{lines}\n]\n" if lines else "[]\n"
