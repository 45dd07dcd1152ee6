"""Whose a shared address is, where a rule says it: nobody tells of leases, for none ever changes.

**Deterministic CGN** (RFC 7422): inside addresses, in their order, have equal blocks of ports of
outside addresses, in theirs. The customer is known by his inside address.

**MAP-E** (RFC 7597): of the customer's IPv6 prefix, the bits behind the rule's are the rest of his
IPv4 address and his port set (PSID)::

    | rule IPv6 prefix | EA bits: IPv4 suffix, PSID | the customer's own       |
    port = | A: offset bits, not 0 | PSID | j |        one range for each A

He is known by his IPv6 prefix, which is his, too. Without a PSID the IPv4 address is all his.

**Lightweight 4over6** (RFC 7596): which address and port set a customer has is not in his prefix;
the provider binds them. Where he does so in order, that is a rule: the first customer's prefix has
the first port set of the first address, and so on. Port sets are those of MAP-E.
"""

import ipaddress
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from sensor.base.addresses import MAPPED
from sensor.base.sentences import Sentence
from sensor.customers.layout import ADDRESS_BITS
from sensor.leases.intake import Intake
from sensor.leases.lines import LATEST, Told, pieces
from sensor.leases.settings import (
    CgnRule,
    CustomerSettings,
    LeaseSettingsError,
    Lw4o6Rule,
    MapRule,
)

__all__ = ["Computed", "check_rules", "leases_of"]

_PORTS: Final = 65_536
_AT_ONCE: Final = 2000
_HALF: Final = (1 << 64) - 1

Rule = CgnRule | MapRule | Lw4o6Rule
Lease = tuple[str, int, int, int, int]
"""Customer, upper and lower half of the prefix, first port, bits."""


def leases_of(rule: Rule) -> Iterator[Lease]:
    """All that a rule gives. It must have been checked."""
    match rule:
        case CgnRule():
            return _of_cgn(rule)
        case MapRule():
            return _of_map(rule)
        case Lw4o6Rule():
            return _of_lw4o6(rule)


def check_rules(settings: CustomerSettings, most: int) -> None:
    """Raises LeaseSettingsError where a rule cannot be, or all give more than ``most`` leases."""
    count = 0
    for n, cgn in enumerate(settings.cgn):
        count += _guarded(f"customers.cgn[{n}]", cgn)
    for n, map_e in enumerate(settings.map_e):
        count += _guarded(f"customers.map_e[{n}]", map_e)
    for n, lw4o6 in enumerate(settings.lw4o6):
        count += _guarded(f"customers.lw4o6[{n}]", lw4o6)
    if count > most:
        raise LeaseSettingsError(
            f"customers: the rules give {count:,} leases, limits.max_leases are {most:,}"
        )


def _guarded(where: str, rule: Rule) -> int:
    try:
        match rule:
            case CgnRule():
                return _count_cgn(rule)
            case MapRule():
                return _count_map(rule)
            case Lw4o6Rule():
                return _count_lw4o6(rule)
    except ValueError as error:
        raise LeaseSettingsError(f"{where}: {error}") from None


# --- deterministic CGN ---------------------------------------------------------------------------


def _count_cgn(rule: CgnRule) -> int:
    inside, outside = ipaddress.IPv4Network(rule.inside), ipaddress.IPv4Network(rule.outside)
    each = (_PORTS - rule.first_port) // rule.ports
    if not each:
        raise ValueError(f"no block of {rule.ports:,} ports begins at {rule.first_port} or above")
    if inside.num_addresses > outside.num_addresses * each:
        raise ValueError(
            f"{inside} has {inside.num_addresses:,} customers, {outside} has room for"
            f" {outside.num_addresses * each:,}"
        )
    first = rule.first_port
    starts = range(first, first + each * rule.ports, rule.ports)
    blocks = [list(pieces(port, port + rule.ports - 1)) for port in starts]
    whole, rest = divmod(inside.num_addresses, each)
    return whole * sum(map(len, blocks)) + sum(map(len, blocks[:rest]))


