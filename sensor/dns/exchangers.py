"""Mail exchangers by name: what answers to MX questions, and to those for their addresses, tell.

A name proves nothing of an address, for whoever owns a domain can point it anywhere: names are
shown to people, and no score rests on them. The first name an address is seen under stays until the
address is forgotten. Beyond ``most`` names or addresses, those learnt first are forgotten.
"""

from functools import cache, lru_cache
from typing import Any, Final

import numpy as np

from sensor.base.addresses import MAPPED
from sensor.base.door import Door
from sensor.dns.answers import Answer, name_text, read_answer
from sensor.dns.known import forget_address, says_nothing_new, told
from sensor.dns.lookups import (
    ANSWERS_PUT_ASIDE,
    Lookups,
    clear_answers,
    forget_name,
    watch_name,
)

__all__ = ["Exchangers", "get_ready", "provider"]

_NOT_KEPT: Final = np.uint64(0)
"""The hash of a name out of a snapshot, which the kernels' table has without us."""
_NAMES: Final = Door("names_unreadable")
"""Of the Public Suffix List's reader; what it makes of a name is kept for all."""


@cache
def _suffixes() -> Any:
    """The Public Suffix List, read once."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def get_ready() -> None:
    """Read what else is read when it is first needed: later it may not be readable."""
    _suffixes()


@lru_cache(maxsize=65536)
def provider(name: str) -> str | None:
    """Whose ``name`` is: its registrable domain by the Public Suffix List, if it has one.

    >>> provider("gmail-smtp-in.l.google.com")
    'google.com'
    """
    return _NAMES.read(_private_suffix, name)


def _private_suffix(name: str) -> str | None:
    """The registrable domain of ``name``, or None."""
    found: str | None = _suffixes().privatesuffix(name)
    return found


class Exchangers:
    """Names and addresses learnt from DNS answers."""

    def __init__(self, lookups: Lookups, most: int) -> None:
        self._lookups = lookups
        self._most = most
        self._names: dict[str, np.uint64] = {}
        self._by_address: dict[int, str] = {}
        self._door = Door("answers_unreadable")
        self._counts = {
            "exchangers_forgotten": 0,
            "answers_unreadable": 0,
            "records_unreadable": 0,
            "records_of_other_classes": 0,
            "records_skipped": 0,
        }

    @property
    def counters(self) -> dict[str, int]:
        """What was learnt too much, and what could not be read."""
        refused = {
            "answers_unreadable": self._counts["answers_unreadable"] + self._door.refused,
            _NAMES.counter: _NAMES.refused,
        }
        return self._counts | refused

    @property
    def doors(self) -> tuple[Door, ...]:
        """The doors of the readers in this file."""
        return self._door, _NAMES

    def __len__(self) -> int:
        return len(self._by_address)

    def name(self, hi: int, lo: int) -> str | None:
        """The name of the exchanger at an address, as it may be printed, or None."""
        return self._by_address.get(hi << 64 | lo)

    def state(self) -> dict[str, Any]:
        """All that is known, as JSON can hold it."""
        known = [[f"{address:x}", name] for address, name in self._by_address.items()]
        return {"names": list(self._names), "addresses": known}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` gave; the kernels' hashes are theirs to restore."""
        for name in state.get("names", ()):
            self._put(self._names, name, _NOT_KEPT)
        for address, name in state.get("addresses", ()):
            self._put(self._by_address, int(address, 16), name)

    def rehearse(self) -> None:
        """Call each kernel, for nothing."""
        lookups, nowhere = self._lookups, _halves(0)
        forget_name(lookups, np.uint64(watch_name(lookups, np.frombuffer(b"\0", np.uint8))))
        told(lookups.addresses, *nowhere)
        forget_address(lookups.addresses, *nowhere)
        message = np.zeros(12, np.uint8)
        says_nothing_new(lookups.names, lookups.addresses, message, 0, len(message))
        clear_answers(lookups)

    def read_answers(self) -> None:
        """Read the answers the kernels put aside."""
        lookups = self._lookups
        at = 0
        for size in lookups.sizes[: lookups.meta[ANSWERS_PUT_ASIDE]].tolist():
            self.learn(lookups.answers[at : at + size].tobytes())
            at += size
        clear_answers(lookups)

    def learn(self, answer: bytes) -> None:
        """Learn from one DNS message, whatever its bytes."""
        self._door.read(self._learn, answer)

    def _learn(self, message: bytes) -> None:
        """Learn from a message that can be read."""
        answer = read_answer(message)
        counts = self._counts
        counts["answers_unreadable"] += not answer.whole
        counts["records_unreadable"] += answer.unreadable
        counts["records_of_other_classes"] += answer.of_other_classes
        counts["records_skipped"] += answer.skipped
        for exchange in answer.exchanges:
            if len(exchange) > 1:  # not the null MX of RFC 7505
                hashed = watch_name(self._lookups, np.frombuffer(exchange, np.uint8))
                self._put(self._names, name_text(exchange), np.uint64(hashed))
        self._learn_addresses(answer)

    def _learn_addresses(self, answer: Answer) -> None:
        """Of known names: those asked for, through aliases, and those told beside an MX."""
        asked = name_text(answer.asked) if answer.asked is not None else ""
        for one in answer.addresses:
            owner = name_text(one.owner)
            name = owner if owner in self._names else asked if one.answers else ""
            if name in self._names:
                address = _number(one.packed)
                self._put(self._by_address, address, name)
                told(self._lookups.addresses, *_halves(address))

    def _put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        """Enter something new; what was learnt first makes room for it."""
        if key in table:
            return
        if len(table) == self._most:
            oldest = next(iter(table))
            gone = table.pop(oldest)
            self._counts["exchangers_forgotten"] += 1
            if isinstance(oldest, int):
                forget_address(self._lookups.addresses, *_halves(oldest))
            else:
                forget_name(self._lookups, gone)
        table[key] = value


def _halves(address: int) -> tuple[np.uint64, np.uint64]:
    """A number as kernels take it."""
    return np.uint64(address >> 64), np.uint64(address & (1 << 64) - 1)


def _number(packed: bytes) -> int:
    """An address as this sensor counts them."""
    number = int.from_bytes(packed)
    return number | MAPPED if len(packed) == 4 else number
