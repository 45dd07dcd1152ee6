"""Leases as people and sources write them: CSV with a header, or JSON lines with the same keys.

    from,until,prefix,ports,customer
    2025-06-15T15:00:00Z,2025-06-15T15:10:00Z,203.0.113.7,,alice
    1750000200000000000,,100.64.0.7,1024-2047,bob

A running sensor keeps what it is told in the same form (``journal``), but for two columns: the
``pseudonym`` in place of the name, and when it was ``told``, before which a lease has no effect.

Times are RFC 3339 or nanoseconds since 1970; without ``until`` a lease lasts until told otherwise:
by the same line with an end, or by the next lease of the prefix. What cannot be taken is said with
a code of ``leases`` in the catalogue.
"""

import datetime
import ipaddress
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from sensor.base.addresses import MAPPED
from sensor.base.sentences import Sentence, sentence
from sensor.base.units import SECOND
from sensor.customers.layout import ADDRESS_BITS, MOST_BITS
from sensor.hosts.customer_key import customer_key, parse_pseudonym

__all__ = ["HEADER", "KEPT", "LATEST", "LONGEST_LINE", "LineError", "Reader", "Told", "pieces"]

HEADER: Final[tuple[str, ...]] = ("from", "until", "prefix", "ports", "customer")
KEPT: Final[tuple[str, ...]] = ("from", "until", "prefix", "ports", "pseudonym", "told")
"""The header of what a sensor keeps."""
LONGEST_NAME: Final = 253
"""Bytes: what a RADIUS attribute holds."""
LONGEST_LINE: Final = 4096
LATEST: Final = 1 << 62
"""ns; the year 2116."""
_IPV4_BITS: Final = 96


class Told(NamedTuple):
    """A lease as it was told, of one prefix."""

    since: int
    """ns since 1970"""
    until: int
    """0: not told"""
    hi: int
    lo: int
    port: int
    bits: int
    customer: tuple[int, int]
    """the key"""
    told: int = 0
    """before which it has no effect; 0: not said"""


class LineError(ValueError):
    """A line that gives no lease; ``why`` says it with a code of ``leases``."""

    def __init__(self, why: Sentence) -> None:
        super().__init__(why.text)
        self.why = why


class Reader:
    """Reads one line after the other of a file, a pipe, a source."""

    def __init__(
        self,
        secret: bytes,
        widest_ipv4: int,
        widest_ipv6: int,
        heard: Callable[[str, tuple[int, int]], None] = lambda _name, _key: None,
    ) -> None:
        """``secret`` makes pseudonyms; a prefix that is shorter than the widest is no customer's.

        ``heard`` is told each name with its key.

        Raises nothing; :meth:`read` does.
        """
        self._widest = {4: widest_ipv4, 6: widest_ipv6}
        self._key = lru_cache(maxsize=65_536)(lambda name: customer_key(name, secret))
        self._heard = heard
        self._header = HEADER

    @property
    def reads_kept(self) -> bool:
        """Whether the lines are those a sensor keeps."""
        return self._header is KEPT

    def begin(self, line: str) -> bool:
        """Take the first line of a file, where it is a header; False: it is none, nor JSON."""
        for header in (HEADER, KEPT):
            if line.strip() == ",".join(header):
                self._header = header
                return True
        return False

    def fields(self, line: str) -> dict[str, str]:
        """The texts of a line, by the header. Raises LineError."""
        line = line.rstrip("\r\n")
        if len(line) > LONGEST_LINE:
            raise LineError(sentence("leases.long_line", most=LONGEST_LINE))
        if line.lstrip().startswith("{"):
            return _of_json(line)
        values = _of_csv(line)
        needed = len(self._header)
        if len(values) != needed:
            header = ",".join(self._header)
            raise LineError(
                sentence("leases.fields", fields=len(values), needed=needed, header=header)
            )
        return dict(zip(self._header, values, strict=True))

    def read(self, line: str) -> Iterator[Told]:
        """The leases of a line: several where its ports are no aligned block. Raises LineError."""
        fields = self.fields(line)
        since = _moment(fields["from"], "from")
        until = _moment(fields["until"], "until") if fields["until"] else 0
        if until and until <= since:
            raise LineError(sentence("leases.backwards"))
        hi, lo, bits = self._prefix(fields["prefix"])
        ports = _ports(fields["ports"], bits, hi, lo)
        told = _moment(fields["told"], "told") if "told" in fields else 0
        key = self._customer(fields)
        for port, length in pieces(*ports) if ports else ((0, bits),):
            yield Told(since, until, hi, lo, port, length, key, told)

    def _customer(self, fields: dict[str, str]) -> tuple[int, int]:
        """The key of whose the lease is. Raises LineError."""
        if "pseudonym" in fields:
            key = parse_pseudonym(fields["pseudonym"])
            if key is None:
                raise LineError(sentence("leases.pseudonym", text=fields["pseudonym"][:40]))
            return key
        name = fields["customer"]
        if not name or not name.isprintable() or len(name.encode()) > LONGEST_NAME:
            raise LineError(sentence("leases.customer", most=LONGEST_NAME))
        key = self._key(name)
        self._heard(name, key)
        return key

    def _prefix(self, text: str) -> tuple[int, int, int]:
        """A prefix as ``(hi, lo, bits)``. Raises LineError."""
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise LineError(sentence("leases.prefix", error=str(error)[:100])) from None
        widest = self._widest[network.version]
        if network.prefixlen < widest:
            raise LineError(sentence("leases.too_wide", prefix=str(network), widest=widest))
        first = int(network.network_address)
        if network.version == 4:
            return 0, MAPPED | first, _IPV4_BITS + network.prefixlen
        if first >> 120 == 0xFF or first >> 32 in (0, 0xFFFF):
            raise LineError(sentence("leases.prefix", error=f"{network} is no customer's"))
        return first >> 64, first & (1 << 64) - 1, network.prefixlen


