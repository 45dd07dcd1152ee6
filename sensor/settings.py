"""All settings, one TOML file, checked whole before anything starts.

Each stage declares its own settings; here they come together. Every mistake is reported with its
key and what would be right, not just the first one.
"""

from __future__ import annotations  # what a setting may be is worked out when one is read

import os
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from detectors.registry import DetectorSettings
from detectors.score import Model, ScoreSettings
from sensor.base.access import WebSettings
from sensor.base.settings_words import at_line, expected
from sensor.blocking.decision import SENSOR
from sensor.blocking.settings import BlockingSettings
from sensor.complaints.settings import ComplaintSettings
from sensor.flows.settings import FlowSettings
from sensor.hosts.subscribers import (
    Exemption,
    SubscriberPrefix,
    Subscribers,
    compile_subscribers,
)
from sensor.leases.settings import CustomerSettings
from sensor.notify.sink import NotifySettings
from sensor.sinks.kafka.connection import KafkaSettings, Topic
from sensor.sinks.sink import SinkSettings

if TYPE_CHECKING:
    from sensor.blocking.bounds import Bounds
    from sensor.blocking.policy import Policy

__all__ = [
    "SINKS",
    "AlertSettings",
    "ClusterSettings",
    "EvidenceSettings",
    "Limits",
    "LiveSettings",
    "Settings",
    "SettingsError",
    "bounds_of",
    "digest",
    "forward_faults",
    "idle_settings",
    "load_settings",
    "parse_settings",
    "policy_of",
    "state_folder",
    "subscriber_prefixes",
    "subscribers_of",
]

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ceilings of the tables; what goes first is said in each table's file."""

    max_hosts: Annotated[int, msgspec.Meta(ge=16, le=100_000_000)] = 1_000_000
    """120 bytes each, and up to 28 to find and reuse them"""
    max_details: Annotated[int, msgspec.Meta(ge=16, le=10_000_000)] = 65_536
    """hosts with more than a handful of connections a day; 9.5 kB each"""
    max_leases: Annotated[int, msgspec.Meta(ge=16, le=100_000_000)] = 1_000_000
    """of customers' addresses; 64 bytes each, 24 a customer, and some 40 to find them"""
    max_sketches: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 8_192
    """lists of more than 64 destinations; 8 kB each"""
    max_connections: Annotated[int, msgspec.Meta(ge=64, le=100_000_000)] = 1_000_000
    """128 bytes each, and 20 of index"""
    max_sessions: Annotated[int, msgspec.Meta(ge=16, le=10_000_000)] = 65_536
    """connections in which something is being said; 2.6 kB each"""
    max_pieces: Annotated[int, msgspec.Meta(ge=16, le=10_000_000)] = 8_192
    """of segments out of order, for all sessions together; 1.5 kB each"""
    max_exchangers: Annotated[int, msgspec.Meta(ge=16, le=10_000_000)] = 65_536
    """names of mail exchangers, and addresses that have one; some 300 bytes each"""
    max_alerts: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 65_536
    """open at the same time"""
    max_unproven_alerts: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 8_192
    """of them, on hosts that proved no handshake (at most 7/8); what is beyond is a flood"""


class AlertSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When an open alert is told again, and what it takes to recommend a block."""

    escalate_step: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """decibans"""
    refresh: Annotated[int, msgspec.Meta(ge=10)] = 600
    """seconds"""
    candidate_at: float = 0.0
    """decibans at which a host without an alert is noted in the journal, for ``port25 tune``"""
    enough_proof: Annotated[float, msgspec.Meta(ge=0)] = 12.0
    """decibans that proven first contacts alone must be worth for a block: twice the usual"""


class LiveSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of ``port25 live``; they take effect at its start."""

    ring: Annotated[int, msgspec.Meta(ge=2, le=4096)] = 64
    """MB of packets the kernel holds for each interface and worker"""
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """processes that share the interfaces; each subscriber is always the same one's. A change
    begins with no evidence
    """
    promiscuous: bool = True
    incoming_only: bool = False
    """leave out what this machine sends itself; a mirror port only receives"""
    tunnels: bool = False
    """let IP in IP, GRE, VXLAN, Geneve, GTP-U and Teredo through the kernel's filter"""
    user: str = "port25"
    """whom root becomes once the ring is open; ``nobody`` where there is no such user"""
    state: str = ""
    """folder of journal, snapshot and evidence; ``$STATE_DIRECTORY``, else ``/var/lib/port25`` for
    root and ``~/.local/state/port25`` for others
    """
    snapshot: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 60
    """seconds between snapshots"""
    metrics: Annotated[str, msgspec.Meta(pattern=r"^(.*:\d+)?$")] = "127.0.0.1:9625"
    """address and port for Prometheus; empty: none"""
    loss_alarm: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.001
    """share of bytes or packets lost that is worth an alarm"""
    usage: bool = False
    """whether to keep, by day, what each subscriber uses foreign port 25 for (``port25 impact
    --journal``): counts, providers and HELO names of customers who do nothing wrong
    """
    usage_days: Annotated[int, msgspec.Meta(ge=1, le=400)] = 30
    """how long that is kept"""
    journal_days: Annotated[int, msgspec.Meta(ge=1)] = 400
    """how long alerts are kept in the journal"""
    journal_megabytes: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4096
    """of alerts kept at most; the oldest go first, and first those every sink has"""


class EvidenceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rolling store of packets of watched ports, and what suspects said."""

    max_megabytes: Annotated[int, msgspec.Meta(ge=0, le=100_000_000)] = 1024
    """0: none are kept"""
    max_hours: Annotated[int, msgspec.Meta(ge=1)] = 48
    sessions: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 100
    """records of what was said, kept of each host with an alert or near one, as long; 0: none"""


class ClusterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many sensors whose segments come together on Kafka; they take effect at the start."""

    mode: Literal["alone", "forward"] = "alone"
    """of ``port25 live``: judge what comes, or forward it to those who correlate"""
    alone: bool = False
    """whether a sensor that forwards judges its share by itself while Kafka takes no segments:
    alerts in its own folder, never a block. It costs what judging costs, and only meanwhile
    """
    alone_after: Annotated[float, msgspec.Meta(ge=5, le=86_400)] = 60.0
    """seconds without Kafka after which it does"""
    segments_topic: Topic = "port25.segments"
    """what sensors forward"""
    state_topic: Topic = "port25.state"
    """snapshots of those who correlate"""
    snapshot: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 30.0
    """seconds between snapshots of a partition"""
    partitions: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    """of that topic, where it is made: shares of the subscribers, each followed by one process"""
    decide_topic: Topic = "port25.decide"
    """of one partition, empty: who has it decides"""
    decider: Annotated[str, msgspec.Meta(pattern=SENSOR)] = "port25-decide"
    """name on the block list of who decides: the same wherever that runs"""
    group: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = "port25-correlate"
    """the consumer group of those who correlate"""
    skew: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.05
    """seconds by which clocks of sensors may differ"""
    patience: Annotated[float, msgspec.Meta(ge=0.5, le=3600)] = 5.0
    """seconds a sensor may be silent before the others go on without it"""
    key_file: str = ""
    """the provider's secret, the same at all sensors: the hash of local parts depends on it. None:
    they become filler
    """
    held_megabytes: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 2048
    """of segments that wait for a slower sensor, in each partition; then they wait no longer"""
    spool_megabytes: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] = 4096
    """of batches that a sensor keeps on disk while Kafka is away; beyond, the oldest go"""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set. The defaults work for a first try."""

    ports: Annotated[tuple[Port, ...], msgspec.Meta(min_length=1)] = (25,)
    subscriber_prefixes: tuple[str | SubscriberPrefix, ...] = ()
    """none: every host is a subscriber"""
    own_mail_servers: tuple[str, ...] = ()
    exempt: tuple[Exemption, ...] = ()
    syn_timeout: Annotated[float, msgspec.Meta(gt=0, le=600)] = 10.0
    """seconds a SYN may wait for its answer"""
    replies: Literal["auto", "visible", "hidden"] = "auto"
    """whether the mirror shows what becomes of connections"""
    duplicate_window: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.005
    """seconds within which the same packet again is the mirror's copy; 0 looks for none"""
    checksums: Literal["auto", "ignore"] = "auto"
    """``auto``: leave out segments whose TCP checksum is wrong, where it means anything"""
    privacy: Literal["headers", "envelope", "evidence"] = "envelope"
    """``headers``: TCP/IP only; ``envelope``: verbs, reply codes, HELO, domains, counts as well;
    ``evidence``: and packets kept for evidence hold commands and replies, with addresses in clear
    """
    dns: bool = True
    """whether to read DNS for MX records (port 53; never at ``privacy = "headers"``)"""
    limits: Limits = Limits()
    score: ScoreSettings = ScoreSettings()
    detectors: DetectorSettings = DetectorSettings()
    customers: CustomerSettings = CustomerSettings()
    alerts: AlertSettings = AlertSettings()
    live: LiveSettings = LiveSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    blocking: BlockingSettings = BlockingSettings()
    kafka: KafkaSettings = KafkaSettings()
    notify: NotifySettings = NotifySettings()
    cluster: ClusterSettings = ClusterSettings()
    flows: FlowSettings = FlowSettings()
    complaints: ComplaintSettings = ComplaintSettings()
    web: WebSettings = WebSettings()

    @property
    def reads(self) -> bool:
        """Whether anything beyond TCP/IP headers is read."""
        return self.privacy != "headers"

    @property
    def model(self) -> Model:
        """How evidence is weighed by these."""
        validated = self.blocking.source_validation
        return Model(self.score, self.detectors, source_validation=validated)

    @property
    def reads_dns(self) -> bool:
        """Whether DNS is read."""
        return self.dns and self.reads


