"""Whose an address is: autonomous systems from a table on disk. Nobody is asked.

The table is a CSV file (``prefix,asn,name``), one as pyasn writes them (``prefix<TAB>asn``; ``;``
begins a comment), or a MaxMind database (``.mmdb``, with the optional ``maxminddb``). Of nested
prefixes the longest counts. A file that was replaced is read again.
"""

import contextlib
import csv
import ipaddress
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sensor.base.extras import missing
from sensor.base.terminal import printable

__all__ = ["Networks", "NetworksError", "System"]

_NAME: Final = 100
_LINES: Final = 5_000_000


class System(NamedTuple):
    """An autonomous system; 0 and "": none is known."""

    number: int = 0
    name: str = ""


class NetworksError(Exception):
    """The table cannot be used; the text names file and line."""


class _Table(Protocol):
    def of(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> System: ...


class _Prefixes:
    """Of a text file: for each length sorted beginnings, and whose they are."""

    def __init__(self, lines: Iterable[str], path: Path) -> None:
        found: dict[tuple[int, int], dict[int, int]] = {}
        self._names: dict[int, str] = {}
        for prefix, number, name in _rows(lines, path):
            first = int(prefix.network_address) >> (prefix.max_prefixlen - prefix.prefixlen)
            if first < 1 << 64:  # an IPv6 prefix longer than that is a host's
                found.setdefault((prefix.version, prefix.prefixlen), {})[first] = number
            if name:
                self._names[number] = name
        self._tables: list[tuple[int, int, NDArray[np.uint64], NDArray[np.uint32]]] = []
        for version, length in sorted(found, reverse=True):
            mine = sorted(found.pop((version, length)).items())
            firsts = np.array([first for first, _ in mine], np.uint64)
            numbers = np.array([number for _, number in mine], np.uint32)
            self._tables.append((version, length, firsts, numbers))

    def of(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> System:
        """The longest prefix that it lies in."""
        for version, length, firsts, numbers in self._tables:
            first = int(address) >> (address.max_prefixlen - length)
            if version == address.version and first < 1 << 64:
                at = int(np.searchsorted(firsts, np.uint64(first)))
                if at < len(firsts) and int(firsts[at]) == first:
                    number = int(numbers[at])
                    return System(number, self._names.get(number, ""))
        return System()


def _rows(
    lines: Iterable[str], path: Path
) -> Iterator[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, int, str]]:
    for nth, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text[0] in "#;" or text.lower().startswith(("prefix", "network")):
            continue
        try:
            fields = text.split("\t") if "\t" in text else next(csv.reader([text]))
            number = int(fields[1].strip().upper().removeprefix("AS"))
            if not 0 <= number < 1 << 32 or nth > _LINES:
                raise ValueError(f"{number}")
            name = printable(fields[2].strip())[:_NAME] if len(fields) > 2 else ""
            yield ipaddress.ip_network(fields[0].strip(), strict=False), number, name
        except (ValueError, IndexError, csv.Error) as error:
            wanted = "expected prefix,asn[,name]"
            raise NetworksError(f"{path}: line {nth}: {wanted}: {error}") from None


class _MaxMind:
    """Of a MaxMind database."""

    def __init__(self, path: Path) -> None:
        try:
            import maxminddb
        except ModuleNotFoundError:
            raise NetworksError(f"{path}: {missing('maxminddb')}") from None
        try:
            self._database = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
        except (maxminddb.InvalidDatabaseError, TypeError) as error:
            raise NetworksError(f"{path}: {error}") from None
        self._broken = maxminddb.InvalidDatabaseError

    def of(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> System:
        """As the database says."""
        try:
            found: Any = self._database.get(address)
        except (ValueError, self._broken):
            return System()
        if not isinstance(found, dict) or not isinstance(
            number := found.get("autonomous_system_number"), int
        ):
            return System()
        name = str(found.get("autonomous_system_organization", ""))
        return System(number, printable(name)[:_NAME])


class Networks:
    """A table, read when it is first asked, and again when the file is another."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        if self._path.suffix == ".mmdb":
            with contextlib.suppress(ModuleNotFoundError):
                import maxminddb  # noqa: F401  (later is too late: root is another then)
        self._read: tuple[tuple[int, int], _Table] | None = None

    def of(self, address: str) -> System:
        """Whose an address is. Raises NetworksError."""
        try:
            found = self._path.stat()
            mark = found.st_mtime_ns, found.st_ino
            if self._read is None or self._read[0] != mark:
                self._read = mark, self._load()
            return self._read[1].of(ipaddress.ip_address(address))
        except OSError as error:
            raise NetworksError(f"{self._path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise NetworksError(f"{self._path}: {error}") from None

    def _load(self) -> _Table:
        if self._path.suffix == ".mmdb":
            return _MaxMind(self._path)
        with self._path.open(encoding="utf-8") as lines:
            return _Prefixes(lines, self._path)
