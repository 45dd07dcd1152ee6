"""Leases of ISC Kea, by the files its memfile backend writes; IPv4, IPv6 and delegated prefixes.

Kea appends a line at each change, and every hour or so sets the file aside and begins a new one
(lease file cleanup): ``FILE.1`` is then the one before, ``FILE.2`` or ``FILE.completed`` what came
of all before that. Who begins without a position reads those first. Columns are found by their
names in the header, which differ from version to version. In texts, a comma stands as ``&#x2c``.

A lease is from its last renewal (``expire`` less ``valid_lifetime``) to ``expire``. With a lifetime
of 0 it was released. State 1 (declined) and 2 (expired, reclaimed) give it to nobody.
"""

import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from sensor.base.sentences import Sentence, sentence
from sensor.base.units import SECOND
from sensor.leases.intake import Intake
from sensor.leases.settings import CustomerSettings
from sensor.leases.tail import Tail

__all__ = ["KEA_COUNTERS", "Kea"]

KEA_COUNTERS: Final = ("kea_without_customer", "kea_over")
_BEFORE: Final = (".2", ".completed", ".1")
_ESCAPED: Final = re.compile("&#x([0-9a-fA-F]{2})")
_FOR_EVER: Final = 0xFFFFFFFF
_PREFIX: Final = "2"
"""``lease_type`` of a delegated prefix."""
_NEEDED: Final = ("address", "valid_lifetime", "expire", "state")
_SUB_OPTIONS: Final = {"circuit-id": 1, "remote-id": 2}
"""Of option 82 (RFC 3046)."""
_REMOTE_ID: Final = 37
"""Option of DHCPv6 (RFC 4649): four bytes of enterprise number, then the id."""
_COLUMNS: Final = {
    "hwaddr": "hwaddr",
    "client-id": "client_id",
    "duid": "duid",
    "hostname": "hostname",
}
Row = dict[str, str]


class Kea:
    """``customers.kea``; see ``Source``."""

    name = "kea"

    def __init__(self, settings: CustomerSettings) -> None:
        """Raises LeaseFileError where there is no secret."""
        kea = settings.kea
        self.intake = Intake("Kea", settings)
        self._reader = self.intake.new_reader()
        self._names = kea.customer
        self._counts = dict.fromkeys(KEA_COUNTERS, 0)
        self._tails = [self._tail(Path(path)) for path in kea.files]
        self._headers: dict[Path, list[str]] = {}

    @property
    def position(self) -> str:
        """See ``Source``: of each file, in their order."""
        return ";".join(tail.position for tail in self._tails)

    def open(self, position: str) -> None:
        """See ``Source``."""
        positions = position.split(";")
        for k, tail in enumerate(self._tails):
            if not tail.go_on(positions[k] if k < len(positions) else ""):
                for suffix in _BEFORE:
                    self._read_before(tail.path.with_name(tail.path.name + suffix))

    def turn(self, seconds: float) -> None:
        """See ``Source``."""
        idle = True
        for tail in self._tails:
            for number, line in tail.lines():
                idle = False
                self._take(tail.path, number, line)
        if idle:
            time.sleep(seconds)

    def taken(self) -> None:
        """See ``Source``: what was read stays in the files."""

    def counters(self) -> dict[str, int]:
        """See ``Source``."""
        return self._counts

    def _tail(self, path: Path) -> Tail:
        return Tail(path, partial(self.intake.say_unread, str(path)))

    def _read_before(self, path: Path) -> None:
        if path.exists():
            tail = self._tail(path)
            while lines := list(tail.lines()):
                for number, line in lines:
                    self._take(path, number, line)

    def _take(self, path: Path, number: int, line: str) -> None:
        values = line.rstrip("\r").split(",")
        where = sentence("leases.kept", file=str(path), line=number)
        if number == 1:
            self._headers[path] = values
            missing = [name for name in _NEEDED if name not in values]
            if missing:
                why = sentence("leases.columns", names=", ".join(missing))
                self.intake.refuse("ill_formed", where, why)
            return
        header = self._headers.get(path, [])
        if all(name in header for name in _NEEDED) and line.strip():
            if len(values) < len(header):
                needed, names = len(header), ",".join(header)[:200]
                why = sentence("leases.fields", fields=len(values), needed=needed, header=names)
                self.intake.refuse("ill_formed", where, why)
            else:
                self._on_row(dict(zip(header, values, strict=False)), where)

    def _on_row(self, row: Row, where: Sentence) -> None:
        if row["state"] != "0":
            return
        expire, lifetime = row["expire"], row["valid_lifetime"]
        if not (expire.isdecimal() and lifetime.isdecimal()):
            why = sentence("leases.time", which="expire", text=f"{expire[:20]}, {lifetime[:20]}")
            self.intake.refuse("ill_formed", where, why)
            return
        customer = self._customer(row)
        if not customer:
            self._counts["kea_without_customer"] += 1
            return
        until = int(expire) * SECOND
        since = until - int(lifetime) * SECOND
        if int(lifetime) == 0:  # released; when is not said
            until = self.intake.now()
            since = until - 1
        elif int(lifetime) == _FOR_EVER:
            until = 0
        elif until <= self.intake.now():
            self._counts["kea_over"] += 1
            return
        prefix = row["address"]
        if row.get("lease_type") == _PREFIX:
            prefix += f"/{row.get('prefix_len', '')}"
        told = {"from": since, "until": until or None, "prefix": prefix, "customer": customer}
        self.intake.take(msgspec.json.encode(told).decode(), self._reader, where)

    def _customer(self, row: Row) -> str:
        """The first of the wanted names that the lease has."""
        for name in self._names:
            if name in _COLUMNS:
                found = _plain(row.get(_COLUMNS[name], ""))
            else:
                found = _of_relay(row.get("user_context", ""), name)
            if found:
                return found
        return ""


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def _of_relay(context: str, name: str) -> str:
    """What the access node said where the customer is: option 82, or its like of DHCPv6."""
    try:
        told = msgspec.json.decode(_plain(context))["ISC"]
    except (msgspec.DecodeError, RecursionError, LookupError, TypeError):
        return ""
    if not isinstance(told, dict):
        return ""
    info, hops = told.get("relay-agent-info"), told.get("relay-info")
    if isinstance(info, dict):  # Kea 2.4 and later
        info = info.get("sub-options")
    if isinstance(info, str):
        return _option(info, _SUB_OPTIONS[name], 1)
    if isinstance(hops, list) and hops and isinstance(hops[0], dict) and name == "remote-id":
        return _option(str(hops[0].get("options", "")), _REMOTE_ID, 2)[8:]
    return ""


def _option(text: str, wanted: int, size: int) -> str:
    """An option in hexadecimal digits, whose number and length have ``size`` bytes each."""
    for number, value in _options(text, size):
        if number == wanted:
            return value.hex()
    return ""


def _options(text: str, size: int) -> Iterator[tuple[int, bytes]]:
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return
    at = 0
    while at + 2 * size <= len(raw):
        number = int.from_bytes(raw[at : at + size])
        length = int.from_bytes(raw[at + size : at + 2 * size])
        at += 2 * size
        yield number, raw[at : at + length]
        at += length
