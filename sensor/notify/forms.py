"""An alert in words, and in the forms that SIEMs read: CEF, ECS, OCSF. Every form says the mode.

Names from the network are hostile: nothing unprintable gets into any form, and each form escapes
what it is made of.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from sensor import __version__
from sensor.alerts.alert import Alert, rfc3339
from sensor.base.terminal import printable
from sensor.base.units import MILLISECOND
from sensor.hosts.subscribers import where
from sensor.notify.ticketed import ticket_of
from sensor.sinks.ocsf import finding

__all__ = ["DRY", "ENFORCED", "Form", "body", "cef", "ecs", "json_form", "shaped", "subject"]

Form = Literal["text", "cef", "ecs", "ocsf"]
ENFORCED: Final = "blocking is enforced"
DRY: Final = "dry run: nothing is blocked"
_CEF: Final = {"medium": 5, "high": 8, "critical": 10}


def subject(alerts: Sequence[Alert], mode: str) -> str:
    """A line."""
    first = alerts[0]
    dry = "" if mode == ENFORCED else f"[{mode}] "
    rest = f", and {len(alerts) - 1} more" if len(alerts) > 1 else ""
    text = (
        f"{dry}port25 {first.severity} alert {first.state}: {first.host} {first.score:+.1f}{rest}"
    )
    return printable(text)


def _block(alert: Alert, mode: str) -> str:
    said = "recommended" if alert.block_recommended else "not recommended"
    return f"{said} ({mode}): {alert.block_reason}"


def body(alerts: Sequence[Alert], mode: str) -> str:
    """What a person reads."""
    parts = []
    for one in alerts:
        lines = [
            f"{one.host}  {one.severity}  {one.state}  {one.score:+.1f} decibans  ({one.abuse})",
            *([f"customer {one.customer}"] if one.customer else []),
            *([f"ticket {ticket_of(one)}"] if ticket_of(one) else []),
            f"raised {rfc3339(one.opened)}, this message {one.time}",
            f"block {_block(one, mode)}",
            *(f"  {line.decibans:+6.1f}  {line.detector}: {line.reason}" for line in one.against),
            f"alert {one.id}",
        ]
        parts.append("\n".join(printable(line) for line in lines))
    return f"{mode}\n\n" + "\n\n".join(parts) + "\n"


def _address(alert: Alert) -> tuple[str, int]:
    """The host's address and its version, of an IPv6 prefix the first; empty: it has none now."""
    try:
        network, _ = where(alert.host)
    except ValueError:
        return "", 0
    return str(network.network_address), network.version


def _escaped(text: str, special: str) -> str:
    return re.sub(f"([{re.escape(special)}])", r"\\\1", printable(text))


def cef(alert: Alert, mode: str) -> str:
    """ArcSight Common Event Format, version 0.

    >>> _escaped("a|b=c", "|"), _escaped("a|b=c", "=")
    ('a\\\\|b=c', 'a|b\\\\=c')
    """
    title = f"Spam source {alert.state}"
    address, version = _address(alert)
    source = {"src": address} if version == 4 else {}
    if version == 6:
        source = {"c6a2": address, "c6a2Label": "source"}
    whose = {"suid": alert.customer} if alert.customer else {}
    head = ["CEF:0", "port25", "port25", __version__, f"alert.{alert.state}", title]
    fields = {
        "rt": alert.ts // MILLISECOND, "start": alert.opened // MILLISECOND,
        **source, "shost": alert.host, **whose, "externalId": alert.id,
        "cnt": alert.connections, "dpt": 25, "proto": "TCP", "cat": alert.abuse,
        "act": "block recommended" if alert.block_recommended else "none",
        "cfp1Label": "decibans", "cfp1": alert.score,
        "cs1Label": "mode", "cs1": mode, "cs2Label": "block", "cs2": alert.block_reason,
        "cs3Label": "severity", "cs3": alert.severity,
        **({"cs4Label": "ticket", "cs4": ticket_of(alert)} if ticket_of(alert) else {}),
        "msg": "; ".join(line.reason for line in alert.against),
    }  # fmt: skip
    text = " ".join(
        f"{name}={_escaped(str(value), chr(92) + '=')}" for name, value in fields.items()
    )
    return "|".join([_escaped(part, "\\|") for part in head] + [str(_CEF[alert.severity]), text])


def ecs(alert: Alert, mode: str) -> dict[str, Any]:
    """Elastic Common Schema 8."""
    address, _ = _address(alert)
    return {
        "@timestamp": alert.time,
        "ecs": {"version": "8.11.0"},
        "message": printable(subject([alert], mode)),
        "event": {
            "kind": "alert", "category": ["intrusion_detection"], "type": ["info"],
            "action": alert.state, "id": f"{alert.id}:{alert.revision}", "module": "port25",
            "severity": _CEF[alert.severity], "risk_score": alert.score,
            "start": rfc3339(alert.opened), "reason": printable(body([alert], mode)),
        },
        "source": {"address": alert.host} | ({"ip": address} if address else {}),
        **({"user": {"id": alert.customer}} if alert.customer else {}),
        "destination": {"port": 25},
        "network": {"transport": "tcp", "protocol": "smtp", "direction": "outbound"},
        "observer": {"product": "port25", "version": __version__, "type": "ids"},
        "rule": {"name": alert.abuse},
        "labels": {"mode": mode, "severity": alert.severity}
        | ({"ticket": ticket_of(alert)} if ticket_of(alert) else {}),
    }  # fmt: skip


def json_form(alert: Alert, form: Form, mode: str) -> Any:
    """As an object."""
    if form == "ecs":
        return ecs(alert, mode)
    if form == "ocsf":
        event = finding(alert)
        event["unmapped"]["mode"] = mode
        if ticket_of(alert):
            event["unmapped"]["ticket"] = ticket_of(alert)
        return event
    return msgspec.to_builtins(alert) | {"mode": mode}


def shaped(alert: Alert, form: Form, mode: str) -> str:
    """As a line."""
    if form == "text":
        return subject([alert], mode)
    if form == "cef":
        return cef(alert, mode)
    return msgspec.json.encode(json_form(alert, form, mode)).decode()
