"""What persons do about alerts and cases, from one desk to all: Kafka's desk topic.

A message is an act (``docs/act.schema.json``) under the key ``act/about/id@sensor``, where *about*
is the alert's id or the case's name: each act is kept, for all of them make what an alert has come
to, and one told again takes the place of itself. A *resume* stands under ``resume/whose@sensor``:
each sensor's last word on each name under which decisions are made is kept.
"""

import re
from typing import Final

import msgspec

from sensor.blocking.acts import SCHEMA, DeskAct
from sensor.blocking.decision import SENSOR
from sensor.blocking.desk_record import (
    ACT,
    AHEAD,
    LARGEST,
    RESUME,
    DeskRecord,
    DeskRecordError,
    read,
)
from sensor.blocking.handling import Act, ActError, Handling, after

__all__ = ["as_act", "key", "read_word"]

_ID: Final = re.compile("[0-9a-f]{32}")
_LONGEST: Final = 200
"""Characters of a case's name."""
_REASON: Final = 500
_LAST: Final = (1 << 63) - 1


def key(one: DeskAct) -> bytes:
    """Of the message."""
    if one.act == "resume":
        return RESUME + f"{one.whose}@{one.sensor}".encode(errors="replace")
    return ACT + f"{one.about}/{one.id}@{one.sensor}".encode(errors="replace")


def as_act(one: DeskAct) -> Act:
    """What the desk's book takes. Raises ActError where it is none about an alert or a case."""
    match one.act:
        case "exempt" | "lift" | "release" | "resume":
            raise ActError(f"{one.act} is nothing about an alert")
        case act:
            return Act(act, one.by, one.reason, one.owner, one.until, one.verdict, one.ticket)


def _read(name: bytes, value: bytes, now: int) -> DeskAct:
    if len(value) > LARGEST or len(name) > 1000:
        raise DeskRecordError("malformed: too long")
    try:
        one = msgspec.json.decode(value, type=DeskAct)
        if not name.startswith(RESUME) or one.act != "resume":
            after(Handling(), as_act(one))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ActError) as error:
        raise DeskRecordError(f"malformed: {str(error)[:200]}") from None
    if one.schema != SCHEMA or key(one) != name or not re.search(SENSOR, one.sensor):
        shown = name[:100].decode(errors="replace")
        raise DeskRecordError(f"malformed: {one.schema[:50]} under the key {shown}")
    if one.act == "resume":
        if not re.search(SENSOR, one.whose):
            raise DeskRecordError(f"malformed: {one.whose[:70]!r} is no name")
        if not one.reason or len(one.reason) > _REASON or len(one.by) > _REASON:
            raise DeskRecordError("malformed: a resume has a reason, and not a long one")
    elif (one.alert and not _ID.fullmatch(one.alert)) or not 0 < len(one.about) <= _LONGEST:
        raise DeskRecordError("malformed: it is about no alert and no case")
    if not 0 <= one.revision <= _LAST or not 0 <= one.until <= _LAST or one.ts < 0:
        raise DeskRecordError("out of bounds: no such revision or time")
    if one.ts > now + AHEAD:
        raise DeskRecordError(f"future: it is of {one.time[:40]}")
    return one


def read_word(name: bytes, value: bytes, now: int) -> DeskRecord | DeskAct:
    """Any message of the topic. Raises DeskRecordError."""
    return (_read if name.startswith((ACT, RESUME)) else read)(name, value, now)
