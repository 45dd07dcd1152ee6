"""Are own addresses on lists that are asked by DNS (RFC 5782)?

Asked are hosts with an open alert, a bounded number a round, one after the other. A list must say
that it has 127.0.0.2 and that it has not 127.0.0.1: one that says yes to everything, or to nobody
from here, is not believed. Of IPv6 those are ::FFFF:7F00:2 and ::FFFF:7F00:1 (section 5); a list
without the first has no IPv6, and is not asked about it. Answers outside of 127.0.0.0/8 are none.
"""

import ipaddress
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from sensor.base.terminal import printable
from sensor.complaints.complaint import Complaint, ComplaintError

if TYPE_CHECKING:
    import dns.resolver

__all__ = ["PATIENCE", "ask"]

PATIENCE: Final = 3.0
"""Seconds for one question."""
_WORD: Final = 200
_LOCAL: Final = ipaddress.ip_network("127.0.0.0/8")


def _asked(of: "dns.resolver.Resolver", name: str, kind: str) -> list[Any]:
    """Answers; none where the name does not exist. Raises DNSException."""
    import dns.resolver

    try:
        return list(of.resolve(name, kind, search=False))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []


def _name(address: str, zone: str) -> str:
    pointer = ipaddress.ip_address(address).reverse_pointer
    return f"{pointer.removesuffix('.in-addr.arpa').removesuffix('.ip6.arpa')}.{zone}."


def _on(of: "dns.resolver.Resolver", address: str, zone: str) -> bool:
    found = [ipaddress.ip_address(str(one)) for one in _asked(of, _name(address, zone), "A")]
    return any(one in _LOCAL and str(one) != "127.255.255.254" for one in found)


_TESTS: Final = {4: ("127.0.0.2", "127.0.0.1"), 6: ("::ffff:7f00:2", "::ffff:7f00:1")}
"""By version: what every list has, and what none has."""


def _families(of: "dns.resolver.Resolver", zone: str, versions: set[int]) -> set[int]:
    """What a list can be asked about. Raises ValueError where it is not to be believed."""
    found = set()
    for version in versions:
        there, not_there = _TESTS[version]
        has = _on(of, there, zone)
        if _on(of, not_there, zone) or not (has or version == 6):
            raise ValueError("it fails its own test addresses")
        if has:
            found.add(version)
    return found


def ask(
    of: "dns.resolver.Resolver", zones: Iterable[str], addresses: Iterable[str], most: int
) -> Iterator[Complaint | ComplaintError]:
    """What lists say of addresses, ``most`` questions at most."""
    import dns.exception

    wanted = [(one, ipaddress.ip_address(one).version) for one in addresses]
    for zone in zones:
        try:
            families = _families(of, zone, {4, *(version for _, version in wanted)})
            for address, version in wanted:
                if version not in families:
                    continue
                if most <= 0:
                    return
                most -= 1
                if _on(of, address, zone):
                    said = _asked(of, _name(address, zone), "TXT")
                    words = printable(str(said[0]).strip('"'))[:_WORD] if said else ""
                    now = time.time_ns()
                    yield Complaint("list", zone, "listed", address, 0, now, 1, words, received=now)
        except ValueError as error:
            yield ComplaintError("refused_list", f"{zone}: {error}"[:_WORD])
        except dns.exception.DNSException as error:
            yield ComplaintError("refused_list", f"{zone}: {type(error).__name__}: {error}"[:_WORD])
