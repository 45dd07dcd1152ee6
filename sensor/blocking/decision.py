"""What a decision says. ``docs/decision.schema.json`` is exported from here.

A *block* closes port 25 to one subscriber until it expires, and nothing else of theirs; the same
again with a later end renews it. A *lookup* asks for a person: the address is shared by many, who
must be told apart by port and time. A *release* ends either. A *refuse* is a block that an alert
recommended and the policy did not make. *stop*, *step* and *resume* are of the whole policy: it
stopped itself, goes on by so much, goes on as before. An *alarm* calls for a person and changes
nothing.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.base.ids import id_of
from sensor.base.json_schema import published
from sensor.base.sentences import Sentence

__all__ = ["SCHEMA", "SENSOR", "Action", "Decision", "decision", "json_schema"]

SCHEMA: Final = "port25.decision/1"
SENSOR: Final = r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,62}\Z"
"""A sensor's name: it is a part of keys, and is printed everywhere."""

Action = Literal["block", "lookup", "release", "refuse", "stop", "step", "resume", "alarm"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit log; of a block, lookup or release also what Kafka is told."""

    schema: str = SCHEMA
    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    """the same whenever the same alerts meet the same policy"""
    ts: int
    """nanoseconds since 1970: packet time of the alert, or when a person decided"""
    time: str
    """the same, RFC 3339"""
    action: Action
    enforced: bool
    """false: a dry run; nothing is to be blocked for it"""
    host: str = ""
    """the subscriber as alerts name it; empty for stop, step, resume and alarm"""
    source: str = ""
    """addresses in CIDR notation, of which only port 25 is blocked"""
    ports: tuple[int, int] | None = None
    """first and last source port of the subscriber, where an address is shared"""
    since: int = 0
    """when the block, renewed or not, began; nanoseconds since 1970"""
    expires: int = 0
    """when it ends by itself, nanoseconds since 1970"""
    level: int = 0
    """how often the subscriber came back: 0 for the first block; of a step: its number"""
    alert: str = ""
    revision: int = 0
    """id and revision of the alert it rests on"""
    score: float = 0.0
    """decibans"""
    reasons: list[str] = []
    """sentences in English, or a person's words; the wording of the former may change"""
    causes: list[Sentence] = []
    """the same as codes and figures, one for each of ``reasons``; none where a person's words are
    the reason, and in decisions of old
    """
    by: str = "port25"
    """who decided: the sensor or a person's name"""
    sensor: str = ""
    """name of the sensor that decided, where it has one; on the block list always"""
    held_until: int = 0
    """of a person's release: when the subscriber may be blocked again, nanoseconds since 1970"""
    desk: str = ""
    """of a person's release or exemption at another sensor: the name of that"""
    customer: str | msgspec.UnsetType = msgspec.UNSET
    """pseudonym of the customer, where leases tell whose the address is"""

    def in_force(self, ts: int) -> bool:
        """Whether this, as the last word on its host, holds at ``ts`` (ns)."""
        return self.action in ("block", "lookup") and ts < self.expires


def decision(action: Action, ts: int, causes: Sequence[Sentence] = (), **fields: Any) -> Decision:
    """A decision with its id and time, and with the ``causes`` in words."""
    if causes:
        fields |= {"causes": list(causes), "reasons": [cause.text for cause in causes]}
    parts = (
        SCHEMA,
        action,
        ts,
        fields.get("host", ""),
        fields.get("alert", ""),
        fields["enforced"],
    )
    text = "|".join(map(str, parts))
    id_ = id_of(text)
    return Decision(id=id_, ts=ts, time=rfc3339(ts), action=action, **fields)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a decision."""
    return published(Decision, SCHEMA)


if __name__ == "__main__":
    import json

    print(json.dumps(json_schema(), indent=2))
