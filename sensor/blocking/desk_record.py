"""What persons decide at one sensor, for all sensors and controllers: Kafka's desk topic.

``docs/desk.schema.json`` is exported from here. A *release* says that a subscriber is not to be
blocked for anything seen before ``until``; an *exempt* the same for as long as it holds, and alerts
are not raised either. An exemption that somebody lifts is told again, with its end now.

Where leases tell whose an address is, a word is about the customer: it holds for him wherever he
is, under his pseudonym, and for nobody who has an address of his afterwards.

The key is ``action/host@sensor``: each sensor's last word on each subscriber is kept. Of releases
the longest holds; of exemptions the one told last, whoever told it. Nothing here can block anybody,
so what is wrong is passed over and what was said before it stays.
"""

import re
from typing import Annotated, Any, Final, Literal

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.base.ids import id_of
from sensor.base.json_schema import published
from sensor.base.units import DAY, HOUR
from sensor.blocking.decision import SENSOR, Decision
from sensor.hosts.customer_key import parse_pseudonym
from sensor.hosts.subscribers import where

__all__ = [
    "SCHEMA",
    "DeskRecord",
    "DeskRecordError",
    "Words",
    "concerns",
    "json_schema",
    "place",
    "read",
    "record",
    "touches",
]

SCHEMA: Final = "port25.desk/1"
ACT: Final = b"act/"
"""How keys of acts about alerts and cases begin (:mod:`sensor.blocking.desk_act`)."""
RESUME: Final = b"resume/"
"""How keys of words begin that let blocking go on, whose; the same module has them."""
LARGEST: Final = 1 << 16
"""Bytes of a message."""
AHEAD: Final = HOUR
"""How far another machine's clock may be ahead."""
_LONGEST: Final = {"release": 367 * DAY, "exempt": 3652 * DAY}
_TEXT: Final = 500
_SHORTEST: Final = {4: 32, 6: 48}

Moment = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


class DeskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word on a subscriber."""

    schema: str = SCHEMA
    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    ts: Moment
    """when the person decided, nanoseconds since 1970"""
    time: str
    """the same, RFC 3339"""
    action: Literal["release", "exempt"]
    host: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    """the subscriber as alerts name it, or a customer's pseudonym"""
    until: Moment
    """nothing seen before it is blocked, nanoseconds since 1970"""
    by: Annotated[str, msgspec.Meta(max_length=_TEXT)]
    """who decided"""
    reason: Annotated[str, msgspec.Meta(max_length=_TEXT)]
    sensor: Annotated[str, msgspec.Meta(max_length=63)]
    """the sensor at which it was decided"""
    level: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    """of a release: how often the subscriber had come back"""
    customer: Annotated[str, msgspec.Meta(max_length=26)] = ""
    """his pseudonym, where leases tell whose the address is: it is about no other customer"""

    @property
    def key(self) -> str:
        """Of the message."""
        return f"{self.action}/{self.host}@{self.sensor}"


class DeskRecordError(Exception):
    """The message is not to be obeyed; the text says why, the kind of fault first."""


def record(
    action: Literal["release", "exempt"], host: str, ts: int, until: int, by: str, reason: str,
    sensor: str, level: int = 0, customer: str = "",
) -> DeskRecord:  # fmt: skip
    """A record with its id and time."""
    text = "|".join(map(str, (SCHEMA, action, host, ts, until, sensor)))
    return DeskRecord(
        id=id_of(text), ts=ts, time=rfc3339(ts),
        action=action, host=host, until=until, by=by[:_TEXT], reason=reason[:_TEXT], sensor=sensor,
        level=min(level, 1_000_000), customer=host if parse_pseudonym(host) else customer,
    )  # fmt: skip


def read(key: bytes, value: bytes, now: int) -> DeskRecord:
    """A message of the topic, held against all that must be so. Raises DeskRecordError."""
    if len(value) > LARGEST or len(key) > 1000:
        raise DeskRecordError("malformed: too long")
    try:
        one = msgspec.json.decode(value, type=DeskRecord)
        _check_subscriber(one)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DeskRecordError(f"malformed: {str(error)[:200]}") from None
    if one.schema != SCHEMA or one.key.encode(errors="replace") != key:
        shown = key[:100].decode(errors="replace")
        raise DeskRecordError(f"malformed: {one.schema[:50]} of {one.host} under the key {shown}")
    if not re.search(SENSOR, one.sensor):
        raise DeskRecordError(f"malformed: {one.sensor!r} is no sensor's name")
    if one.ts > now + AHEAD:
        raise DeskRecordError(f"future: it is of {one.time[:40]}")
    if not 0 <= one.until - one.ts <= _LONGEST[one.action]:
        raise DeskRecordError("out of bounds: it would hold longer than anybody may say")
    return one


