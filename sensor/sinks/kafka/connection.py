"""How to reach Kafka: the settings, and what kafka-python is to be told.

Secrets are in files, read once while the process may still read them.
"""

from __future__ import annotations  # what a setting may be is worked out when one is read

import importlib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import msgspec

from sensor.blocking.decision import SENSOR
from sensor.sinks.sink import Metrics, Sink, SinkSettings, SinkSettingsError

if TYPE_CHECKING:
    import ssl

__all__ = [
    "NAME",
    "Connection",
    "ConnectionSettingsError",
    "KafkaSettings",
    "Topic",
    "import_kafka",
    "named",
]

_BOOTSTRAP: Final = 5000
"""Milliseconds for a first connection."""
_TOKEN_TIMEOUT: Final = 10
_LARGEST_TOKEN: Final = 1 << 20

NAME: Final = "kafka"
STATES: Final = ("connecting", "connected", "away", "refused", "no_topic")
"""``refused``: the credentials are; ``no_topic``: it is missing and must not be made."""

Topic = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class KafkaSettings(SinkSettings, frozen=True, forbid_unknown_fields=True):
    """Where alerts go; they take effect at the start."""

    title: ClassVar[str] = "Kafka"
    metrics: ClassVar[Metrics] = Metrics(
        counters={
            "kafka_acknowledged": "messages the brokers have acknowledged",
            "kafka_refused_messages": "messages too large for the topic",
            "kafka_restarts": "times sending began anew",
            "kafka_unheard": "words of persons not sent: there is no desk topic",
            "enforcement_heard": "what controllers said became of blocks",
            "enforcement_refused": "malformed words of controllers about blocks",
            "enforcement_forgotten": "oldest words of controllers, forgotten for want of room",
            "enforcement_not_written": "times words of controllers could not be left for the page",
            "desk_heard": "words of persons at other sensors, at each start again",
            "desk_refused": "words of persons that were malformed or out of bounds",
        },
        gauges={
            "kafka_waiting": "messages on disk that Kafka has not acknowledged",
            "kafka_topics_unfit": "topic settings that are not as they should be",
            "kafka_delay_p99_seconds": "from packet to acknowledgement, of the last 1,000 messages",
        },
        states={"kafka_state": ("1 for the state Kafka is in", STATES)},
    )

    bootstrap: tuple[Annotated[str, msgspec.Meta(pattern=r"^.+:\d+$")], ...] = ()
    """brokers as ``host:port``; none: no Kafka"""
    security: Literal["plaintext", "tls"] = "plaintext"
    ca_file: str = ""
    """PEM; empty: the system's"""
    cert_file: str = ""
    key_file: str = ""
    """PEM, where the broker asks clients for a certificate"""
    sasl: Literal["none", "plain", "scram-sha-256", "scram-sha-512", "oauthbearer"] = "none"
    user: str = ""
    """SASL user, or OAuth client (RFC 6749, section 4.4)"""
    password_file: str = ""
    """password, or secret of the OAuth client"""
    token_endpoint: str = ""
    """OAuth: URL that gives tokens"""
    scope: str = ""
    alerts_topic: Topic = "port25.alerts"
    blocklist_topic: Topic = "port25.blocklist"
    health_topic: Topic = "port25.sensor-health"
    desk_topic: Topic = "port25.desk"
    """what persons decided, for all sensors and controllers"""
    enforcement_topic: Topic = "port25.enforcement"
    """what controllers say became of blocks"""
    acts_topic: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{0,249}$")] = ""
    """what persons do about alerts and hosts, for programs elsewhere; empty: it is not told"""
    create_topics: bool = True
    partitions: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 6
    """of topics that are created"""
    replication: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """of topics that are created; 0: the broker's default"""
    format: Literal["port25", "ocsf"] = "port25"
    """of alerts: docs/alert.schema.json, or OCSF Detection Finding"""
    compression: Literal["none", "gzip"] = "gzip"
    sensor: Annotated[str, msgspec.Meta(pattern=rf"{SENSOR}|\A\Z")] = ""
    """name of this sensor, another for each; empty: the host's in Kafka, none in what is printed"""
    health_interval: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 10
    """seconds"""

    def prepare(self) -> Sink | None:
        """Read the secrets, where brokers are named. Raises ConnectionSettingsError."""
        if not self.bootstrap:
            return None
        from sensor.sinks.kafka.sink import KafkaSink

        return KafkaSink(Connection(named(self)))


def named(settings: KafkaSettings) -> KafkaSettings:
    """The settings with a name of the sensor, if need be the host's, as far as it can be one.

    >>> import re
    >>> bool(re.search(SENSOR, named(KafkaSettings()).sensor))
    True
    """
    name = settings.sensor or re.sub(r"[^A-Za-z0-9._-]", "-", os.uname().nodename).lstrip(".-")
    return msgspec.structs.replace(settings, sensor=name[:63] or "port25")


