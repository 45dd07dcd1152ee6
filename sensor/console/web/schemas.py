"""What the API takes and gives; ``docs/openapi.json`` is made from here.

Times are nanoseconds of packet time since 1970, unless something else is said.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sensor.alerts.abuse import Abuse
from sensor.alerts.alert import Alert, AlertHead, Severity
from sensor.alerts.candidate import Candidate
from sensor.alerts.gist import Gist
from sensor.alerts.vitals import Vitals
from sensor.base.access import Role
from sensor.base.sentences import Sentence
from sensor.blocking.decision import Decision
from sensor.blocking.desk import Acknowledged, Exempted
from sensor.blocking.enforcement import Enforcement
from sensor.blocking.handling import LARGEST_TICKET, ActName, Handling, HandlingState, Verdict
from sensor.console.corroboration import Corroboration
from sensor.console.gathering import EvidenceSource
from sensor.console.standing import Block, BlockState
from sensor.console.status import Range
from sensor.console.told import Told
from sensor.smtp.record import Session
from sensor.state.journal import Sort

Time = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
ReasonText = Annotated[str, Meta(min_length=1, max_length=500)]
Host = Annotated[str, Meta(min_length=2, max_length=60)]
"""As alerts name it: an address, an IPv6 prefix, or an address with a port block."""
AlertId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Cursor = Annotated[str, Meta(pattern="^.{1,120}-[0-9a-f]{32}$")]
"""Where a page ended, from the page before."""
_ONE = "[A-Za-z0-9_-]+:[0-9]{1,39}"
PlaceText = Annotated[str, Meta(pattern=f"^({_ONE}(,{_ONE})*)?$", max_length=4000)]
"""How far somebody is with the journals: a cursor, from the page before or an event's id."""


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a request."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request says."""


# --- asked ----------------------------------------------------------------------------------------


class AlertsFilter(Query, frozen=True):
    """Which alerts."""

    text: Annotated[str, Meta(max_length=200)] = ""
    """words, each in host, severity, state or id; an address or a prefix that the host shares
    addresses with; or a key with a value: dst, helo, domain, by, owner, note, why, verdict, abuse,
    ticket, customer, is
    """
    state: Literal["open", "raised", "escalated", "refreshed", "closed"] | UnsetType = UNSET
    severity: Severity | UnsetType = UNSET
    abuse: Abuse | UnsetType = UNSET
    recommended: bool | UnsetType = UNSET
    """whether a block is recommended"""
    block: BlockState | UnsetType = UNSET
    """what became of that"""
    handled: HandlingState | UnsetType = UNSET
    """how far the desk is"""
    owner: Annotated[str, Meta(max_length=64)] = ""
    seen_to: bool | UnsetType = UNSET
    """whether somebody has done or said something about it"""
    since: Time | UnsetType = UNSET
    until: Time | UnsetType = UNSET
    last: Annotated[int, Meta(ge=1, le=31_622_400)] | UnsetType = UNSET
    """with a message within so many seconds of packet time"""
    sort: Sort = "raised"
    """active: by the last message; host: by address, ascending"""


class ExportQuery(AlertsFilter, frozen=True, kw_only=True):
    """Which list, in which form; filters are of alerts."""

    list: Literal["alerts", "candidates", "blocks", "exemptions"] = "alerts"
    format: Literal["csv", "json", "parquet"] = "csv"


class SummaryQuery(Query, frozen=True):
    """How far back."""

    hours: Annotated[int, Meta(ge=1, le=744)] = 24
    limit: Annotated[int, Meta(ge=1, le=100)] = 10
    """hosts"""


class AlertsQuery(AlertsFilter, frozen=True):
    """Which alerts, from where on."""

    after: Cursor | UnsetType = UNSET
    limit: Limit = 100


class MessagesQuery(Query, frozen=True):
    """From where on."""

    after: PlaceText = ""
    limit: Limit = 100


class LimitQuery(Query, frozen=True):
    """How many."""

    limit: Limit = 100


class HostQuery(Query, frozen=True):
    """Which host."""

    host: Host
    limit: Limit = 100
    """sessions and decisions"""


class VitalsQuery(Query, frozen=True):
    """How far back, and how finely."""

    seconds: Annotated[int, Meta(ge=60, le=172_800)] = 7200
    points: Annotated[int, Meta(ge=1, le=2000)] = 720
    """at most; a point is at least ten seconds"""


