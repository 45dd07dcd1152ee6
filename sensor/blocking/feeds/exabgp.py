"""BGP FlowSpec for ExaBGP (RFC 8955, RFC 8956): discard TCP from the subscriber to port 25.

FlowSpec has no end of its own: what expires must be withdrawn. So ExaBGP runs
``port25 blocklist --format exabgp --follow`` as a process, which announces and withdraws as time
goes on. When the process ends, ExaBGP keeps what it announced and starts it again; so it begins by
withdrawing what may have been announced and is not in force: what has ended, or lies within
another block now, in each form that blocks overlapping it may have given it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sensor.blocking.decision import Decision
from sensor.blocking.normal import disjoint, ever

__all__ = ["LOOKUPS", "announced", "changes", "render", "route", "routes", "turn"]

LOOKUPS: Final = False


def route(one: Decision) -> str:
    """The flow of one block."""
    v6 = ":" in one.source
    source = f"{one.source}/0" if v6 else one.source  # RFC 8956: offset 0
    ports = f" source-port >={one.ports[0]}&<={one.ports[1]};" if one.ports else ""
    protocol = "next-header" if v6 else "protocol"
    match = f"source {source}; {protocol} tcp; destination-port =25;{ports}"
    return f"flow route {{ match {{ {match} }} then {{ discard; }} }}"


def routes(blocks: Sequence[Decision], ts: int) -> list[str]:
    """The flows of all blocks in force at ``ts`` (ns), none within another."""
    return [route(one) for one in disjoint(blocks, ts, ends=False)]


def announced(blocks: Sequence[Decision]) -> list[str]:
    """Every flow that :func:`routes` may have given of these blocks, or of some of them."""
    return list(dict.fromkeys(route(one) for one in ever(blocks)))


def turn(before: Iterable[str], after: Iterable[str]) -> list[str]:
    """Commands that turn the announced routes ``before`` into ``after``."""
    old, new = dict.fromkeys(before), dict.fromkeys(after)
    lines = [f"withdraw {text}" for text in old if text not in new]
    return lines + [f"announce {text}" for text in new if text not in old]


def changes(before: Sequence[Decision], after: Sequence[Decision], ts: int = 0) -> str:
    """The same of blocks."""
    lines = turn(routes(before, ts), routes(after, ts))
    return "".join(f"{line}\n" for line in lines)


def render(blocks: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
    """Commands that announce every block."""
    return changes((), blocks, ts)