def _of_cgn(rule: CgnRule) -> Iterator[Lease]:
    inside, outside = ipaddress.IPv4Network(rule.inside), ipaddress.IPv4Network(rule.outside)
    each = (_PORTS - rule.first_port) // rule.ports
    for n, customer in enumerate(inside):
        address, block = divmod(n, each)
        first = rule.first_port + block * rule.ports
        lo = MAPPED | int(outside.network_address) + address
        for port, bits in pieces(first, first + rule.ports - 1):
            yield str(customer), 0, lo, port, bits


# --- MAP-E ---------------------------------------------------------------------------------------


def _count_map(rule: MapRule) -> int:
    ipv4, ipv6 = ipaddress.IPv4Network(rule.ipv4), ipaddress.IPv6Network(rule.ipv6)
    psid = rule.ea_bits - (32 - ipv4.prefixlen)
    if psid < 0:
        raise ValueError(f"{rule.ea_bits} EA bits are too few for the rest of {ipv4}")
    if rule.psid_offset + psid > 16:
        raise ValueError(f"{psid} bits of PSID behind {rule.psid_offset} are more than a port has")
    if ipv6.prefixlen + rule.ea_bits > 64:
        raise ValueError(f"{ipv6} with {rule.ea_bits} EA bits is longer than /64")
    ranges = max(1, (1 << rule.psid_offset) - 1) if psid else 1
    return (1 << rule.ea_bits) * (ranges + 1)


def _of_map(rule: MapRule) -> Iterator[Lease]:
    ipv4, ipv6 = ipaddress.IPv4Network(rule.ipv4), ipaddress.IPv6Network(rule.ipv6)
    psid_bits = rule.ea_bits - (32 - ipv4.prefixlen)
    length = ipv6.prefixlen + rule.ea_bits
    for ea in range(1 << rule.ea_bits):
        prefix = int(ipv6.network_address) | ea << 128 - length
        customer = f"{ipaddress.IPv6Address(prefix)}/{length}"
        yield customer, prefix >> 64, prefix & _HALF, 0, length
        lo = MAPPED | int(ipv4.network_address) + (ea >> psid_bits)
        if not psid_bits:
            yield customer, 0, lo, 0, ADDRESS_BITS
            continue
        psid = ea & (1 << psid_bits) - 1
        yield from _shared(customer, lo, psid, psid_bits, rule.psid_offset)


def _shared(customer: str, lo: int, psid: int, psid_bits: int, offset: int) -> Iterator[Lease]:
    for first, last in port_sets(psid, psid_bits, offset):
        for port, bits in pieces(first, last):
            yield customer, 0, lo, port, bits


def port_sets(psid: int, psid_bits: int, offset: int) -> Iterator[tuple[int, int]]:
    """The ranges of ports of a PSID (RFC 7597, 5.1).

    >>> ranges = list(port_sets(0x34, 8, 6))
    >>> ranges[0], ranges[-1], len(ranges)
    ((1232, 1235), (64720, 64723), 63)
    """
    size = 1 << 16 - offset - psid_bits
    for a in range(1 if offset else 0, 1 << offset):
        first = a << 16 - offset | psid * size
        yield first, first + size - 1


# --- lightweight 4over6 --------------------------------------------------------------------------


def _count_lw4o6(rule: Lw4o6Rule) -> int:
    ipv4, ipv6 = ipaddress.IPv4Network(rule.ipv4), ipaddress.IPv6Network(rule.ipv6)
    if rule.psid_offset + rule.psid_bits > 16:
        raise ValueError(
            f"{rule.psid_bits} bits of PSID behind {rule.psid_offset} are more than a port has"
        )
    if rule.delegated < ipv6.prefixlen:
        raise ValueError(f"/{rule.delegated} is wider than {ipv6}")
    each = _sets_of(rule)
    if each < 1:
        raise ValueError(f"no PSID of {rule.psid_bits} bits is {rule.first_psid} or above")
    customers = 1 << rule.delegated - ipv6.prefixlen
    if customers > ipv4.num_addresses * each:
        raise ValueError(
            f"{ipv6} has {customers:,} customers, {ipv4} has room for {ipv4.num_addresses * each:,}"
        )
    ranges = max(1, (1 << rule.psid_offset) - 1) if rule.psid_bits else 1
    return customers * (ranges + 1)


