"""What an accounting packet says: RFC 2866, with the addresses of RFC 2869, 3162, 4818 and 6911.

    Acct-Status-Type   40   1 Start, 2 Stop, 3 Interim-Update, 7 Accounting-On, 8 Accounting-Off
    Acct-Session-Id    44   the NAS's word for a session
    Acct-Delay-Time    41   seconds for which the NAS has tried to tell
    Event-Timestamp    55   when it was, by the NAS's clock
    NAS-Identifier     32   which NAS; else NAS-IP-Address 4, NAS-IPv6-Address 95
    Framed-IP-Address   8   what the customer was given; Framed-IPv6-Prefix 97,
                            Delegated-IPv6-Prefix 123, Framed-IPv6-Address 168

Whether the packet is who it says it is from, pyrad has found out before.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

__all__ = [
    "ATTRIBUTES",
    "INTERIM",
    "OFF",
    "ON",
    "START",
    "STOP",
    "Name",
    "Said",
    "read_packet",
    "shown",
]

START: Final = 1
STOP: Final = 2
INTERIM: Final = 3
ON: Final = 7
OFF: Final = 8

Name = Literal[
    "User-Name", "NAS-Port", "Class", "Called-Station-Id", "Calling-Station-Id",
    "NAS-Identifier", "NAS-Port-Id", "Chargeable-User-Identity",
]  # fmt: skip
"""Attributes that can name a customer."""

ATTRIBUTES: Final[dict[Name, int]] = {
    "User-Name": 1,
    "NAS-Port": 5,
    "Class": 25,
    "Called-Station-Id": 30,
    "Calling-Station-Id": 31,
    "NAS-Identifier": 32,
    "NAS-Port-Id": 87,
    "Chargeable-User-Identity": 89,
}

_STATUS, _DELAY, _SESSION, _EVENT = 40, 41, 44, 55
_NAS_ADDRESS, _NAS_IDENTIFIER, _NAS_IPV6 = 4, 32, 95
_IPV4, _FRAMED, _DELEGATED, _IPV6 = 8, 97, 123, 168
_TO_BE_CHOSEN: Final = (b"\xff\xff\xff\xff", b"\xff\xff\xff\xfe")
"""Of Framed-IP-Address (RFC 2865, 5.8): by the user, by the NAS."""
_NUMBERS: Final = frozenset({5})

Values = Mapping[int, Sequence[bytes]]
"""The attributes of a packet: the values by number."""


class Said(NamedTuple):
    """What a packet says."""

    status: int
    """Acct-Status-Type; 0: none"""
    nas: str
    session: str
    customer: str
    """empty: an attribute that names him is missing"""
    prefixes: dict[int, str]
    """what he was given, by number of the attribute"""
    event: int
    """seconds since 1970, 0: not told"""
    delay: int
    """seconds"""


def read_packet(values: Values, names: Sequence[Name], source: str) -> Said:
    """``names`` (of ATTRIBUTES) together name the customer; ``source``: who sent the packet.

    Raises ValueError, whose text says what is wrong.
    """
    return Said(
        _number(values, _STATUS),
        _nas(values, source),
        _text(values, _SESSION),
        _customer(values, names),
        _prefixes(values),
        _number(values, _EVENT),
        _number(values, _DELAY),
    )


def shown(text: str) -> str:
    """What somebody else wrote, for a person's eyes."""
    return ascii(text[:60])[1:-1][:60]


def _one(values: Values, number: int) -> bytes:
    found = values.get(number)
    return found[0] if found else b""


def _number(values: Values, number: int) -> int:
    raw = _one(values, number)
    if raw and len(raw) != 4:
        raise ValueError(f"attribute {number} has {len(raw)} bytes, expected 4")
    return int.from_bytes(raw)


def _text(values: Values, number: int) -> str:
    """As text; what is none, or could not be shown, in hexadecimal digits."""
    raw = _one(values, number)
    if number in _NUMBERS and len(raw) == 4:
        return str(int.from_bytes(raw))
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    return text if text.isprintable() and text else raw.hex()


def _customer(values: Values, names: Sequence[Name]) -> str:
    parts = [_text(values, ATTRIBUTES[name]) for name in names]
    return "/".join(parts) if all(parts) else ""


def _nas(values: Values, source: str) -> str:
    if text := _text(values, _NAS_IDENTIFIER):
        return text
    for number, size in ((_NAS_ADDRESS, 4), (_NAS_IPV6, 16)):
        raw = _one(values, number)
        if len(raw) == size:
            return str(ipaddress.ip_address(raw))
    return source


def _prefixes(values: Values) -> dict[int, str]:
    found = {}
    raw = _one(values, _IPV4)
    if raw and raw not in _TO_BE_CHOSEN:
        found[_IPV4] = _address(_IPV4, raw, 4)
    for number in (_FRAMED, _DELEGATED):
        if raw := _one(values, number):
            found[number] = _prefix(number, raw)
    if raw := _one(values, _IPV6):
        found[_IPV6] = _address(_IPV6, raw, 16)
    return found


def _address(number: int, raw: bytes, size: int) -> str:
    if len(raw) != size:
        raise ValueError(f"attribute {number} has {len(raw)} bytes, expected {size}")
    return str(ipaddress.ip_address(raw))


def _prefix(number: int, raw: bytes) -> str:
    """RFC 3162, 2.3: a zero, the length in bits, as many bytes as it needs or more."""
    if not 2 <= len(raw) <= 18 or raw[1] > 128:
        raise ValueError(f"attribute {number} is no prefix")
    whole = raw[2:].ljust(16, b"\0")
    return str(ipaddress.IPv6Network((whole, raw[1]), strict=False))