def _check_subscriber(one: DeskRecord) -> None:
    """Raises ValueError and DeskRecordError."""
    if one.customer and parse_pseudonym(one.customer) is None:
        raise DeskRecordError(f"malformed: {one.customer!r} is no pseudonym")
    if parse_pseudonym(one.host) is not None:
        if one.customer != one.host:
            raise DeskRecordError(f"malformed: {one.host} is not {one.customer or 'named'}")
        return
    source, ports = where(one.host)
    if source.prefixlen < _SHORTEST[source.version]:
        raise DeskRecordError(f"out of bounds: {source} is more than one subscriber")
    if ports and not 0 <= ports[0] <= ports[1] <= 65535:
        raise DeskRecordError(f"malformed: {ports[0]}-{ports[1]} are no ports")


def concerns(one: DeskRecord, host: str, customer: str) -> bool:
    """Whether a word is about who has ``host``; ``customer`` is empty where that is not known."""
    if one.customer and customer:
        return one.customer == customer
    return parse_pseudonym(one.host) is None and touches(one.host, host)


def touches(one: str, other: str) -> bool:
    """Whether two subscribers, each as some sensor names it, have an address and port in common.

    >>> touches("203.0.113.7:1024-2047", "203.0.113.7")
    True
    >>> touches("2001:db8::/56", "2001:db8:0:1::/64"), touches("203.0.113.7", "203.0.113.8")
    (True, False)
    """
    if one == other:
        return True
    (here, mine), (there, theirs) = where(one), where(other)
    if here.version != there.version or not here.overlaps(there):
        return False
    return not mine or not theirs or (mine[0] <= theirs[1] and theirs[0] <= mine[1])


class Words:
    """All that persons said, as a controller holds it against blocks."""

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._said: dict[bytes, tuple[object, DeskRecord]] = {}
        self._near: dict[object, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._said)

    def take(self, key: bytes, value: bytes | None, now: int) -> str:
        """One message; why it was refused, else empty. What bears on no block is passed over."""
        if key.startswith((ACT, RESUME)):
            return ""
        if value is None:
            self._forget(key)
            return ""
        try:
            one = read(key, value, now)
        except DeskRecordError as fault:
            return str(fault)
        before = self._said.get(key)
        if before is None and len(self._said) >= self._most:
            return f"ceiling: {self._most} words of persons are kept"
        if before is not None and before[1].ts > one.ts:
            return ""
        self._forget(key)
        where_it_is = place(one.host)
        self._said[key] = where_it_is, one
        self._near.setdefault(where_it_is, set()).add(key)
        return ""

    def _forget(self, key: bytes) -> None:
        if (gone := self._said.pop(key, None)) is not None:
            near = self._near[gone[0]]
            near.discard(key)
            if not near:
                del self._near[gone[0]]

    def against(self, block: Decision) -> DeskRecord | None:
        """Whose word makes a block void; None: nobody's."""
        customer = block.customer or ""
        keys = set(self._near.get(place(block.host), ())) | self._near.get(customer, set())
        near = [one for key in keys if concerns(one := self._said[key][1], block.host, customer)]
        last: dict[str, DeskRecord] = {}
        for one in near:
            if one.action == "exempt" and one.ts >= last.get(one.host, one).ts:
                last[one.host] = one
        holding = [one for one in near if one.action == "release"] + list(last.values())
        return next((one for one in holding if block.ts < one.until), None)


def place(host: str) -> object:
    """Where a subscriber is looked up: no two that touch are in different places."""
    if parse_pseudonym(host) is not None:
        return host
    source, _ = where(host)
    short = _SHORTEST[source.version]
    return source.version, int(source.network_address) >> (source.max_prefixlen - short)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record."""
    return published(DeskRecord, SCHEMA)


if __name__ == "__main__":
    import json

    print(json.dumps(json_schema(), indent=2))
