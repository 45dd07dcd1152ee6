"""Alerts to decide on."""

from typing import Any, Literal, get_args, get_origin

import msgspec

from sensor.alerts.alert import Alert, EvidenceLine, alert_id, rfc3339
from sensor.base.sentences import Sentence, render, sentence
from sensor.hosts.evidence import Count
from sensor.hosts.windows import WINDOWS
from sensor.smtp.record import Session

SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND
GROUNDS = Sentence("proof.contacts", {"window": "1 h", "proven": 22, "usual": 9})
BLOCK = sentence("block.proven", grounds=GROUNDS)
BLOCK_REASON = "the host itself spoke to 22 new destinations in 1 h, where 9 are usual"
FAN_OUT = "293 foreign networks in 10 min, where 8 are usual"
FIRST_CONTACT = "260 of 282 first contacts failed in 1 h: 260 x +6.0 and 22 x -6.0, at most +20.0"
EVIDENCE = (
    ("prior", "share", -30.0, {"share": 0.001, "hosts": 1000}),
    ("rejections", "refused", -15.0, {
        "window": "1 h", "total": 22, "up": 7.6, "down": -1.9, "refused": 0, "taken": 22}),
    ("first_contact", "failed", 20.0, {
        "window": "1 h", "total": 282, "up": 6.0, "down": -6.0, "answered": 22, "failed": 260,
        "limit": 20.0}),
    ("fan_out", "networks", 62.6, {"window": "10 min", "networks": 293, "usual": 8}),
)  # fmt: skip


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
            EvidenceLine(name, decibans, render(code, figures), figures, code)
            for name, kind, decibans, figures in EVIDENCE
            for code in [f"{name}.{kind}"]
        ],
        "handshake_proven": True,
        "proven": 22,
        "disowned": 0,
        "shared_address": False,
        "block_recommended": True,
        "block_reason": BLOCK.text,
        "block_code": "" if "block_reason" in fields else BLOCK.code,
        "block_figures": {} if "block_reason" in fields else BLOCK.figures,
        "replies_visible": True,
        "first_seen": since // SECOND,
        "connections": 300,
        "windows": {window: {what.name.lower(): 7 for what in Count} for window in WINDOWS},
        "destinations": [],
        "exchangers": [],
    }
    return Alert(**(given | fields))


def closed(host: str = "203.0.113.7", at: float = 0, opened: float = 0) -> Alert:
    words = {
        "state": "closed", "block_recommended": False, "revision": 9, "block_code": "block.lapsed"
    }  # fmt: skip
    return alert(host, at, opened, **words, block_reason="the evidence has lapsed")


def said(ts: int = T0, **fields: Any) -> Session:
    """What a host said: nothing but ``fields``."""
    given: dict[str, Any] = {"ts": ts, "end": ts}
    for field in msgspec.structs.fields(Session):
        kind, parts = field.type, get_args(field.type)
        if type(None) in parts:
            empty: Any = None
        elif get_origin(kind) is Literal:
            empty = parts[0]
        else:
            empty = (get_origin(kind) or kind)()
        given.setdefault(field.name, empty)
    return Session(**(given | fields))