class PacketsQuery(Query, frozen=True):
    """Which of an alert's packets."""

    after: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    """packet number"""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class SinceQuery(Query, frozen=True):
    """From when on."""

    since: Time = 0


class Login(Body, frozen=True):
    """Who wants to come in."""

    name: Annotated[str, Meta(max_length=64)]
    password: Annotated[str, Meta(max_length=1000)]


class Reason(Body, frozen=True):
    """For the books."""

    reason: ReasonText


class Acts(Body, frozen=True):
    """What somebody does about some alerts."""

    alerts: Annotated[list[AlertId], Meta(min_length=1, max_length=1000)]
    act: ActName
    """take: it is mine; assign: it is the owner's; done: with a verdict or a text; snooze: for some
    hours; reopen: it is not done; note: a text, and nothing else changes; ticket: there is one
    """
    reason: Annotated[str, Meta(max_length=500)] = ""
    owner: Annotated[str, Meta(max_length=64)] = ""
    hours: Annotated[int, Meta(ge=0, le=8760)] = 0
    verdict: Verdict = ""
    """what it was"""
    ticket: Annotated[str, Meta(max_length=LARGEST_TICKET)] = ""
    """of ``ticket``: its number or address; empty, with a reason: there is none any more"""


class Exempt(Body, frozen=True):
    """Never alert on a host, nor block it, for some days."""

    host: Host
    days: Annotated[int, Meta(ge=1, le=3650)]
    reason: ReasonText


class HostReason(Body, frozen=True):
    """Of a host, for the books."""

    host: Host
    reason: ReasonText


class TrialOf(Body, frozen=True):
    """Who is to be told of an alert that is none."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


# --- given ----------------------------------------------------------------------------------------


class Fault(msgspec.Struct, frozen=True):
    """What went wrong (RFC 9457)."""

    title: str
    status: int
    detail: str


class Me(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    role: Role
    prefixes: list[str]
    """hosts beyond these are not seen; empty: all are"""
    csrf: str
    """to be sent as ``X-CSRF-Token`` with everything that changes something; empty for tokens"""
    login: bool
    """whether people log in here"""
    names: bool
    """whether they may be told customers' names (``POST /api/v1/customer/name``)"""
    version: str


class LoginMode(msgspec.Struct, frozen=True):
    """How people come in."""

    login: bool
    """with name and password, or at the identity provider; otherwise with the address that
    ``port25 web`` printed
    """
    password: bool
    """with name and password"""
    oidc: bool
    """at the identity provider, by way of ``/login/oidc``"""


class AlertEvent(AlertHead, frozen=True):
    """A message of an alert, as the stream tells it."""

    revision: int
    gist: Gist


class Listed(AlertHead, frozen=True):
    """An alert as its last message left it, and what persons did."""

    gist: Gist
    acknowledged: Acknowledged | None
    """what was done or noted last"""
    handling: Handling
    exempted: Exempted | None
    block: Block


class Alerts(msgspec.Struct, frozen=True):
    """A page of a list."""

    alerts: list[Listed]
    next: str | None
    """cursor of the next page"""
    total: int
    """that fit, on all pages"""
    all: int
    """alerts there are"""


class Acted(msgspec.Struct, frozen=True):
    """How many alerts that was done to."""

    alerts: int


class Messages(msgspec.Struct, frozen=True):
    """Messages in the order in which they were written."""

    messages: list[Alert]
    next: str
    """cursor to go on with, also when nothing more has come yet"""


class Step(msgspec.Struct, frozen=True):
    """One message of an alert's course."""

    ts: int
    state: str
    score: float
    networks: dict[str, int]
    """foreign networks by window"""


class Link(msgspec.Struct, frozen=True):
    """To another system, by a template of the settings."""

    name: str
    url: str


class AlertDetail(msgspec.Struct, frozen=True):
    """One alert."""

    listed: Listed
    alert: Alert
    """its last message"""
    course: list[Step]
    notes: list[Acknowledged]
    """all that persons noted, the oldest first"""
    links: list[Link]
    others: Corroboration
    """what others say of the host; it changes no score"""


class HostPage(msgspec.Struct, frozen=True):
    """What is known of one host."""

    host: str
    alerts: list[Listed]
    candidate: Candidate | None
    sessions: list[Session]
    """said last, the newest first; kept from when it came to even odds"""
    decisions: list[Decision]
    exempted: Exempted | None
    links: list[Link]