SINKS: Final[dict[str, type[SinkSettings]]] = {
    name: type(section)
    for name, section in ((name, getattr(Settings(), name)) for name in Settings.__struct_fields__)
    if isinstance(section, SinkSettings)
}
"""The sinks there are, by their sections."""


_SHARED: Final = (
    "ports", "subscriber_prefixes", "own_mail_servers", "exempt", "syn_timeout", "replies",
    "duplicate_window", "checksums", "privacy", "dns", "score", "detectors", "alerts",
)  # fmt: skip


class SettingsError(Exception):
    """Settings cannot be used; one line for every mistake."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def load_settings(path: str | None) -> Settings:
    """Read a TOML file, or give the defaults. Raises SettingsError."""
    if path is None:
        return Settings()
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise SettingsError([f"{path}: {error.strerror or error}"]) from None
    except UnicodeDecodeError as error:
        raise SettingsError([f"{path}: not UTF-8 at byte {error.start}"]) from None
    try:
        return parse_settings(text)
    except SettingsError as error:
        raise SettingsError([f"{path}: {mistake}" for mistake in error.mistakes]) from None


def parse_settings(text: str) -> Settings:
    """Settings from TOML text. Raises SettingsError."""
    import tomllib  # as what follows in functions here: most starts have no use for it

    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"not TOML: {error}"]) from None
    mistakes: list[str] = []
    settings = _convert(raw, Settings, "", mistakes)
    if not mistakes:
        mistakes += _check_prefixes(settings)
        if settings.customers.has_source and settings.live.workers > 1:
            mistakes.append(
                "live.workers: 1 is all where customers are known, whose addresses may be several's"
            )
        if settings.customers.names and not settings.reads:
            mistakes.append('customers.names: none are kept where privacy is "headers"')
        mistakes += _topic_faults(settings)
        mistakes += forward_faults(settings)
    if mistakes:
        raise SettingsError([at_line(text, one) for one in mistakes])
    typed: Settings = settings
    return typed


def digest(settings: Settings) -> str:
    """Of what sensors that judge together must be told alike: who is whom, and how to judge."""
    import hashlib

    shared = [getattr(settings, name) for name in _SHARED]
    return hashlib.blake2b(msgspec.json.encode(shared), digest_size=6).hexdigest()


def settings_said(settings: Settings) -> dict[str, Any]:
    """The same as it goes on the health topic, with one of each setting, to tell which differ."""
    import hashlib

    each = {
        name: hashlib.blake2b(msgspec.json.encode(getattr(settings, name)), digest_size=4)
        for name in _SHARED
    }
    digests = {name: one.hexdigest() for name, one in each.items()}
    return {"settings_digest": digest(settings), "settings_digests": digests}


def _topic_faults(settings: Settings) -> list[str]:
    """Topics of one name: what is written to the one would be read as the other's."""
    names: dict[str, str] = {}
    faults = []
    for section in ("kafka", "cluster"):
        for key, topic in msgspec.to_builtins(getattr(settings, section)).items():
            if key.endswith("_topic") and topic:
                other = names.setdefault(topic, f"{section}.{key}")
                if other != f"{section}.{key}":
                    faults.append(f"{section}.{key}: {topic} is {other} already")
    return faults


