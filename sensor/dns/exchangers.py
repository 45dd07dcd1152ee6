"""Mail exchangers by name: what answers to MX questions, and to those for their addresses, tell.

A name proves nothing of an address, for whoever owns a domain can point it anywhere: names are
shown to people, and no score rests on them. The first name an address is seen under stays until the
address is forgotten. Beyond ``most`` names or addresses, those learnt first are forgotten.
"""

import ipaddress
from functools import cache, lru_cache
from typing import Any

import numpy as np

from sensor.addresses import as_int
from sensor.dns.lookups import ANSWERS_PUT_ASIDE, Lookups, expect, taken

__all__ = ["Exchangers", "provider"]


@cache
def _suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


@lru_cache(maxsize=65536)
def provider(name: str) -> str | None:
    """Whose ``name`` is: its registrable domain by the Public Suffix List, if it has one.

    >>> provider("gmail-smtp-in.l.google.com")
    'google.com'
    """
    found: str | None = _suffixes().privatesuffix(name)
    return found


class Exchangers:
    """Names and addresses learnt from DNS answers."""

    def __init__(self, lookups: Lookups, most: int) -> None:
        self._lookups = lookups
        self._most = most
        self._names: dict[str, None] = {}
        self._by_address: dict[int, str] = {}
        self.counters = {"exchangers_forgotten": 0, "answers_unreadable": 0}

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
            self._put(self._names, name, None)
        for address, name in state.get("addresses", ()):
            self._put(self._by_address, int(address, 16), name)

    def take(self) -> None:
        """Read the answers the kernels put aside."""
        lookups = self._lookups
        at = 0
        for size in lookups.sizes[: lookups.meta[ANSWERS_PUT_ASIDE]].tolist():
            self.learn(lookups.answers[at : at + size].tobytes())
            at += size
        taken(lookups)

    def learn(self, answer: bytes) -> None:
        """Learn from one DNS message."""
        import dns.exception
        import dns.message

        try:
            message = dns.message.from_wire(answer, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError, UnicodeError):
            self.counters["answers_unreadable"] += 1
            return
        self._learn_names(message)
        self._learn_addresses(message)

    def _learn_names(self, message: Any) -> None:
        import dns.rdatatype

        for records in message.answer:
            if records.rdtype == dns.rdatatype.MX:
                for record in records:
                    exchange = record.exchange
                    if len(exchange) > 1:  # not the null MX of RFC 7505
                        self._put(self._names, _text(exchange), None)
                        expect(self._lookups, np.frombuffer(exchange.to_wire(), np.uint8))

    def _learn_addresses(self, message: Any) -> None:
        """Of known names: those asked for, through aliases, and those told beside an MX."""
        import dns.rdatatype

        asked = _text(message.question[0].name) if message.question else ""
        told = [(r, asked) for r in message.answer] + [(r, "") for r in message.additional]
        for records, alias_of in told:
            if records.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
                owner = _text(records.name)
                name = owner if owner in self._names else alias_of
                if name in self._names:
                    for record in records:
                        address = as_int(ipaddress.ip_address(record.address))
                        self._put(self._by_address, address, name)

    def _put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        if key in table:
            return
        if len(table) == self._most:
            del table[next(iter(table))]
            self.counters["exchangers_forgotten"] += 1
        table[key] = value


def _text(name: Any) -> str:
    """A DNS name in lower case without the last dot; unprintable octets are escaped (RFC 4343)."""
    return str(name.to_text(omit_final_dot=True)).lower()
