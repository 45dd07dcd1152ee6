"""Names of addresses by DNS (PTR), kept for an hour.

Whoever owns an address writes its name: it proves nothing. Names are asked for when somebody looks,
a few at a time, with a bound.
"""

import collections
import threading
import time
from typing import TYPE_CHECKING, Final

from sensor.base.name_server import resolver
from sensor.base.terminal import printable

if TYPE_CHECKING:
    import dns.resolver

__all__ = ["Names"]

_KEPT: Final = 10_000
_AGE: Final = 3600.0
_PATIENCE: Final = 1.0
"""Seconds for one name."""
_NAME: Final = 255


class Names:
    """Names by DNS, kept for a while; the oldest go first."""

    def __init__(self, server: str) -> None:
        self._resolver: dns.resolver.Resolver = resolver(server, _PATIENCE)
        self._kept: collections.OrderedDict[str, tuple[float, str]] = collections.OrderedDict()
        self._lock = threading.Lock()

    def of(self, address: str, until: float) -> str:
        """Its name; empty where there is none, or no answer until then (monotonic)."""
        now = time.monotonic()
        with self._lock:
            at, name = self._kept.get(address, (-_AGE, ""))
        if now - at < _AGE:
            return name
        if now >= until:
            return ""
        name = self._ask(address)
        with self._lock:
            self._kept[address] = now, name
            self._kept.move_to_end(address)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return name

    def _ask(self, address: str) -> str:
        import dns.exception

        try:
            found = next(iter(self._resolver.resolve_address(address, search=False)), "")
        except (dns.exception.DNSException, OSError):
            return ""
        return printable(str(found).rstrip("."))[:_NAME]
