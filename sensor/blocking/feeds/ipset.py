"""ipset: sets with timeouts for iptables, swapped in whole by ``ipset restore``.

The rules that use them are the operator's, once::

    iptables  -A FORWARD -p tcp --dport 25 -m set --match-set port25-v4 src -j REJECT
    iptables  -A FORWARD -p tcp --dport 25 -m set --match-set port25-v4-ports src,src -j REJECT
    ip6tables -A FORWARD -p tcp --dport 25 -m set --match-set port25-v6 src -j REJECT

before them, an ACCEPT for the provider's own mail servers.
"""

from collections.abc import Iterable, Sequence

from sensor.blocking.decision import SECOND, Decision

__all__ = ["render"]

_SETS = {
    "port25-v4": "hash:ip family inet",
    "port25-v6": "hash:net family inet6",
    "port25-v4-ports": "hash:ip,port family inet",
}


def render(blocks: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
    """What ``ipset restore`` reads."""
    size = max(65_536, 2 * sum(b.ports[1] - b.ports[0] + 1 if b.ports else 1 for b in blocks))
    lines = []
    for name, kind in _SETS.items():
        made = f"{kind} timeout 0 maxelem {size}"
        lines += [f"create {new} {made} -exist" for new in (name, f"{name}-new")]
        lines.append(f"flush {name}-new")
    for one in blocks:
        left = min(-((ts - one.expires) // SECOND), 2_147_483)  # the most ipset can count
        address = one.source.removesuffix("/32")
        if one.ports:
            entry = f"port25-v4-ports-new {address},tcp:{one.ports[0]}-{one.ports[1]}"
        else:
            entry = f"port25-v{6 if ':' in address else 4}-new {address}"
        lines.append(f"add {entry} timeout {left}")
    for name in _SETS:
        lines += [f"swap {name} {name}-new", f"destroy {name}-new"]
    return "".join(f"{line}\n" for line in lines)
