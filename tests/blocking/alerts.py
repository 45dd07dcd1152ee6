"""Alerts to decide on."""

from typing import Any

from sensor.alerts.alert import Alert, EvidenceLine, alert_id, rfc3339
from sensor.hosts.evidence import Count
from sensor.hosts.windows import WINDOWS

SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND


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
            EvidenceLine("prior", -30.0, "before any evidence", {}),
            EvidenceLine("rejections", -15.0, "0 of 22 new servers refused the mail", {}),
            EvidenceLine("first_contact", 20.0, "260 of 282 first contacts failed", {}),
            EvidenceLine("fan_out", 62.6, "293 foreign networks in 10 min", {}),
        ],
        "handshake_proven": True,
        "proven": 22,
        "disowned": 0,
        "shared_address": False,
        "block_recommended": True,
        "block_reason": "the host itself spoke to 22 new destinations",
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