class ConnectionSettingsError(SinkSettingsError):
    """The settings cannot be used here; the text names the key."""


def _read(key: str, path: str) -> str:
    if not path:
        raise ConnectionSettingsError(f"kafka.{key}: missing")
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConnectionSettingsError(f"kafka.{key}: {path}: {error}") from None


class _Tokens:
    """Client-credentials grant; a token is used until half a minute before it ends.

    By hand, because it is one bounded request (RFC 6749, 4.4), made in a process that can no longer
    read its installation; a library (authlib, and an HTTP client under it) would bring refresh,
    discovery and sessions that nothing here uses.
    """

    def __init__(self, settings: KafkaSettings, secret: str, context: ssl.SSLContext) -> None:
        self._settings = settings
        self._secret = secret
        self._context = context
        self._token = ""
        self._until = 0.0

    def token(self) -> str:
        """For kafka-python; raises OSError or ValueError."""
        import json
        import urllib.parse
        import urllib.request

        if time.monotonic() < self._until:
            return self._token
        form = {"grant_type": "client_credentials", "client_id": self._settings.user}
        form |= {"client_secret": self._secret}
        if self._settings.scope:
            form["scope"] = self._settings.scope
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._settings.token_endpoint, urllib.parse.urlencode(form).encode()
        )
        context = self._context if request.type == "https" else None
        with urllib.request.urlopen(request, timeout=_TOKEN_TIMEOUT, context=context) as answer:  # noqa: S310
            said = json.loads(answer.read(_LARGEST_TOKEN))
        self._token = str(said["access_token"])
        self._until = time.monotonic() + float(said.get("expires_in", 60)) - 30
        return self._token

    def extensions(self) -> dict[str, str]:
        return {}


def _client(**configs: Any) -> Any:
    """What is below kafka-python's clients; it ends where no broker answers at the beginning.

    Of each attempt to reach brokers that are away, a thread and four open files would stay.
    """
    from kafka.net.compat import KafkaNetClient

    client = KafkaNetClient(**configs)
    begin = client._manager.bootstrap

    def bootstrap(*arguments: Any, **named: Any) -> None:
        try:
            begin(*arguments, **named)
        except BaseException:
            client.close()
            raise

    client._manager.bootstrap = bootstrap
    return client


class Connection:
    """The settings made ready, with all files read. Raises ConnectionSettingsError."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        tls = settings.security == "tls"
        context = self._tls() if tls or settings.token_endpoint else None
        protocol = {
            (False, False): "PLAINTEXT",
            (True, False): "SSL",
            (False, True): "SASL_PLAINTEXT",
            (True, True): "SASL_SSL",
        }[tls, settings.sasl != "none"]
        self.arguments: dict[str, Any] = {
            "bootstrap_servers": list(settings.bootstrap),
            "security_protocol": protocol,
            "ssl_context": context if tls else None,
            "bootstrap_timeout_ms": _BOOTSTRAP,
            "kafka_client": _client,
        }
        if settings.sasl != "none":
            self._sasl(context)

    def _tls(self) -> ssl.SSLContext:
        import ssl

        settings = self.settings
        try:
            context = ssl.create_default_context(cafile=settings.ca_file or None)
            if settings.cert_file:
                context.load_cert_chain(settings.cert_file, settings.key_file or None)
        except (OSError, ssl.SSLError) as error:
            raise ConnectionSettingsError(
                f"kafka.ca_file, cert_file or key_file: {error}"
            ) from None
        return context

    def _sasl(self, context: ssl.SSLContext | None) -> None:
        settings = self.settings
        if not settings.user:
            raise ConnectionSettingsError("kafka.user: missing")
        secret = _read("password_file", settings.password_file)
        self.arguments["sasl_mechanism"] = settings.sasl.upper()
        if settings.sasl != "oauthbearer":
            self.arguments |= {"sasl_plain_username": settings.user, "sasl_plain_password": secret}
            return
        if not settings.token_endpoint.startswith(("https://", "http://")):
            raise ConnectionSettingsError("kafka.token_endpoint: expected an https:// URL")
        # Here, while the installation can be read.
        import json  # noqa: F401
        import urllib.request  # noqa: F401

        from kafka.net.sasl.oauth import AbstractTokenProvider

        class Provider(_Tokens, AbstractTokenProvider):  # type: ignore[misc]
            """Both in one: kafka-python insists on its own class."""

        assert context is not None
        self.arguments["sasl_oauth_token_provider"] = Provider(settings, secret, context)


def import_kafka() -> None:
    """Before a thread that uses it starts: two that import it at once can each find half of it."""
    importlib.import_module("kafka")
