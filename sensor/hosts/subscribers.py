"""Who is whom, by longest-prefix match: subscribers, the provider's own servers, exempt hosts.

A subscriber is what one customer holds: an IPv4 address, or the IPv6 prefix delegated to them. Of
a CGN address shared by many, it is the block of ports each customer is given, where the operator
says how many ports that is (RFC 7422), else the whole address, marked as shared.

All prefixes are flattened into disjoint ranges with one class each, so a look-up is one binary
search whatever the nesting.
"""

import datetime
import ipaddress
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor.base import addresses
from sensor.base.kernel import kernel, table
from sensor.base.units import SECOND
from sensor.decode.segment import is_watched
from sensor.hosts.customer_key import is_customer, parse_pseudonym, pseudonym

__all__ = [
    "CLASS",
    "Exemption",
    "Network",
    "SubscriberPrefix",
    "Subscribers",
    "class_of",
    "classify",
    "compile_subscribers",
    "host_of",
    "host_text",
    "parse_host",
    "subscriber_key",
    "where",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DELEGATED: Final = 64
"""Prefix length an IPv6 subscriber is folded to unless a prefix says otherwise."""

CLASS = np.dtype(
    [
        ("subscriber", np.uint8),
        ("own", np.uint8),  # the provider's own mail server
        ("shared", np.uint8),  # many customers behind one address, not told apart
        ("fold", np.uint8),  # prefix length of one subscriber, of 128
        ("ports", np.int32),  # ports of one subscriber of a shared address, or 0
        ("exempt", np.int32),  # row of the exemption, or -1
        ("exempt_until", np.int64),  # ns since 1970
    ],
    align=True,
)


class SubscriberPrefix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One range of subscribers."""

    prefix: str
    delegated: Annotated[int, msgspec.Meta(ge=16, le=128)] | None = None
    """IPv6: length of the prefix one customer holds (64)"""
    cgn: bool = False
    """IPv4: each address is shared by many customers"""
    ports_per_subscriber: Annotated[int, msgspec.Meta(ge=1, le=32768)] | None = None
    """CGN: ports one customer is given, counted from 0"""


class Exemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host, range or customer never to be alerted on or blocked, why, and until when."""

    prefix: str
    """an address, a prefix, or a customer's pseudonym: he is exempt wherever he is"""
    reason: Annotated[str, msgspec.Meta(min_length=1)]
    until: datetime.date
    """the last day, UTC"""


class Subscribers(NamedTuple):
    """The compiled ranges, as kernels take them."""

    starts_hi: NDArray[np.uint64]
    starts_lo: NDArray[np.uint64]
    """first address of each range, ascending; the first range starts at zero"""
    of_range: NDArray[np.int32]
    """row of ``classes`` of each range"""
    classes: NDArray[np.void]
    """dtype CLASS"""


def _network(text: str) -> Network:
    """Parse a prefix, IPv4 or IPv6; ValueError says what is wrong."""
    return ipaddress.ip_network(text)


def _span(network: Network) -> tuple[int, int]:
    first = addresses.as_int(network.network_address)
    return first, first + network.num_addresses


def _span_of_exempt(text: str) -> tuple[int, int]:
    if (key := parse_pseudonym(text)) is None:
        return _span(_network(text))
    first = key[0] << 64 | key[1]
    return first, first + 1


def compile_subscribers(
    prefixes: tuple[SubscriberPrefix, ...] = (),
    own_mail_servers: tuple[str, ...] = (),
    exempt: tuple[Exemption, ...] = (),
) -> Subscribers:
    """Flatten the settings. Without ``prefixes`` everyone is a subscriber.

    The longest prefix wins, in each of the three lists by itself. ValueError names a bad prefix.
    """
    nested: list[tuple[int, int, str, Any]] = [
        *((*_span(_network(entry.prefix)), "subscriber", entry) for entry in prefixes),
        *((*_span(_network(text)), "own", True) for text in own_mail_servers),
        *((*_span_of_exempt(e.prefix), "exempt", (row, e)) for row, e in enumerate(exempt)),
    ]
    bounds = sorted(
        {0, 0xFFFF << 32, 0x10000 << 32} | {n[0] for n in nested} | {n[1] for n in nested}
    )
    bounds = [bound for bound in bounds if bound < 1 << 128]
    # Outer prefixes before inner ones, so that a later assignment is always the longer prefix.
    nested.sort(key=lambda n: (n[0], -n[1]))
    classes: dict[tuple[Any, ...], int] = {}
    of_range = []
    open_at: list[tuple[int, int, str, Any]] = []
    following = iter(nested)
    upcoming = next(following, None)
    for start in bounds:
        open_at = [n for n in open_at if n[1] > start]
        while upcoming is not None and upcoming[0] == start:
            open_at.append(upcoming)
            upcoming = next(following, None)
        holds: dict[str, Any] = {n[2]: n[3] for n in open_at}
        ipv4 = 0xFFFF << 32 <= start < 0x10000 << 32
        found = _class(holds, ipv4, everyone=not prefixes)
        of_range.append(classes.setdefault(found, len(classes)))
    half = (1 << 64) - 1
    rows = table(len(classes), CLASS)
    rows[:] = list(classes)
    return Subscribers(
        np.array([bound >> 64 for bound in bounds], np.uint64),
        np.array([bound & half for bound in bounds], np.uint64),
        np.array(of_range, np.int32),
        rows,
    )


def _class(holds: dict[str, Any], ipv4: bool, everyone: bool) -> tuple[Any, ...]:
    """One row of CLASS from what holds for a range."""
    prefix: SubscriberPrefix | None = holds.get("subscriber")
    row, until = -1, 0
    if "exempt" in holds:
        row, exemption = holds["exempt"]
        day_after = exemption.until + datetime.timedelta(days=1)
        midnight = datetime.datetime.combine(day_after, datetime.time(), datetime.UTC)
        until = int(midnight.timestamp()) * SECOND
    ports = 0
    if ipv4 and prefix is not None and prefix.cgn:
        ports = prefix.ports_per_subscriber or 0
    shared = ipv4 and prefix is not None and prefix.cgn and not ports
    length = 128 if ipv4 else (prefix.delegated if prefix and prefix.delegated else DELEGATED)
    return everyone or prefix is not None, "own" in holds, shared, length, ports, row, until


_ZERO = np.uint64(0)
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel
def classify(subscribers, hi, lo):
    """The class (row of ``classes``) of an address."""
    low = 0
    high = subscribers.starts_lo.shape[0]
    while high - low > 1:
        middle = (low + high) >> 1
        start = subscribers.starts_hi[middle]
        if start < hi or (start == hi and subscribers.starts_lo[middle] <= lo):
            low = middle
        else:
            high = middle
    return np.int64(subscribers.of_range[low])


@kernel
def subscriber_key(class_, hi, lo, port):
    """The key of the subscriber who uses an address and port: ``(hi, lo)``.

    A port block stands in the upper half of an IPv4 key, which is otherwise zero.
    """
    length = np.int64(class_.fold)
    if class_.ports:
        return np.uint64(port // class_.ports + 1), lo
    if length >= 128:
        return hi, lo
    if length > 64:
        return hi, lo & (_FULL << np.uint64(128 - length))
    if length == 64:
        return hi, _ZERO
    return hi & (_FULL << np.uint64(64 - length)), _ZERO


@kernel
def host_of(segments, watched, subscribers, key, mine):
    """Set ``mine`` (bool, one a segment) for the ``segments`` of the subscriber ``key``.

    The subscriber is who speaks to a port of ``watched``, or is spoken to from one.
    """
    for k in range(segments.shape[0]):
        s = segments[k]
        if is_watched(watched, s.dport):
            hi, lo, port = s.src_hi, s.src_lo, np.int64(s.sport)
        else:
            hi, lo, port = s.dst_hi, s.dst_lo, np.int64(s.dport)
        key_hi, key_lo = subscriber_key(
            subscribers.classes[classify(subscribers, hi, lo)], hi, lo, port
        )
        mine[k] = key_hi == key[0] and key_lo == key[1]


def host_text(hi: int, lo: int, length: int, ports: int) -> str:
    """A subscriber as people write it: ``192.0.2.1``, ``2001:db8::/64``, ``192.0.2.1:0-2047``.

    A known customer as his pseudonym: ``c-0123456789abcdef01234567``.
    """
    if is_customer(np.uint64(hi)):
        return pseudonym(hi, lo)
    if ports:
        first = (hi - 1) * ports
        return f"{addresses.text(0, lo)}:{first}-{min(first + ports, 65536) - 1}"
    return addresses.network_text(hi, lo, length)


def where(host: str) -> tuple[Network, tuple[int, int] | None]:
    """Addresses and ports of a subscriber, as :func:`host_text` writes it; ValueError if none is.

    >>> where("100.64.0.7:1024-2047")
    (IPv4Network('100.64.0.7/32'), (1024, 2047))
    >>> where("2001:db8:1:2::/64")
    (IPv6Network('2001:db8:1:2::/64'), None)
    """
    if host.count(":") == 1:
        address, _, ports = host.partition(":")
        first, _, last = ports.partition("-")
        return ipaddress.ip_network(address), (int(first), int(last))
    return ipaddress.ip_network(host), None


def class_of(subscribers: Subscribers, hi: int, lo: int) -> int:
    """The row in ``classes`` of the subscriber with a key."""
    # The upper half of an IPv4 key is a port block, not a part of the address.
    address = 0 if addresses.is_ipv4(0, lo) else hi
    return int(classify(subscribers, np.uint64(address), np.uint64(lo)))


def parse_host(text: str, subscribers: Subscribers) -> tuple[int, int]:
    """The key of the subscriber a person names, by any address of theirs; ValueError if it is none.

    Takes what :func:`host_text` gives, and plain addresses. Of a shared address with port blocks
    the port must be named: ``192.0.2.1:1024``.
    """
    if (key := parse_pseudonym(text)) is not None:
        return key
    port = 0
    if text.count(":") == 1:
        text, _, ports = text.partition(":")
        port = int(ports.partition("-")[0])
        if not 0 <= port < 65536:
            raise ValueError(f"{port} is no port")
    address = ipaddress.ip_address(text.partition("/")[0])
    number = addresses.as_int(address)
    hi, lo = np.uint64(number >> 64), np.uint64(number & (1 << 64) - 1)
    class_ = subscribers.classes[classify(subscribers, hi, lo)]
    key_hi, key_lo = subscriber_key(class_, hi, lo, port)
    return int(key_hi), int(key_lo)
