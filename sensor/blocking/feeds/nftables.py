"""nftables: a table of its own, replaced whole in one transaction; elements time out.

Only TCP from a blocked subscriber to port 25 is refused, with a reset so that a mail program says
so at once; mail to the provider's own servers passes, and so does everything else. ``nft -f``
loads it; ``nft list table inet port25`` shows counters (of each block, too) and the time left.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sensor.base.units import SECOND
from sensor.blocking.decision import Decision
from sensor.blocking.normal import disjoint

__all__ = ["LOOKUPS", "SETS", "SHAPE", "elements", "render", "trial"]

LOOKUPS: Final = False

_FRAME = """\
table inet port25 {{
    set own4 {{
        type ipv4_addr
        flags interval
        auto-merge{own4}
    }}
    set own6 {{
        type ipv6_addr
        flags interval
        auto-merge{own6}
    }}
    set blocked4 {{
        type ipv4_addr
        flags timeout
        counter
    }}
    set blocked6 {{
        type ipv6_addr
        flags interval, timeout
        counter
    }}
    set blocked4_ports {{
        type ipv4_addr . inet_service
        flags interval, timeout
        counter
    }}
    chain forward {{
        type filter hook forward priority filter - 1; policy accept;
        tcp dport 25 jump smtp
    }}
    chain smtp {{
        ip daddr @own4 return
        ip6 daddr @own6 return
        ip saddr @blocked4 counter reject with tcp reset
        ip6 saddr @blocked6 counter reject with tcp reset
        ip saddr . tcp sport @blocked4_ports counter reject with tcp reset
    }}
}}
"""
SETS: Final = ("blocked4", "blocked6", "blocked4_ports")
"""Those with the blocks; each element counts what it stops."""
SHAPE = (
    ("nft", "-s", "-t", "list table inet port25"),
    ("nft", "-s", "list set inet port25 own4"),
    ("nft", "-s", "list set inet port25 own6"),
)
"""Commands that show all of the table that does not change by itself: no counters, no blocks."""


def render(blocks: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
    """The whole table in place of what there was."""
    return (
        f"table inet port25\ndelete table inet port25\n{_table(own)}{elements(blocks, ts, False)}"
    )


def trial(own: Iterable[str] = ()) -> str:
    """An empty table under another name, made and deleted in one: it changes nothing."""
    name = "table inet port25_trial"
    return f"{_table(own).replace('table inet port25', name)}delete {name}\n"


def _table(own: Iterable[str]) -> str:
    texts = list(own)
    lists = [[t for t in texts if ":" not in t], [t for t in texts if ":" in t]]
    own4, own6 = (
        f"\n        elements = {{ {', '.join(found)} }}" if found else "" for found in lists
    )
    return _FRAME.format(own4=own4, own6=own6)


def elements(blocks: Sequence[Decision], ts: int, flush: bool = True) -> str:
    """Only the elements, in place of those there were."""
    by_set: dict[str, list[str]] = {name: [] for name in SETS}
    for one in disjoint(blocks, ts):
        left = -((ts - one.expires) // SECOND)  # rounded up
        address = one.source.removesuffix("/32")
        if one.ports:
            name, key = "blocked4_ports", f"{address} . {one.ports[0]}-{one.ports[1]}"
        else:
            name, key = "blocked6" if ":" in address else "blocked4", address
        by_set[name].append(f"{key} timeout {left}s")
    lines = [f"flush set inet port25 {name}" for name in SETS if flush]
    lines += [
        f"add element inet port25 {name} {{ {', '.join(found)} }}"
        for name, found in by_set.items()
        if found
    ]
    return "".join(f"{line}\n" for line in lines)
