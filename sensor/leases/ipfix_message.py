"""IPFIX messages (RFC 7011), and NetFlow version 9 (RFC 3954), taken to records.

    | version, length, export time, sequence, domain |        16 bytes; version 9 has 20
    | set id, length | ...                           |        2 (0): templates, 3 (1): of options
                                                              256 and above: records by a template

A template says which information elements a record has, and how long each is; those nobody here
reads are stepped over. Templates are kept for each session, domain and id, so many; the one used
longest ago goes first. Options templates, and records by them, are skipped, or given apart.
"""

import struct
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import msgspec

__all__ = ["Message", "MessageError", "Record", "Templates"]

_MOST: Final = 10_000
_FIELDS: Final = 256
"""Of a template."""
_VARIABLE: Final = 65_535
_IPFIX: Final = 10
_NETFLOW: Final = 9

Record = dict[int, bytes]


class MessageError(ValueError):
    """It is not as it should be; the text says at which byte."""


class Message(NamedTuple):
    """What one says."""

    exported: int
    """seconds since 1970"""
    records: list[Record]
    unknown: int
    """sets of records whose template is not known"""
    skipped: int
    """sets of options, or reserved"""
    lost: int
    """records missing before it, as far as its number tells"""
    options: list[Record]
    """records by options templates, where they are read"""


class _Template(NamedTuple):
    fields: tuple[tuple[int, int], ...]
    """of each its element (0: nobody reads it) and length"""
    shortest: int
    options: bool = False


class Templates:
    """Those of all exporters, and what they have counted."""

    def __init__(self, wanted: Collection[int], options: bool = False) -> None:
        """``wanted``: elements that are read; ``options``: also in records of options."""
        self._wanted = frozenset(wanted)
        self._reads_options = options
        self._known: dict[tuple[str, int, int], _Template | None] = {}
        """None: of options"""
        self._numbers: dict[tuple[str, int], int] = {}
        """what the next message of a domain should begin with"""
        self.forgotten = 0
        self.learned = 0
        """templates, with those that came again as they were left out"""

    def kept(self) -> bytes:
        """What :meth:`take_up` makes the same templates of."""
        return msgspec.json.encode([(*key, one) for key, one in self._known.items()])

    def take_up(self, kept: bytes) -> None:
        """Templates of before. Raises ValueError, and has taken up none then."""
        rows = msgspec.json.decode(kept, type=list[tuple[str, int, int, _Template | None]])
        for session, _, id_, one in rows[-_MOST:]:
            if one is not None and (len(one.fields) > _FIELDS or one.shortest <= 0):
                raise ValueError(f"template {id_} of {session}")
        self._known = {(session, domain, id_): one for session, domain, id_, one in rows[-_MOST:]}

    def read(self, data: bytes, session: str) -> Message:
        """A message. Raises MessageError; templates before the fault are kept."""
        if len(data) < 16:
            raise MessageError(f"{len(data)} bytes are no message")
        version, length = struct.unpack_from(">HH", data)
        if version == _IPFIX:
            exported, number, domain = struct.unpack_from(">III", data, 4)
            start, end = 16, length
        elif version == _NETFLOW and len(data) >= 20:
            exported, number, domain = struct.unpack_from(">III", data, 8)
            start, end = 20, len(data)
        else:
            raise MessageError(f"version {version}, expected {_IPFIX} or {_NETFLOW}")
        if not start <= end <= len(data):
            raise MessageError(f"length {end}, but {len(data)} bytes came")
        records: list[Record] = []
        options: list[Record] = []
        unknown = skipped = 0
        at = start
        while at + 4 <= end:
            id_, size = struct.unpack_from(">HH", data, at)
            if size < 4 or at + size > end:
                raise MessageError(f"a set of {size} bytes at byte {at}")
            body, place = data[at + 4 : at + size], (session, domain)
            if id_ in (2, 0):
                self._learn(body, place, at + 4)
            elif id_ in (3, 1):
                self._learn_options(body, place, id_)
                skipped += 1
            elif id_ < 256:
                skipped += 1
            elif (*place, id_) not in self._known:
                unknown += 1
            elif (template := self._used((*place, id_))) is None:
                skipped += 1
            elif template.options:
                options += _records(body, template, at + 4)
            else:
                records += _records(body, template, at + 4)
            at += size
        whole = not unknown and not skipped
        lost = self._lost(place=(session, domain), number=number, version=version,
                          count=len(records) + len(options), whole=whole)  # fmt: skip
        return Message(exported, records, unknown, skipped, lost, options)

    def _used(self, key: tuple[str, int, int]) -> _Template | None:
        template = self._known.pop(key)
        self._known[key] = template
        return template

    def _keep(self, key: tuple[str, int, int], template: _Template | None) -> None:
        self.learned += self._known.pop(key, ()) != template
        self._known[key] = template
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
            self.forgotten += 1

    def _learn(self, body: bytes, place: tuple[str, int], offset: int) -> None:
        at = 0
        while at + 4 <= len(body):
            id_, count = struct.unpack_from(">HH", body, at)
            if id_ < 256 and not (id_ in (2, 3) and count == 0):
                return  # padding
            at += 4
            if count == 0:  # withdrawn (RFC 7011, 8.1)
                gone = [k for k in self._known if k[:2] == place and id_ in (2, 3, k[2])]
                for key in gone:
                    del self._known[key]
                continue
            if count > _FIELDS:
                raise MessageError(f"a template of {count} fields at byte {offset + at}")
            fields = []
            for _ in range(count):
                if at + 4 > len(body):
                    raise MessageError(f"a template breaks off at byte {offset + at}")
                element, length = struct.unpack_from(">HH", body, at)
                at += 4
                if element & 0x8000:  # a company's own
                    element, at = 0, at + 4
                fields.append((element if element in self._wanted else 0, length))
            shortest = sum(1 if length == _VARIABLE else length for _, length in fields)
            if not shortest:
                raise MessageError(f"template {id_} has records of no bytes")
            self._keep((*place, id_), _Template(tuple(fields), shortest))

    def _learn_options(self, body: bytes, place: tuple[str, int], set_: int) -> None:
        """The first of a set: read, or remembered so that its records are known to be skipped."""
        if len(body) < 4 or (id_ := int.from_bytes(body[:2])) < 256:
            return
        template = None
        if self._reads_options and len(body) >= 6:
            template = _options_template(body, set_, self._wanted)
        self._keep((*place, id_), template)

    def _lost(
        self, place: tuple[str, int], number: int, version: int, count: int, whole: bool
    ) -> int:
        """Records (of version 9: messages) that are missing; none where that cannot be told."""
        expected = self._numbers.pop(place, None)
        step = count if version == _IPFIX else 1
        if whole or version == _NETFLOW:
            self._numbers[place] = (number + step) & 0xFFFF_FFFF
            if len(self._numbers) > _MOST:
                del self._numbers[next(iter(self._numbers))]
        if expected is None:
            return 0
        missing = (number - expected) & 0xFFFF_FFFF
        return missing if missing < 1 << 24 else 0  # it began anew, or came out of order