def forward_faults(settings: Settings) -> list[str]:
    """What a sensor that forwards cannot have, or lacks."""
    if settings.cluster.mode != "forward":
        return []
    faults = []
    if settings.live.workers > 1:
        faults.append('live.workers: 1 is all where cluster.mode is "forward"')
    if not settings.kafka.bootstrap:
        faults.append('kafka.bootstrap: missing; cluster.mode is "forward"')
    if settings.customers.has_source:
        faults.append(
            'customers: nobody is known by leases where cluster.mode is "forward", for who'
            " correlates judges by address"
        )
    return faults


def idle_settings(settings: Settings) -> list[str]:
    """What is set and does nothing, as these stand; it may do something elsewhere."""
    if settings.cluster.alone and settings.cluster.mode != "forward":
        return [
            'cluster.alone: does nothing, for cluster.mode is not "forward"; live needs that, or'
            " --forward"
        ]
    return []


def _convert(raw: Any, kind: Any, key: str, mistakes: list[str], default: Any = None) -> Any:
    """``raw`` as a ``kind``, with every mistake below ``key`` noted."""
    bare = typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind
    if isinstance(raw, dict) and isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        hints = typing.get_type_hints(bare, include_extras=True)
        usual = {one.name: one.default for one in msgspec.structs.fields(bare)}
        values = {}
        for name, value in raw.items():
            path = f"{key}.{name}" if key else name
            if name not in hints:
                import difflib

                near = difflib.get_close_matches(name, hints, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(hints)}"
                mistakes.append(f"{path}: no such setting; {hint}")
            else:
                values[name] = _convert(value, hints[name], path, mistakes, usual[name])
        required = {f.name for f in msgspec.structs.fields(bare) if f.required}
        mistakes.extend(f"{key}.{name}: missing" for name in sorted(required - raw.keys()))
        if any(name not in values for name in required):
            return None
        try:
            return bare(**values)
        except ValueError as error:  # each is right by itself, and together they are not
            mistakes.append(f"{key}: {error}")
            return None
    arguments = typing.get_args(bare)
    if isinstance(raw, list) and typing.get_origin(bare) is tuple and arguments[-1] is Ellipsis:
        items = [
            _convert(item, _member(arguments[0], item), f"{key}[{i}]", mistakes)
            for i, item in enumerate(raw)
        ]
        if raw or kind is bare:
            return tuple(items)
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        said = expected(str(error).partition(" - at ")[0], kind, default)
        mistakes.append(f"{key}: {said}")
        return None


def _member(kind: Any, value: Any) -> Any:
    """Of a union, the member that fits the value's shape."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union) and isinstance(value, dict):
        return next(k for k in typing.get_args(kind) if k is not str)
    return kind


def _check_prefixes(settings: Settings) -> list[str]:
    """Each prefix by itself, so that every bad one is named."""
    mistakes = []

    def check(key: str, **lists: Any) -> None:
        try:
            compile_subscribers(**lists)
        except ValueError as error:
            mistakes.append(f"{key}: {error}")

    for i, entry in enumerate(subscriber_prefixes(settings)):
        check(f"subscriber_prefixes[{i}]", prefixes=(entry,))
    for i, text in enumerate(settings.own_mail_servers):
        check(f"own_mail_servers[{i}]", own_mail_servers=(text,))
    for i, exemption in enumerate(settings.exempt):
        check(f"exempt[{i}].prefix", exempt=(exemption,))
    return mistakes


def subscriber_prefixes(settings: Settings) -> tuple[SubscriberPrefix, ...]:
    """The subscriber prefixes, plain texts as entries with defaults."""
    return tuple(
        SubscriberPrefix(entry) if isinstance(entry, str) else entry
        for entry in settings.subscriber_prefixes
    )


def state_folder(settings: Settings) -> Path:
    """Where journal, snapshot and evidence are."""
    if settings.live.state:
        return Path(settings.live.state)
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/port25")
    base = os.environ.get("XDG_STATE_HOME", "~/.local/state")
    return Path(base).expanduser() / "port25"


def bounds_of(settings: Settings) -> Bounds:
    """What must never be blocked, by the settings."""
    from sensor.blocking.bounds import Bounds

    prefixes = subscriber_prefixes(settings)
    return Bounds(prefixes, settings.own_mail_servers, settings.exempt)


def policy_of(settings: Settings) -> Policy:
    """The policy of the settings."""
    from sensor.blocking.policy import Policy

    return Policy(settings.blocking, bounds_of(settings))


def subscribers_of(settings: Settings) -> Subscribers:
    """Who is who by these settings, compiled."""
    return compile_subscribers(
        subscriber_prefixes(settings), settings.own_mail_servers, settings.exempt
    )