def _of_json(line: str) -> dict[str, str]:
    try:
        raw = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise LineError(sentence("leases.json", error=str(error)[:100])) from None
    given = {name: raw.get(name) for name in HEADER}
    texts = {name: str(v) if type(v) in (str, int) else "" for name, v in given.items()}
    if any(type(given[name]) not in (str, int) for name in ("from", "prefix", "customer")):
        names = ",".join(HEADER)
        raise LineError(
            sentence("leases.fields", fields=len(raw), needed=len(HEADER), header=names)
        )
    return texts


def _of_csv(line: str) -> list[str]:
    if '"' not in line:
        return line.split(",")
    values, rest = [], line
    while True:
        if rest.startswith('"'):
            end = rest.replace('""', "\0\0").find('"', 1)
            if end < 0:
                raise LineError(sentence("leases.quote"))
            values.append(rest[1:end].replace('""', '"'))
            rest = rest[end + 1 :]
        else:
            value, _, _ = rest.partition(",")
            values.append(value)
            rest = rest[len(value) :]
        if not rest:
            return values
        if not rest.startswith(","):
            raise LineError(sentence("leases.quote"))
        rest = rest[1:]


@lru_cache(maxsize=1024)
def _moment(text: str, which: str) -> int:
    """A time in ns since 1970. Raises LineError."""
    try:
        if text.isascii() and text.isdigit():
            ns = int(text)
        else:
            time = datetime.datetime.fromisoformat(text)
            if time.tzinfo is None:
                raise ValueError
            # Not by floating point, which has no microseconds left for a time of today.
            since = time - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
            ns = (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000
    except ValueError:
        raise LineError(sentence("leases.time", which=which, text=text[:40])) from None
    if not 0 <= ns < LATEST:
        raise LineError(sentence("leases.time", which=which, text=text[:40]))
    return ns


def _ports(text: str, bits: int, hi: int, lo: int) -> tuple[int, int] | None:
    """First and last port, None for all. Raises LineError."""
    if not text:
        return None
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal()):
        raise LineError(sentence("leases.ports", text=text[:40]))
    ports = int(first), int(last)
    if not 0 <= ports[0] <= ports[1] < 65_536:
        raise LineError(sentence("leases.ports", text=text[:40]))
    if bits != ADDRESS_BITS or hi or lo >> 32 != 0xFFFF:
        raise LineError(sentence("leases.ports_of_many"))
    return ports


def pieces(first: int, last: int) -> Iterator[tuple[int, int]]:
    """A range of ports as aligned blocks: the first port of each, and its ``bits``.

    >>> list(pieces(1024, 2047)), list(pieces(1000, 1007))
    ([(1024, 134)], [(1000, 141)])
    >>> list(pieces(2000, 2011))
    [(2000, 141), (2008, 142)]
    """
    while first <= last:
        size = first & -first or 65_536
        while first + size - 1 > last:
            size >>= 1
        yield first, MOST_BITS - (size.bit_length() - 1)
        first += size
