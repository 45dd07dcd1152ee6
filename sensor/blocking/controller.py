"""What a blocking controller does with the block list topic: nothing it was not meant to.

It holds the last word of each sensor on each subscriber: a subscriber is blocked as long as any
sensor's block is in force, until the latest end, and a tombstone takes only its own. Where blocks
of an address are of different customers, the newest one says whose it is, and those of others are
void. What a person released or exempted at any sensor is not blocked for anybody.

Each decision is held against this machine's own settings (:mod:`sensor.blocking.bounds`) and
refused, with a count by reason, where it is not for this machine to carry out: malformed, of the
future, expired, a dry run, a lookup, an own mail server, an exempt host, beyond the ceiling. What
is in force is given to nftables (:mod:`sensor.blocking.loading`).
"""

import collections
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from sensor.blocking.bounds import Bounds
from sensor.blocking.decision import SCHEMA, SENSOR, Decision
from sensor.blocking.desk_record import AHEAD, Words
from sensor.blocking.loading import ApplyError, Key, Loader
from sensor.hosts.customer_key import parse_pseudonym

__all__ = ["ApplyError", "Controller"]

_LARGEST: Final = 1 << 16
"""Bytes of a message."""
_MOST_SENSORS: Final = 64
"""Of which blocks of one subscriber are kept."""


class Loads(Protocol):
    """Who is given what is in force: a firewall, or NASes."""

    phrase: str
    """of a block that is refused, for a person"""
    counted: str
    """what such blocks are counted as"""

    @property
    def refused(self) -> dict[str, str]:
        """Hosts that are not blocked, and why."""

    @property
    def waiting(self) -> set[str]:
        """Hosts of which it is not known yet whether they are blocked."""

    @property
    def dropped(self) -> dict[str, int] | None:
        """Packets that were stopped, by host; None: nobody counts."""

    @property
    def counters(self) -> dict[str, int]:
        """Of its own."""

    def intact(self) -> bool:
        """Whether what is in force is as it was given."""

    def load(self, blocks: Sequence[Decision], ts: int) -> list[str]:
        """Make it hold these blocks; the hosts newly refused. Raises ApplyError."""


def _parts(key: bytes) -> tuple[str, str, str]:
    """Customer, host and sensor of a key; the first and the last may be empty."""
    parts = key.decode(errors="replace").split("@", 2)
    if len(parts) == 3 and parse_pseudonym(parts[0]) is not None:
        return parts[0], parts[1], parts[2]
    return "", parts[0], "@".join(parts[1:])


def _of_whose_it_is(blocks: list[Decision]) -> list[Decision]:
    """Without those of customers who had the address before another."""
    known = [one for one in blocks if one.customer]
    if not known:
        return blocks
    newest = max(known, key=lambda one: (one.ts, one.customer)).customer
    return [one for one in blocks if one.customer in (newest, msgspec.UNSET)]