def _sets_of(rule: Lw4o6Rule) -> int:
    """Of one address; without PSIDs one customer has all of it."""
    return (1 << rule.psid_bits) - rule.first_psid if rule.psid_bits else 1


def _of_lw4o6(rule: Lw4o6Rule) -> Iterator[Lease]:
    ipv4, ipv6 = ipaddress.IPv4Network(rule.ipv4), ipaddress.IPv6Network(rule.ipv6)
    for n in range(1 << rule.delegated - ipv6.prefixlen):
        prefix = int(ipv6.network_address) | n << 128 - rule.delegated
        customer = f"{ipaddress.IPv6Address(prefix)}/{rule.delegated}"
        yield customer, prefix >> 64, prefix & _HALF, 0, rule.delegated
        address, place = divmod(n, _sets_of(rule))
        lo = MAPPED | int(ipv4.network_address) + address
        if rule.psid_bits:
            psid = rule.first_psid + place
            yield from _shared(customer, lo, psid, rule.psid_bits, rule.psid_offset)
        else:
            yield customer, 0, lo, 0, ADDRESS_BITS


class _Rules(msgspec.Struct, frozen=True):
    cgn: tuple[CgnRule, ...]
    map_e: tuple[MapRule, ...]
    lw4o6: tuple[Lw4o6Rule, ...] = ()

    @property
    def all_(self) -> Sequence[Rule]:
        return (*self.cgn, *self.map_e, *self.lw4o6)


# --- as a source ---------------------------------------------------------------------------------


class Computed:
    """``customers.cgn``, ``map_e``, ``lw4o6``; see ``Source``. The position is the rules told."""

    name = "rules"

    def __init__(self, settings: CustomerSettings, most: int) -> None:
        """Raises LeaseSettingsError; LeaseFileError where there is no secret."""
        check_rules(settings, most)
        self.intake = Intake("customers.cgn, map_e and lw4o6", settings)
        self._kept = _Rules(settings.cgn, settings.map_e, settings.lw4o6)
        self._rules: Sequence[Rule] = self._kept.all_
        self._told: Iterator[Told] = iter(())
        self._done = False

    @property
    def position(self) -> str:
        """See ``Source``."""
        return msgspec.json.encode(self._kept).decode() if self._done else ""

    def open(self, position: str) -> None:
        """See ``Source``."""
        now = self.intake.now()
        self._told = self._changes(_rules_of(position), now)

    def turn(self, seconds: float) -> None:
        """See ``Source``."""
        some = list(itertools.islice(self._told, _AT_ONCE))
        if not some:
            self._done = True
            time.sleep(seconds)
        self.intake.tell(some, Sentence("leases.by_rule"))

    def taken(self) -> None:
        """See ``Source``."""

    def counters(self) -> dict[str, int]:
        """See ``Source``."""
        return {}

    def _changes(self, before: Sequence[Rule], now: int) -> Iterator[Told]:
        """What is no more so ends; then what is new begins."""
        for rule in before:
            if rule not in self._rules:
                yield from self.told(rule, now - 1, now)
        for rule in self._rules:
            if rule not in before:
                yield from self.told(rule, now, LATEST - 1)

    def told(self, rule: Rule, since: int, until: int) -> Iterator[Told]:
        """The leases of a rule."""
        for customer, hi, lo, port, bits in leases_of(rule):
            yield Told(since, until, hi, lo, port, bits, self.intake.key_of(customer))

    def tell_all(self) -> bytes:
        """For a replay: all leases (dtype CHANGE), from the beginning of time."""
        for rule in self._rules:
            self.intake.tell(self.told(rule, 0, LATEST - 1), Sentence("leases.by_rule"))
        return self.intake.drain(len(self.intake)).rows


def _rules_of(position: str) -> Sequence[Rule]:
    try:
        return msgspec.json.decode(position, type=_Rules).all_ if position else ()
    except msgspec.DecodeError:
        return ()
