"""What the sensor says of itself. The schemas in ``docs/`` are exported from here."""

from typing import Any, Final

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.base.json_schema import published
from sensor.base.sentences import Sentence

__all__ = ["HEALTH", "SCHEMA", "Health", "Notice", "json_schema", "notice"]

SCHEMA: Final = "port25.notice/1"
HEALTH: Final = "port25.health/1"


class Health(msgspec.Struct, frozen=True):
    """How the sensor is; a message of Kafka's health topic."""

    schema: str
    ts: int
    """wall time, nanoseconds since 1970"""
    time: str
    sensor: str
    version: str
    counters: dict[str, dict[str, Any]]
    """by stage and name; docs/metrics.md says what they count"""


class Notice(msgspec.Struct, frozen=True):
    """One line among the alerts, and a message of Kafka's health topic."""

    schema: str
    ts: int
    """wall time, nanoseconds since 1970; of what blocking did, packet time of the alert"""
    time: str
    kind: str
    """capture_loss, journal, evidence, snapshot, settings, kafka, blocking, delivery, flood,
    limits, reader, interface, customers, cluster"""
    text: str
    """in English; the wording may change"""
    code: str = ""
    """what it is about, in a word that does not change; empty in notices of old"""
    figures: dict[str, Any] = {}
    """what the text is made of"""


def notice(kind: str, said: Sentence | str, ts: int) -> Notice:
    """A notice of time ``ts`` (ns since 1970)."""
    if isinstance(said, str):
        return Notice(SCHEMA, ts, rfc3339(ts), kind, said)
    return Notice(SCHEMA, ts, rfc3339(ts), kind, said.text, said.code, said.figures)


def json_schema(kind: type[Health | Notice]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of either."""
    return published(kind, HEALTH if kind is Health else SCHEMA)


if __name__ == "__main__":
    import json
    import sys

    print(json.dumps(json_schema(Health if sys.argv[1:] == ["health"] else Notice), indent=2))