class Candidates(msgspec.Struct, frozen=True):
    """Hosts without an alert, the highest scores first."""

    candidates: list[Candidate]


class InForce(msgspec.Struct, frozen=True):
    """Blocks, and the packet time that ``expires`` is to be held against."""

    now: int
    stopped: bool
    """blocking has stopped itself and does not yet go on as before"""
    pause: list[str]
    """the newest stop or step, in words"""
    pause_causes: list[Sentence]
    """the same as codes and figures"""
    total: int
    blocks: list[Decision]
    """those that began first, as many as were asked for"""
    carried_out: list[Enforcement]
    """what controllers say became of them, as far as they say anything"""


class Exemptions(msgspec.Struct, frozen=True):
    """Exemptions of the desk in force; those of the settings are with the settings."""

    exemptions: list[Exempted]


class Span(msgspec.Struct, frozen=True):
    """Alerts raised in a piece of the time."""

    since: int
    until: int
    raised: dict[str, int]
    """by severity, as it is now"""


class Summary(msgspec.Struct, frozen=True):
    """Alerts over time, by severity, and the hosts with the highest scores."""

    now: int
    spans: list[Span]
    """24 pieces of the same length, the oldest first"""
    open: dict[str, int]
    """alerts that are open, by severity"""
    hosts: list[Listed]
    """with an open alert, the highest scores first"""


class Networks(msgspec.Struct, frozen=True):
    """Where the alerts are."""

    networks: list[Range]


class Course(msgspec.Struct, frozen=True):
    """How it went."""

    now: int
    vitals: list[Vitals]


class Layer(msgspec.Struct, frozen=True):
    """One protocol of a packet, as Wireshark shows it."""

    name: str
    fields: list[str]


class Packet(msgspec.Struct, frozen=True):
    """One packet, as Wireshark shows it."""

    number: int
    ts: float
    """seconds since 1970"""
    source: str
    destination: str
    protocol: str
    length: int
    """bytes on the wire"""
    info: str
    layers: list[Layer]


class Packets(msgspec.Struct, frozen=True):
    """Some of an alert's packets, in order."""

    total: int
    """kept of its host until its last message"""
    packets: list[Packet]
    unreadable: int
    """of these, packets that cannot be shown; their ``info`` says why"""
    sources: list[EvidenceSource] = []
    """which sensors they are from, where others were asked"""


class Released(msgspec.Struct, frozen=True):
    """What ended."""

    blocks: int


class Impact(msgspec.Struct, frozen=True):
    """Who would be hit if foreign port 25 were closed: as ``port25 impact --format json``."""

    report: dict[str, Any] | None
    missing: str = ""
    """why there is none"""


class Setting(msgspec.Struct, frozen=True):
    """One setting as the page was started with it."""

    key: str
    value: Any
    default: Any
    text: str = ""
    """what it means, in English"""


class SettingsPage(msgspec.Struct, frozen=True):
    """All of them; secrets are left out."""

    file: str | None
    settings: list[Setting]


TroubleCode = Literal[
    "no_vitals", "capture_loss", "blocking_stopped", "feed_refused", "sink_waiting",
    "sink_away", "disk_nearly_full",
]  # fmt: skip


class Trouble(msgspec.Struct, frozen=True):
    """Something a person should see to."""

    code: TroubleCode
    detail: str
    """in English"""
    cause: Sentence
    """the same as code and figures"""


class Health(msgspec.Struct, frozen=True):
    """How sensor, disk, sinks and this page are."""

    troubles: list[Trouble]
    now: int
    """packet time of the newest thing known; after live traffic, the time"""
    vitals: Vitals | None
    vitals_age: float | None
    """seconds since they were written, by the wall clock"""
    journal_bytes: int
    evidence_bytes: int
    disk_free_bytes: int
    sinks_waiting: dict[str, int]
    """messages in the journals that a sink (``kafka``) is not done with, of each there is"""
    told: list[Told]
    """who is told of alerts"""
    blocking_stopped: bool
    streams: int
    """pages and programs that follow this server"""
    logins_refused: dict[str, int]
    """since the server started, by reason: ``password``, ``throttled``; at the identity provider
    ``state``, ``provider``, ``token``, ``signature``, ``issuer``, ``audience``, ``expired``, ...
    """
    streams_reset: int
    """times one was too slow and had to begin anew"""
    version: str
