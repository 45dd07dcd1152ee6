"""What an alert says. The JSON Schema in ``docs/alert.schema.json`` is exported from here."""

import datetime
from typing import Annotated, Any, Final, Literal

import msgspec

import detectors.registry  # noqa: F401 (its sentences are the lines of alerts)
from sensor.alerts.abuse import Abuse
from sensor.base.ids import id_of
from sensor.base.json_schema import published
from sensor.base.units import SECOND
from sensor.customers.words import Address

__all__ = [
    "SCHEMA",
    "Alert",
    "AlertHead",
    "Destination",
    "EvidenceLine",
    "Exchanger",
    "Severity",
    "State",
    "alert_id",
    "json_schema",
    "rfc3339",
]

SCHEMA: Final = "port25.alert/1"

State = Literal["raised", "escalated", "refreshed", "closed"]
Severity = Literal["medium", "high", "critical"]


class EvidenceLine(msgspec.Struct, frozen=True):
    """One line of the sum that makes the score."""

    detector: str
    decibans: float
    """log-likelihood ratio, "spam source" against "legitimate"; one decimal"""
    reason: str
    """a sentence in English, made of ``code`` and ``figures``; its wording may change"""
    figures: dict[str, Any]
    """the numbers the reason rests on"""
    code: str = ""
    """what is found, in a word that does not change; empty in messages of old"""


class Destination(msgspec.Struct, frozen=True):
    """One foreign mail server the host contacted."""

    address: str
    name: str | None
    """of the mail exchanger, if a DNS answer told it; a name proves nothing"""
    last_seen: int
    """packet time, seconds since 1970"""


class Exchanger(msgspec.Struct, frozen=True):
    """Destinations that DNS answers told to be one mail exchanger."""

    name: str
    provider: str | None
    """the registrable domain of the name"""
    addresses: int
    """of this name among the last 64 destinations"""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One message about one host. All messages of an alert share its id; revisions count up."""

    schema: str = SCHEMA
    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    """the same whenever the same packets are replayed with the same settings"""
    revision: int
    ts: int
    """packet time of this message, nanoseconds since 1970"""
    time: str
    """the same, RFC 3339"""
    opened: int
    """packet time at which the alert was raised, nanoseconds since 1970"""
    state: State
    host: str
    """the subscriber: an address, an IPv6 prefix, or an address with a port block"""
    abuse: Abuse = "unknown"
    """what kind of it is seen; in messages of old not known"""
    severity: Severity
    score: float
    """decibans; the sum of ``evidence``"""
    raise_at: float
    clear_at: float
    evidence: list[EvidenceLine]
    handshake_proven: bool
    """the host itself completed a handshake; SYNs alone can be forged"""
    proven: int
    """such handshakes"""
    disowned: int
    """answers the host reset, as one does whose address was forged (or one that scans)"""
    shared_address: bool
    """many customers are behind this address: declared, or by what is seen of it"""
    block_recommended: bool
    block_reason: str
    """a sentence in English, made of ``block_code`` and ``block_figures``"""
    block_code: str = ""
    """why or why not, in a word that does not change; empty in messages of old"""
    block_figures: dict[str, Any] = {}
    replies_visible: bool
    first_seen: int
    """packet time, seconds since 1970"""
    connections: int
    windows: dict[str, dict[str, int]]
    destinations: list[Destination]
    """contacted last, newest first, ten at most"""
    exchangers: list[Exchanger]
    """destinations with a known name, those with most addresses first"""
    sensor: str | msgspec.UnsetType = msgspec.UNSET
    """name of the sensor (``kafka.sensor``), where it has one; in Kafka always"""
    alone: bool | msgspec.UnsetType = msgspec.UNSET
    """true: a sensor that forwards judged its share alone, as Kafka took no segments
    (``cluster.alone``). Such an alert stays in that sensor's folder and recommends no block
    """
    customer: str | msgspec.UnsetType = msgspec.UNSET
    """pseudonym of the customer, where leases tell whose the address is: ``c-`` and 24 digits. The
    alert is then about him, wherever he is, and ``host`` is where he was last
    """
    addresses: list[Address] | msgspec.UnsetType = msgspec.UNSET
    """of the customer, now and in the last day, the newest first, 64 at most"""

    @property
    def against(self) -> list[EvidenceLine]:
        """Lines of the sum that speak against the host."""
        return [line for line in self.evidence[1:] if line.decibans > 0]


class AlertHead(msgspec.Struct, frozen=True):
    """The fields of an alert that lists show and are searched by, as its last message has them.

    The journal keeps them by themselves, and lists and events of the page are made of them.
    """

    id: str
    host: str
    opened: int
    ts: int
    state: State
    severity: Severity
    score: float
    """decibans"""
    block_recommended: bool
    customer: str
    """pseudonym of the customer, where leases tell; else empty"""
    abuse: Abuse
    """what kind of it is seen"""


def alert_id(host: str, opened: int, alone: str | None = None) -> str:
    """The id of the alert raised for ``host``, or for a customer, at packet time ``opened`` (ns).

    A customer is named by his pseudonym, so that the id is the same wherever he goes. ``alone``:
    the sensor that raised it alone; never the id that who correlates gives the same host's.
    """
    of = f"{SCHEMA}|{host}|{opened}" if alone is None else f"{SCHEMA}|{host}|{opened}|{alone}"
    return id_of(of)


def rfc3339(ts: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 with microseconds, UTC.

    >>> rfc3339(1_700_000_000_123_456_789)
    '2023-11-14T22:13:20.123456Z'
    """
    moment = datetime.datetime.fromtimestamp(ts // SECOND, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ts // 1000 % 1_000_000:06d}Z"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an alert."""
    return published(Alert, SCHEMA)


if __name__ == "__main__":
    import json

    print(json.dumps(json_schema(), indent=2))
