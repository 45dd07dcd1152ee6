"""A DNS answer as far as mail is concerned: the MX it gives, and addresses (RFC 1035, 4.1).

Read record by record, each by itself: a record, an option or a signature that is damaged must not
hide the others, or whoever owns a domain could hide its servers so. Where a record ends is told by
its size alone; only of MX, A and AAAA of the class IN is more read than that. EDNS (RFC 6891), TSIG
(RFC 8945) and all else is passed over.

Work is bounded whatever the bytes: ``MOST_RECORDS`` are read, and a name follows ``MOST_POINTERS``
pointers, each of which must lead back.
"""

import struct
from typing import Final, NamedTuple

__all__ = [
    "LONGEST_NAME", "MOST_POINTERS", "MOST_RECORDS",
    "Address", "Answer", "name_text", "read_answer",
]  # fmt: skip

MOST_RECORDS: Final = 512
"""MX and addresses read of one message."""

_A, _MX, _AAAA = 1, 15, 28
_IN: Final = 1
_SIZES: Final = {_A: 4, _AAAA: 16}
_HEADER: Final = 12
_FIXED: Final = struct.Struct(">HHIH")  # type, class, TTL, size of what follows
_POINTER: Final = 0xC0
_LONGEST_LABEL: Final = 63
LONGEST_NAME: Final = 255
MOST_POINTERS: Final = 32
"""Who compresses names needs one or two."""


class Address(NamedTuple):
    """An A or AAAA record."""

    owner: bytes
    packed: bytes
    answers: bool
    """in the answer section, else beside it"""


class Answer(NamedTuple):
    """What could be read of a message."""

    asked: bytes | None
    """the name in its first question; names are as on the wire, without pointers"""
    exchanges: list[bytes]
    addresses: list[Address]
    unreadable: int
    """records of MX or an address that are damaged"""
    of_other_classes: int
    skipped: int
    """beyond MOST_RECORDS"""
    whole: bool
    """every record was found that the header promises"""


def name_text(name: bytes) -> str:
    """A name in lower case without the last dot, as zone files write it (RFC 1035, 5.1; RFC 4343).

    >>> name_text(bytes([3, 77, 88, 46, 2, 0xE2, 0x80, 0]))
    'mx\\\\..\\\\226\\\\128'
    """
    labels = []
    at = 0
    while name[at]:
        end = at + 1 + name[at]
        labels.append("".join([_CHARACTERS[octet] for octet in name[at + 1 : end]]))
        at = end
    return ".".join(labels) or "."


def _character(octet: int) -> str:
    """An octet of a label as zone files write it."""
    if octet in b'"().;\\@$':
        return "\\" + chr(octet)
    return chr(octet).lower() if 0x20 < octet < 0x7F else f"\\{octet:03d}"


_CHARACTERS: Final = [_character(octet) for octet in range(256)]


class _DamagedError(Exception):
    """There is no name or record here."""


def read_answer(message: bytes) -> Answer:
    """Read one message; what is damaged is left out and counted."""
    exchanges: list[bytes] = []
    addresses: list[Address] = []
    asked: bytes | None = None
    unreadable = others = found = 0
    whole = True
    try:
        questions, answers, authorities, additional = struct.unpack_from(">4H", message, 4)
        at = _HEADER
        for n in range(questions):
            if n == 0:
                asked = _name_or_none(message, at)
            at = _after_name(message, at) + 4
        sections = (answers, True), (authorities, None), (additional, False)
        for count, section in sections:
            for _ in range(count):
                owner_at, at = at, _after_name(message, at)
                kind, class_, _, size = _FIXED.unpack_from(message, at)
                data, at = at + _FIXED.size, at + _FIXED.size + size
                if at > len(message):
                    raise _DamagedError
                if section is None or kind not in (_A, _MX, _AAAA):
                    continue
                if class_ != _IN:
                    others += 1
                    continue
                found += 1
                if found > MOST_RECORDS:
                    continue
                try:
                    if kind == _MX:
                        if section:
                            exchanges.append(_exchange(message, data, at))
                    elif size != _SIZES[kind]:
                        raise _DamagedError
                    else:
                        owner, _ = _name(message, owner_at)
                        addresses.append(Address(owner, message[data:at], section))
                except _DamagedError:
                    unreadable += 1
    except (_DamagedError, struct.error):
        whole = False
    skipped = max(0, found - MOST_RECORDS)
    return Answer(asked, exchanges, addresses, unreadable, others, skipped, whole)


def _exchange(message: bytes, data: int, end: int) -> bytes:
    """A preference and a name that ends where the record does."""
    name, after = _name(message, data + 2)
    if after != end:
        raise _DamagedError
    return name


def _after_name(message: bytes, at: int) -> int:
    """Where the name at ``at`` ends, whatever it may point to."""
    while at < len(message):
        size = message[at]
        if size >= _POINTER:
            return at + 2
        if size > _LONGEST_LABEL:
            break
        at += 1 + size
        if size == 0:
            return at
    raise _DamagedError


def _name_or_none(message: bytes, at: int) -> bytes | None:
    """The name at ``at``, or None where it is damaged."""
    try:
        return _name(message, at)[0]
    except _DamagedError:
        return None


def _name(message: bytes, at: int) -> tuple[bytes, int]:
    """The name at ``at``, and where what is written there ends."""
    parts: list[bytes] = []
    after = _after_name(message, at)
    pointers = length = 0
    first = at
    while True:
        if at >= len(message):
            raise _DamagedError
        size = message[at]
        if size >= _POINTER:
            if at + 2 > len(message):
                raise _DamagedError
            to = (size & ~_POINTER) << 8 | message[at + 1]
            pointers += 1
            if to >= first or pointers > MOST_POINTERS:  # RFC 1035, 4.1.4: to a prior name
                raise _DamagedError
            first = at = to
            continue
        length += 1 + size
        if size > _LONGEST_LABEL or at + 1 + size > len(message) or length > LONGEST_NAME:
            raise _DamagedError
        parts.append(message[at : at + 1 + size])
        if size == 0:
            return b"".join(parts), after
        at += 1 + size
