"""An alert that is none, on an address that nobody has (RFC 5737)."""

from sensor.alerts.alert import Alert, EvidenceLine, alert_id, rfc3339
from sensor.base.units import SECOND

__all__ = ["trial"]


def trial(ts: int) -> Alert:
    """As of a wall time, ns."""
    host = "192.0.2.1"
    return Alert(
        id=alert_id(host, ts), revision=1, ts=ts, time=rfc3339(ts), opened=ts, state="raised",
        host=host, severity="medium", score=0.0, raise_at=20.0, clear_at=-20.0,
        evidence=[EvidenceLine("test", 0.0, "this is a test: nothing has happened", {})],
        handshake_proven=False, proven=0, disowned=0, shared_address=False, block_recommended=False,
        block_reason="this is a test", replies_visible=True, first_seen=ts // SECOND, connections=0,
        windows={}, destinations=[], exchangers=[],
    )  # fmt: skip
