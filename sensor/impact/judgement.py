"""What a subscriber uses foreign port 25 for, and what closing it would mean for them.

In this order:

* **spam source**: the detectors recommended a block. Closing the port is what is meant to happen.
* **mail program**: it authenticates, or speaks with the servers of at most ``_PROGRAM`` providers
  and hides what it says in TLS under a name that is no host's. It must move to port 587.
* **mail server**: it delivers to at least ``_SERVER`` networks as a mail server does: under one
  name or two, refused for fewer than half of its recipients, with QUIT more often than not. It
  needs a fixed address or an exemption.
* **unclear**: anything else. Somebody has to ask.
"""

from typing import Final, Literal, get_args

import msgspec

from sensor.alerts.abuse import kind_in_words
from sensor.alerts.alert import Alert
from sensor.impact.usage import Usage

__all__ = ["KINDS", "PLURALS", "Judgement", "Kind", "judge"]

Kind = Literal["spam source", "mail server", "mail program", "unclear"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
PLURALS: Final[dict[Kind, str]] = {kind: f"{kind}s" for kind in KINDS} | {"unclear": "unclear"}

_PROGRAM: Final = 3
"""Providers: a household has a few mail accounts."""
_SERVER: Final = 3
"""Networks: who delivers mail delivers to more than the big two."""
_LISTED: Final = 5
"""Providers and names that are listed."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """One subscriber of the report."""

    host: str
    """as alerts name it; of a known customer his pseudonym"""
    kind: Kind
    reasons: list[str]
    exempt: bool
    shared_address: bool
    connections: int
    completed: int
    sessions: int
    authenticated: int
    encrypted: int
    messages: int
    recipients: int
    recipients_refused: int
    networks: int
    providers: dict[str, int]
    """whose servers it spoke to, most often first: domain, or network where no name is known"""
    helo: list[str]
    """names it used, escaped"""
    first: int
    last: int
    """packet time, nanoseconds since 1970"""
    alert: str | None
    """id of the last alert"""
    address: str = ""
    """of a known customer where he was at ``last``: ``ADDRESS port N``, as it may be shared"""


def judge(usage: Usage, alert: Alert | None, blocked: bool) -> Judgement:
    """Of one subscriber, its last alert, and whether any recommended a block."""
    kind, reasons = _kind(usage, alert, blocked)
    return Judgement(
        host=usage.host,
        kind=kind,
        reasons=reasons,
        exempt=usage.exempt,
        shared_address=usage.shared,
        connections=usage.connections,
        completed=usage.completed,
        sessions=usage.spoken,
        authenticated=usage.authenticated,
        encrypted=usage.encrypted,
        messages=usage.messages,
        recipients=usage.recipients,
        recipients_refused=usage.recipients_refused,
        networks=len(usage.networks),
        providers=dict(usage.providers.most_common(_LISTED)),
        helo=[name for name, _ in usage.names.most_common(_LISTED)],
        first=usage.first,
        last=usage.last,
        alert=alert.id if alert is not None else None,
        address=usage.address,
    )


def _kind(usage: Usage, alert: Alert | None, blocked: bool) -> tuple[Kind, list[str]]:
    if blocked and alert is not None:
        against = [line.reason for line in alert.against]
        kind = [] if alert.abuse == "unknown" else [kind_in_words(alert.abuse).text]
        return "spam source", kind + (against or ["an alert recommended a block"])
    if usage.shared:
        return "unclear", ["many customers share the address: ask who, by port and time"]
    if not usage.spoken:
        return "unclear", _silence(usage, alert)
    few = len(usage.providers) <= _PROGRAM
    if few and 2 * usage.authenticated >= usage.spoken:
        text = f"{usage.authenticated} of {usage.spoken} sessions authenticated"
        return "mail program", [f"{text}, with {_whose(usage)}"]
    named = bool(usage.names) and all(_is_host(name) for name in usage.names)
    if few and 2 * usage.encrypted > usage.spoken and not named:
        text = f"{usage.encrypted} of {usage.spoken} sessions encrypted under no host's name"
        return "mail program", [f"{text}, with {_whose(usage)}"]
    against = []
    if len(usage.networks) < _SERVER:
        n = len(usage.networks)
        against.append(f"servers in {n} network{'s' * (n != 1)} only")
    if not named or len(usage.names) > 2:
        against.append(f"no mail server's name: {', '.join(list(usage.names)[:_LISTED]) or 'none'}")
    if 2 * usage.recipients_refused >= max(1, usage.recipients):
        against.append(f"{usage.recipients_refused} of {usage.recipients} recipients refused")
    if 2 * (usage.ended_politely + usage.encrypted) < usage.spoken:
        against.append(f"QUIT in {usage.ended_politely} of {usage.spoken} sessions")
    if alert is not None:
        against.append(f"an alert at {alert.score:+.1f} decibans, but no block recommended")
    if against:
        return "unclear", against
    text = f"{usage.messages:,} messages delivered to {len(usage.networks)} networks"
    return "mail server", [f"{text} as {' and '.join(usage.names)}"]


def _silence(usage: Usage, alert: Alert | None) -> list[str]:
    text = f"{usage.connections:,} connections opened, nothing said in any"
    return [text] + (["an alert on what may be forged, or a scan"] if alert is not None else [])


def _whose(usage: Usage) -> str:
    return ", ".join(name for name, _ in usage.providers.most_common(_PROGRAM))


def _is_host(name: str) -> bool:
    """Whether a HELO name is a host's: with a dot, and no address literal (RFC 5321, 4.1.3)."""
    return "." in name.strip(".") and not name.startswith("[") and not name[-1].isdigit()
