"""ipset: sets with timeouts for iptables, swapped in whole by ``ipset restore``.

The rules that use them are the operator's, once::

    iptables  -A FORWARD -p tcp --dport 25 -m set --match-set port25-v4 src -j REJECT
    iptables  -A FORWARD -p tcp --dport 25 -m set --match-set port25-v4-ports src,src -j REJECT
    ip6tables -A FORWARD -p tcp --dport 25 -m set --match-set port25-v6 src -j REJECT

before them, an ACCEPT for the provider's own mail servers.

A set can only be made "if it is not there yet" where the one that is there was made with the same
ceiling, so the ceiling is always the highest there is; it costs nothing. A set that somebody made
otherwise is put right once, under the rules that use it (here ``port25-v4``)::

    ipset create port25-once hash:ip family inet timeout 0 maxelem 4294967295
    ipset swap port25-once port25-v4
    ipset destroy port25-once
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sensor.base.units import SECOND
from sensor.blocking.decision import Decision
from sensor.blocking.normal import disjoint

__all__ = ["LOOKUPS", "render"]

LOOKUPS: Final = False

_SETS = {
    "port25-v4": "hash:ip family inet",
    "port25-v6": "hash:net family inet6",
    "port25-v4-ports": "hash:ip,port family inet",
}
_MADE = "timeout 0 maxelem 4294967295"
_LONGEST = 2_147_483
"""Seconds, the most ipset can count."""


def render(blocks: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
    """What ``ipset restore`` reads."""
    lines = []
    for name, kind in _SETS.items():
        lines += [f"create {new} {kind} {_MADE} -exist" for new in (name, f"{name}-new")]
        lines.append(f"flush {name}-new")
    for one in disjoint(blocks, ts):
        left = min(-((ts - one.expires) // SECOND), _LONGEST)
        address = one.source.removesuffix("/32")
        if one.ports:
            entry = f"port25-v4-ports-new {address},tcp:{one.ports[0]}-{one.ports[1]}"
        else:
            entry = f"port25-v{6 if ':' in address else 4}-new {address}"
        lines.append(f"add {entry} timeout {left}")
    for name in _SETS:
        lines += [f"swap {name} {name}-new", f"destroy {name}-new"]
    return "".join(f"{line}\n" for line in lines)
