"""Blocks in force as disjoint addresses and ports, so that no firewall refuses one beside another.

Subscribers overlap where settings changed while blocks were in force: another ``delegated`` or
``ports_per_subscriber``, an address that became shared. An interval set refuses the whole list for
one such pair. So each address, and each port of a shared address, is kept once, with the block
that ends last; of two that end together, the larger. Nobody is blocked longer than their own
blocks say. What overlaps nothing stays the very same object, at the same place in the list.
"""

import heapq
import ipaddress
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from sensor.blocking.decision import Decision

__all__ = ["disjoint", "ever"]


class _Range(NamedTuple):
    """Addresses, or ports of one address, of a block."""

    first: int
    last: int
    expires: int
    place: int
    """in the list of blocks"""

    @property
    def rank(self) -> tuple[int, int, int]:
        """The smallest wins: who ends last, then the larger, then the earlier in the list."""
        return -self.expires, self.first - self.last, self.place


def disjoint(blocks: Sequence[Decision], ts: int, ends: bool = True) -> list[Decision]:
    """The blocks in force at ``ts`` (ns), each address and port once.

    Without ``ends`` (a form whose entries never expire by themselves) the larger block stands for
    all within it, whenever they end.
    """
    whole: dict[int, list[_Range]] = {4: [], 6: []}
    shared: dict[int, list[_Range]] = {}
    for place, one in enumerate(blocks):
        if one.expires <= ts:
            continue
        network = ipaddress.ip_network(one.source)
        first = int(network.network_address)
        end = one.expires if ends else 0
        if one.ports:
            shared.setdefault(first, []).append(_Range(*one.ports, end, place))
        else:
            last = first + network.num_addresses - 1
            whole[network.version].append(_Range(first, last, end, place))
    found: list[tuple[int, Decision]] = []
    for version, ranges in whole.items():
        for piece in _sweep(ranges):
            found += _networks(blocks[piece.place], piece, version)
    for address, ranges in shared.items():
        covered = max((r.expires for r in whole[4] if r.first <= address <= r.last), default=-1)
        for piece in _sweep([r for r in ranges if r.expires > covered]):
            found.append((piece.place, _of_ports(blocks[piece.place], piece)))
    found.sort(key=lambda entry: entry[0])
    return [one for _, one in found]


def ever(blocks: Sequence[Decision]) -> list[Decision]:
    """Each block in every form in which ``disjoint`` without ``ends`` may ever have shown it.

    Prefixes lie within one another or apart, so they are shown whole or not at all. Blocks of
    ports may be cut where one as large or larger begins or ends; which of those were in force
    beside it, and when, does not matter here.
    """
    shared: dict[str, list[Decision]] = {}
    for one in blocks:
        if one.ports:
            shared.setdefault(one.source, []).append(one)
    found = []
    for one in blocks:
        if not one.ports:
            found.append(one)
            continue
        first, last = one.ports
        others = [other.ports for other in shared[one.source] if other.ports]
        rivals = [(a, b) for a, b in others if b - a >= last - first]
        starts = sorted({first, *(b + 1 for _, b in rivals if first <= b < last)})
        ends = sorted({last, *(a - 1 for a, _ in rivals if first < a <= last)})
        forms = [(start, end) for start in starts for end in ends if start <= end]
        found += [msgspec.structs.replace(one, ports=form) for form in forms]
    return found


def _sweep(ranges: list[_Range]) -> list[_Range]:
    """Disjoint pieces, each of the range that wins there; ascending."""
    coming = sorted(ranges, reverse=True)
    over: list[tuple[tuple[int, int, int], _Range]] = []
    pieces: list[_Range] = []
    at = 0
    while coming or over:
        if not over:
            at = max(at, coming[-1].first)
        while coming and coming[-1].first <= at:
            one = coming.pop()
            heapq.heappush(over, (one.rank, one))
        best = over[0][1]
        if best.last < at:
            heapq.heappop(over)
            continue
        # Whoever wins here does so until it ends, or another begins that may win over it.
        end = min(best.last, coming[-1].first - 1) if coming else best.last
        if pieces and (pieces[-1].place, pieces[-1].last) == (best.place, at - 1):
            pieces[-1] = pieces[-1]._replace(last=end)
        else:
            pieces.append(best._replace(first=at, last=end))
        at = end + 1
    return pieces


def _networks(one: Decision, piece: _Range, version: int) -> Iterator[tuple[int, Decision]]:
    """A piece of a block's addresses as prefixes, with the block's place."""
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    whole = ipaddress.ip_network(one.source)
    if int(whole.network_address) == piece.first and int(whole.broadcast_address) == piece.last:
        yield piece.place, one
        return
    for network in ipaddress.summarize_address_range(kind(piece.first), kind(piece.last)):
        yield piece.place, msgspec.structs.replace(one, source=str(network))


def _of_ports(one: Decision, piece: _Range) -> Decision:
    ports = piece.first, piece.last
    return one if one.ports == ports else msgspec.structs.replace(one, ports=ports)
