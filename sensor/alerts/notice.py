"""What a person should know about the sensor itself."""

from typing import Final

import msgspec

from sensor.alerts.alert import rfc3339

__all__ = ["SCHEMA", "Notice", "notice"]

SCHEMA: Final = "port25.notice/1"


class Notice(msgspec.Struct, frozen=True):
    """One line among the alerts, and a message of Kafka's health topic."""

    schema: str
    ts: int
    """wall time, nanoseconds since 1970; of what blocking did, packet time of the alert"""
    time: str
    kind: str
    """capture_loss, journal, evidence, snapshot, settings, kafka, blocking"""
    text: str


def notice(kind: str, text: str, ts: int) -> Notice:
    """A notice of time ``ts`` (ns since 1970)."""
    return Notice(SCHEMA, ts, rfc3339(ts), kind, text)