def _options_template(body: bytes, set_: int, wanted: Collection[int]) -> _Template | None:
    """None: it breaks off, or its records have no bytes."""
    first, second = struct.unpack_from(">HH", body, 2)
    if set_ == 3:  # IPFIX: how many fields, of which so many are the scope
        scope, count = second, first
    else:  # version 9: bytes of the scope's fields, and of the others
        scope, count = first // 4, (first + second) // 4
    fields, at = [], 6
    for k in range(min(count, _FIELDS)):
        if at + 4 > len(body):
            return None
        element, length = struct.unpack_from(">HH", body, at)
        at += 4
        if set_ == 3 and element & 0x8000:
            element, at = 0, at + 4
        fields.append((element if k >= scope and element in wanted else 0, length))
    shortest = sum(1 if length == _VARIABLE else length for _, length in fields)
    return _Template(tuple(fields), shortest, True) if shortest else None


def _records(body: bytes, template: _Template, offset: int) -> Iterator[Record]:
    at = 0
    while at + template.shortest <= len(body):
        record: Record = {}
        for element, length in template.fields:
            if length == _VARIABLE:
                if at >= len(body):
                    raise MessageError(f"a record breaks off at byte {offset + at}")
                length, at = body[at], at + 1
                if length == 255:
                    length, at = int.from_bytes(body[at : at + 2]), at + 2
            if at + length > len(body):
                raise MessageError(f"a record breaks off at byte {offset + at}")
            if element:
                record[element] = body[at : at + length]
            at += length
        yield record