class Controller:
    """The block list as this machine carries it out."""

    def __init__(
        self,
        bounds: Bounds,
        own: Sequence[str],
        max_blocks: int,
        apply: Callable[[str], None],
        look: Callable[[], str | None] | None = None,
        loader: Loads | None = None,
        count: Callable[[], Mapping[Key, int]] | None = None,
    ) -> None:
        """``apply`` gives a script to nftables, ``look`` says how its table is: see ``Loader``.

        Another ``loader`` takes their place.
        """
        self._bounds = bounds
        self._max_blocks = max_blocks
        self._loader: Loads = Loader(apply, own, look, count=count) if loader is None else loader
        self._blocks: dict[str, dict[tuple[str, str], tuple[int, Decision]]] = {}
        """by subscriber, and by customer and sensor"""
        self._words = Words()
        self.refused: collections.Counter[str] = collections.Counter()
        self.dirty = True
        """whether the firewall may not have what is in force"""

    def take(self, partition: int, key: bytes, value: bytes | None, ts: int) -> str:
        """One message; why it was refused, else empty. ``ts``: now, ns since 1970."""
        customer, host, sensor = _parts(key)
        of_host = self._blocks.get(host, {})
        if of_host.pop((customer, sensor), None) is not None:
            self.dirty = True
            if not of_host:
                del self._blocks[host]
        if value is None:
            return ""
        try:
            if len(value) > _LARGEST:
                raise msgspec.DecodeError("too long")
            one = msgspec.json.decode(value, type=Decision)
            reason = self._objection(customer, host, sensor, one, ts)
        except Exception as error:  # or it would come again for ever, and hold up all behind it
            reason = f"malformed: {error}"
        if reason:
            return self._refuse(reason)
        self._blocks.setdefault(host, {})[customer, sensor] = partition, one
        self.dirty = True
        return ""

    def hear(self, key: bytes, value: bytes | None, ts: int) -> str:
        """One message of the desk topic; why it was refused, else empty."""
        if reason := self._words.take(key, value, ts):
            return self._refuse(f"desk, {reason}")
        self.dirty = True
        return ""

    def _refuse(self, reason: str) -> str:
        self.refused[reason.partition(":")[0]] += 1
        return reason

    def _objection(self, customer: str, host: str, sensor: str, one: Decision, ts: int) -> str:
        # One of before stands under no customer's key.
        his = not customer or one.customer == customer
        if one.schema != SCHEMA or one.host != host or one.sensor != sensor or not his:
            named = f"{one.schema[:50]} for {one.host[:100]} by {one.sensor[:100] or 'nobody'}"
            return f"malformed: {named} under the key {host[:100]}@{sensor[:100]}"
        if sensor and not re.search(SENSOR, sensor):
            return f"malformed: {sensor[:100]!r} is no sensor's name"
        if one.action != "block":
            return f"{one.action}: not for a firewall"
        if not one.enforced:
            return "dry run: nothing to block"
        if not one.in_force(ts):
            return "expired: nothing left to block"
        if one.ts > ts + AHEAD:
            return f"future: it is of {one.time[:40]}"
        if objection := self._bounds.objection(one):
            return f"out of bounds: {objection.text}"
        others = self._blocks.get(host, {})
        if len(others) >= _MOST_SENSORS:
            return f"ceiling: {_MOST_SENSORS} sensors block this subscriber"
        full = len(self._blocks) >= self._max_blocks and not others
        if full and len(self.in_force(ts)) >= self._max_blocks:
            return f"ceiling: {self._max_blocks} blocks are in force"
        return ""

    def lose(self, partitions: set[int]) -> None:
        """Partitions are another controller's from now on."""
        self._keep(lambda partition, _: partition not in partitions)

    def _keep(self, holds: Callable[[int, Decision], bool]) -> None:
        """Forget the blocks that do not hold."""
        for host, of_host in list(self._blocks.items()):
            kept = {name: entry for name, entry in of_host.items() if holds(*entry)}
            if len(kept) != len(of_host):
                self.dirty = True
                if kept:
                    self._blocks[host] = kept
                else:
                    del self._blocks[host]

    def in_force(self, ts: int) -> list[Decision]:
        """Blocks that hold at ``ts``, of each subscriber the one that ends last.

        What has expired is forgotten, the firewall did it itself.
        """
        dirty = self.dirty
        self._keep(lambda _, one: one.in_force(ts))
        self.dirty = dirty
        found = []
        for of_host in self._blocks.values():
            holding = [one for _, one in of_host.values() if self._words.against(one) is None]
            if len(holding) > 1:
                holding = _of_whose_it_is(holding)
            if holding:
                found.append(max(holding, key=lambda one: one.expires))
        return found

    def released(self) -> dict[str, int]:
        """How many blocks are void by a person's word, by sensor that made them."""
        ones = [one for of_host in self._blocks.values() for _, one in of_host.values()]
        void = [one.sensor for one in ones if self._words.against(one) is not None]
        return dict(collections.Counter(void))

    def carry_out(self, ts: int) -> int:
        """Make the firewall hold what is in force; how many blocks. Raises ApplyError."""
        blocks = self.in_force(ts)
        if newly := self._loader.load(blocks, ts):
            self.refused[self._loader.counted] += len(newly)
        self.dirty = False
        return sum(one.host not in self._loader.refused for one in blocks)

    @property
    def unloaded(self) -> dict[str, str]:
        """Hosts whose block the firewall does not take, and why."""
        return self._loader.refused

    @property
    def waiting(self) -> set[str]:
        """Hosts of which it is not known yet whether they are blocked."""
        return self._loader.waiting

    @property
    def dropped(self) -> dict[str, int] | None:
        """Packets that were stopped, by host; None: nobody counts."""
        return self._loader.dropped

    @property
    def phrase(self) -> str:
        """Why such a block is not in force, in short."""
        return self._loader.phrase

    @property
    def counters(self) -> dict[str, int]:
        """Of who carries it out."""
        return self._loader.counters

    def intact(self) -> bool:
        """Whether the firewall's table is as it was made."""
        return self._loader.intact()
