"""A zone for rbldnsd (dataset ``combined``): 127.0.0.2 and the alert's id for a blocked subscriber.

    rbldnsd -n -b 127.0.0.1/5353 blocked.example:combined:port25.zone

rbldnsd reads the file again when it changes. A shared address is never listed: DNS knows no ports.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sensor.blocking.decision import Decision
from sensor.blocking.normal import disjoint

__all__ = ["LOOKUPS", "render"]

LOOKUPS: Final = False


def render(blocks: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
    """The data file."""
    lines = ["$TTL 60"]
    whole = disjoint([one for one in blocks if not one.ports], ts, ends=False)
    for dataset, v6 in (("ip4set:v4", False), ("ip6trie:v6", True)):
        lines += [f"$DATASET {dataset} @", ":127.0.0.2:Port 25 is closed to $ for spam"]
        lines += [
            f"{one.source.removesuffix('/32')} :127.0.0.2:Port 25 is closed to $: alert {one.alert}"
            for one in whole
            if (":" in one.source) == v6
        ]
    return "".join(f"{line}\n" for line in lines)
