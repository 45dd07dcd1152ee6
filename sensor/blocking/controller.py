"""What a blocking controller does with the block list topic: nothing it was not meant to.

It holds the last word on each subscriber. Each decision is held against this machine's own settings
(:mod:`sensor.blocking.bounds`) and refused, with a count by reason, where it is not for this
machine to carry out: malformed, expired, a dry run, a lookup, an own mail server, an exempt host,
beyond the ceiling. What is in force is given to nftables (:mod:`sensor.blocking.feeds.loading`).
"""

import collections
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from sensor.blocking.bounds import Bounds
from sensor.blocking.decision import SCHEMA, Decision
from sensor.blocking.feeds.loading import ApplyError, Loader

__all__ = ["ApplyError", "Controller"]

_LARGEST: Final = 1 << 16
"""Bytes of a message."""


class Controller:
    """The block list as this machine carries it out."""

    def __init__(
        self,
        bounds: Bounds,
        own: Sequence[str],
        max_blocks: int,
        apply: Callable[[str], None],
        look: Callable[[], str] | None = None,
    ) -> None:
        """``apply`` gives a script to nftables, ``look`` says how its table is: see ``Loader``."""
        self._bounds = bounds
        self._max_blocks = max_blocks
        self._loader = Loader(apply, own, look)
        self._blocks: dict[str, tuple[int, Decision]] = {}
        self.refused: collections.Counter[str] = collections.Counter()
        self.dirty = True
        """whether the firewall may not have what is in force"""

    def take(self, partition: int, key: bytes, value: bytes | None, ts: int) -> str:
        """One message; why it was refused, else empty. ``ts``: now, ns since 1970."""
        host = key.decode(errors="replace")
        if self._blocks.pop(host, None) is not None:
            self.dirty = True
        if value is None:
            return ""
        try:
            if len(value) > _LARGEST:
                raise msgspec.DecodeError("too long")
            one = msgspec.json.decode(value, type=Decision)
            reason = self._objection(host, one, ts)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            reason = f"malformed: {error}"
        if reason:
            self.refused[reason.partition(":")[0]] += 1
            return reason
        self._blocks[host] = partition, one
        self.dirty = True
        return ""

    def _objection(self, host: str, one: Decision, ts: int) -> str:
        if one.schema != SCHEMA or one.host != host:
            return f"malformed: {one.schema} for {one.host} under the key {host}"
        if one.action != "block":
            return f"{one.action}: not for a firewall"
        if not one.enforced:
            return "dry run: nothing to block"
        if not one.in_force(ts):
            return "expired: nothing left to block"
        if objection := self._bounds.objection(one):
            return f"out of bounds: {objection}"
        full = len(self._blocks) >= self._max_blocks
        if full and len(self.in_force(ts)) >= self._max_blocks:
            return f"ceiling: {self._max_blocks} blocks are in force"
        return ""

    def lose(self, partitions: set[int]) -> None:
        """Partitions are another controller's from now on."""
        kept = {h: entry for h, entry in self._blocks.items() if entry[0] not in partitions}
        self.dirty |= len(kept) != len(self._blocks)
        self._blocks = kept

    def in_force(self, ts: int) -> list[Decision]:
        """Blocks that hold at ``ts``; what has expired is forgotten, the firewall did it itself."""
        self._blocks = {h: entry for h, entry in self._blocks.items() if entry[1].in_force(ts)}
        return [one for _, one in self._blocks.values()]

    def carry_out(self, ts: int) -> int:
        """Make the firewall hold what is in force; how many blocks. Raises ApplyError."""
        blocks = self.in_force(ts)
        if newly := self._loader.load(blocks, ts):
            self.refused["by the firewall"] += len(newly)
        self.dirty = False
        return sum(one.host not in self._loader.refused for one in blocks)

    @property
    def unloaded(self) -> dict[str, str]:
        """Hosts whose block the firewall does not take, and why."""
        return self._loader.refused

    def intact(self) -> bool:
        """Whether the firewall's table is as it was made."""
        return self._loader.intact()
