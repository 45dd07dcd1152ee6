"""An abuse report of one alert for others: XARF 4 (https://xarf.org), infrastructure/botnet.

XARF's own spam report demands the sender's mail address, which this sensor never keeps; what it has
is evidence that a machine is under somebody's control.

Who reads it asks whose the address was at the time it says; so of a known customer that is the last
time he was seen there, and neither his pseudonym nor what else he had goes out.
"""

import base64
import hashlib
import uuid
from typing import Any

import msgspec

from sensor.alerts.alert import Alert, rfc3339
from sensor.base.units import SECOND
from sensor.hosts.subscribers import where

__all__ = ["report"]


def report(alert: Alert, organisation: str, contact: str) -> dict[str, Any]:
    """The report. Who reports is an organisation and its mail address, on behalf of itself."""
    who = {"org": organisation, "contact": contact, "domain": contact.rpartition("@")[2]}
    source, ports = where(alert.host)
    at = _when(alert)
    alert = msgspec.structs.replace(alert, customer=msgspec.UNSET, addresses=msgspec.UNSET)
    told = msgspec.json.format(msgspec.json.encode(alert), indent=1)
    reasons = [line.reason for line in alert.against]
    text = f"{alert.host} sent mail to many foreign mail servers: {'; '.join(reasons)}"
    made = {
        "xarf_version": "4.2.0",
        "report_id": str(uuid.UUID(hex=alert.id)),
        "timestamp": rfc3339(at),
        "reporter": who,
        "sender": who,
        "source_identifier": str(source.network_address),
        "category": "infrastructure",
        "type": "botnet",
        "evidence_source": "flow_analysis",
        "confidence": round(1 / (1 + 10 ** (-alert.score / 10)), 3),
        "description": text[:1000],
        "bot_capabilities": ["spam"],
        "compromise_evidence": text,
        "evidence": [
            {
                "content_type": "application/json",
                "description": f"Alert {alert.id}, revision {alert.revision}",
                "payload": base64.b64encode(told).decode(),
                "hash": f"sha256:{hashlib.sha256(told).hexdigest()}",
            }
        ],
    }
    if ports:
        made["source_port"] = ports[0] or 1
    return made


def _when(alert: Alert) -> int:
    """A moment at which the host of the alert was whose it is, ns."""
    for one in alert.addresses or ():
        if one.address == alert.host and one.until is not None and one.until <= alert.ts:
            seen = [d.last_seen * SECOND for d in alert.destinations]
            last = [ts for ts in seen if one.since <= ts < one.until]
            return max(last, default=max(one.since, one.until - SECOND))
    return alert.ts
