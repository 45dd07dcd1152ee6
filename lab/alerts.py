"""Alerts to decide on."""

from typing import Any

from sensor.alerts.alert import Alert, EvidenceLine, alert_id, rfc3339
from sensor.hosts.evidence import Count
from sensor.hosts.windows import WINDOWS

SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND
BLOCK_REASON = "the host itself spoke to 22 new destinations in 1 h, where 9 are usual"
FAN_OUT = "293 foreign networks in 10 min, where 8 are usual"
FIRST_CONTACT = "260 of 282 first contacts failed in 1 h: 260 x +6.0 and 22 x -6.0, at most +20.0"
EVIDENCE = (
    ("prior", -30.0, "before any evidence, 1 host in 1,000 that uses foreign port 25"),
    ("rejections", -15.0, "0 of 22 new servers refused the mail in 1 h: 0 x +7.6 and 22 x -1.9"),
    ("first_contact", 20.0, FIRST_CONTACT),
    ("fan_out", 62.6, FAN_OUT),
)


def alert(host: str = "203.0.113.7", at: float = 0, opened: float = 0, **fields: Any) -> Alert:
    """One that recommends a block, ``at`` seconds after T0."""
    ts, since = T0 + int(at * SECOND), T0 + int(opened * SECOND)
    given: dict[str, Any] = {
        "id": alert_id(host, since),
        "revision": 1,
        "ts": ts,
        "time": rfc3339(ts),
        "opened": since,
        "state": "raised",
        "host": host,
        "severity": "high",
        "score": 37.6,
        "raise_at": 20.0,
        "clear_at": -20.0,
        "evidence": [
            EvidenceLine(detector, decibans, reason, {}) for detector, decibans, reason in EVIDENCE
        ],
        "handshake_proven": True,
        "proven": 22,
        "disowned": 0,
        "shared_address": False,
        "block_recommended": True,
        "block_reason": BLOCK_REASON,
        "replies_visible": True,
        "first_seen": since // SECOND,
        "connections": 300,
        "windows": {window: {what.name.lower(): 7 for what in Count} for window in WINDOWS},
        "destinations": [],
        "exchangers": [],
    }
    return Alert(**(given | fields))


def closed(host: str = "203.0.113.7", at: float = 0, opened: float = 0) -> Alert:
    words = {"state": "closed", "block_recommended": False, "revision": 9}
    return alert(host, at, opened, **words, block_reason="the evidence has lapsed")
