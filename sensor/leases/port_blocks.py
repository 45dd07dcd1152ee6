"""Blocks of ports that a CGN gives its customers and takes back, as leases.

What is taken back must have been given: blocks given are remembered, the million given last.
Counters begin with the source's name:

    _released_unknown   released, but not known whose it was, or another's
    _forgotten          given up for want of room: its release will not be known
"""

from typing import Final

import msgspec

from sensor.base.sentences import Sentence
from sensor.leases.intake import Intake

__all__ = ["Block", "PortBlocks"]

_MOST: Final = 1_000_000

Block = tuple[str, int, int]
"""Address, first and last port."""


class PortBlocks:
    """Those of one source."""

    def __init__(self, intake: Intake, counts: dict[str, int], name: str) -> None:
        self._intake = intake
        self._reader = intake.new_reader()
        self._counts = counts
        self._name = name
        self._given: dict[Block, tuple[int, str]] = {}

    def give(self, block: Block, at: int, customer: str, where: Sentence) -> None:
        """It is the customer's from now on; ``where`` that was said."""
        self._given.pop(block, None)
        self._given[block] = at, customer
        if len(self._given) > _MOST:
            del self._given[next(iter(self._given))]
            self._counts[f"{self._name}_forgotten"] += 1
        self._tell(block, at, None, customer, where)

    def take_back(self, block: Block, at: int, customer: str, where: Sentence) -> None:
        """It is not any more."""
        since, known = self._given.pop(block, (0, ""))
        if known != customer or at <= since:
            self._counts[f"{self._name}_released_unknown"] += 1
            if known:
                self._given[block] = since, known
        else:
            self._tell(block, since, at, customer, where)

    def _tell(
        self, block: Block, since: int, until: int | None, customer: str, where: Sentence
    ) -> None:
        address, first, last = block
        line = {
            "from": since, "until": until, "prefix": address, "ports": f"{first}-{last}",
            "customer": customer,
        }  # fmt: skip
        self._intake.take(msgspec.json.encode(line).decode(), self._reader, where)
