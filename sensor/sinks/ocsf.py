"""An alert as an OCSF Detection Finding (class 2004; Open Cybersecurity Schema Framework 1.5.0).

What has no place in the class goes whole into ``unmapped``: there the score's lines and the
recommendation stay checkable.
"""

from typing import Any, Final

import msgspec

from sensor import __version__
from sensor.alerts.alert import Alert
from sensor.base.units import MILLISECOND
from sensor.hosts.subscribers import where

__all__ = ["SCHEMA", "finding"]

SCHEMA: Final = "ocsf.detection_finding/1.5.0"

_CLASS: Final = 2004
_ACTIVITIES: Final = {
    "raised": (1, "Create"),
    "escalated": (2, "Update"),
    "refreshed": (2, "Update"),
    "closed": (3, "Close"),
}
_SEVERITIES: Final = {"medium": (3, "Medium"), "high": (4, "High"), "critical": (5, "Critical")}
_OBSERVABLE_ADDRESS: Final = 2


def finding(alert: Alert) -> dict[str, Any]:
    """The event; times are milliseconds since 1970."""
    activity, activity_name = _ACTIVITIES[alert.state]
    severity, severity_name = _SEVERITIES[alert.severity]
    chance = 1 / (1 + 10 ** (-alert.score / 10))
    source, _ = where(alert.host)
    further = {
        "sensor": alert.sensor, "customer": alert.customer,
        "addresses": alert.addresses,
    }  # fmt: skip
    fields = ("evidence", "handshake_proven", "block_recommended", "block_reason", "windows")
    return {
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": _CLASS,
        "class_name": "Detection Finding",
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": _CLASS * 100 + activity,
        "type_name": f"Detection Finding: {activity_name}",
        "time": alert.ts // MILLISECOND,
        "start_time": alert.opened // MILLISECOND,
        "severity_id": severity,
        "severity": severity_name,
        "status_id": 4 if alert.state == "closed" else 1,
        "confidence_score": round(100 * chance),
        "message": f"{alert.host} sends mail past the mail servers: {alert.score:+.1f} decibans",
        "metadata": {
            "version": "1.5.0",
            "uid": f"{alert.id}:{alert.revision}",
            "sequence": alert.revision,
            "product": {"name": "port25", "vendor_name": "port25", "version": __version__},
        },
        "finding_info": {
            "uid": alert.id,
            "title": "Spam source: mail to many foreign mail servers",
            "desc": "; ".join(line.reason for line in alert.against),
            "types": ["port25 abuse"],
            "first_seen_time": alert.first_seen * 1000,
            "created_time": alert.opened // MILLISECOND,
            "modified_time": alert.ts // MILLISECOND,
        },
        "observables": [
            {
                "name": "host",
                "type_id": _OBSERVABLE_ADDRESS,
                "type": "IP Address",
                "value": str(source).removesuffix("/32"),
            }
        ],
        "resources": [
            {"uid": alert.host, "type": "subscriber"},
            *([{"uid": alert.customer, "type": "customer"}] if alert.customer else []),
        ],
        "unmapped": msgspec.to_builtins({name: getattr(alert, name) for name in fields})
        | msgspec.to_builtins({k: v for k, v in further.items() if v is not msgspec.UNSET}),
    }
