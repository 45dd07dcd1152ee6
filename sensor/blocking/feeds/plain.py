"""Blocks in force for people: addresses, a line each."""

from collections.abc import Iterable, Sequence
from typing import Final

from sensor.blocking.decision import Decision
from sensor.blocking.normal import disjoint

__all__ = ["LOOKUPS", "render"]

LOOKUPS: Final = False


def render(blocks: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
    """One subscriber a line: an address or prefix; where it is shared, with ports."""
    lines = []
    for one in disjoint(blocks, ts, ends=False):
        address = one.source.removesuffix("/32")
        lines.append(f"{address}:{one.ports[0]}-{one.ports[1]}" if one.ports else address)
    return "".join(f"{line}\n" for line in lines)
