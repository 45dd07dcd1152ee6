"""What every destination has: a name, rules for what it is told, and a way to be told.

A destination is a struct of the settings (``[[notify.mail]]`` and so on); opened, it is a way to
send. That may be slow, it may fail; its lane (:mod:`sensor.notify.lane`) tries again.
"""

import datetime
import ipaddress
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from sensor.alerts.abuse import Abuse
from sensor.alerts.alert import Alert, Severity, State
from sensor.base.units import SECOND
from sensor.hosts.subscribers import where

if TYPE_CHECKING:
    from sensor.blocking.acts import DeskAct

__all__ = [
    "ActWay",
    "Destination",
    "NotTakenError",
    "RefusedError",
    "Server",
    "Way",
    "host_and_port",
]

Hour = Annotated[int, msgspec.Meta(ge=0, le=24)]
Server = Annotated[str, msgspec.Meta(pattern=r"^.+:\d{1,5}$")]
"""Host and port."""
ActWay = Callable[[Sequence["DeskAct"], str], None]
"""Tell it of what persons did. Raises NotTakenError, RefusedError."""
Way = Callable[[Sequence[Alert], str], None]
"""Tell it of alerts, and what is said of blocking. Raises NotTakenError, RefusedError."""


def host_and_port(server: Server) -> tuple[str, int]:
    """The two; an address of IPv6 may stand in brackets."""
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


class NotTakenError(Exception):
    """It could not be sent now; the text says why."""


class RefusedError(Exception):
    """It will never be taken; the text says why."""


class Destination(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told, and of what. Raises ValueError where the rules make no sense."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    """under which it is kept how far it is; a new name begins with what is raised from then on"""
    severities: tuple[Severity, ...] = ("medium", "high", "critical")
    states: tuple[State, ...] = ("raised", "escalated", "closed")
    abuse: tuple[Abuse, ...] = ()
    """kinds of abuse; none: all"""
    prefixes: tuple[str, ...] = ()
    """of subscribers; none: all"""
    customers: tuple[str, ...] = ()
    """pseudonyms, where leases tell whose an address is; none: all"""
    hours: tuple[Hour, Hour] = (0, 24)
    """from and to, of the day or, as (18, 8), of the night; what is raised outside of them waits
    until they begin
    """
    zone: str = "UTC"
    """of the hours, as ``Asia/Tokyo``"""
    group_wait: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.0
    """seconds that the first of a message waits for more"""
    group_most: Annotated[int, msgspec.Meta(ge=1, le=500)] = 1
    """alerts in a message"""

    def __post_init__(self) -> None:
        for prefix in self.prefixes:
            ipaddress.ip_network(prefix)
        if self.hours[0] == self.hours[1]:
            raise ValueError(f"{self.name}: hours end where they begin")
        import zoneinfo

        try:
            zoneinfo.ZoneInfo(self.zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{self.name}: there is no time zone {self.zone}") from None

    def wants(self, alert: Alert) -> bool:
        """Whether it is to be told."""
        if alert.severity not in self.severities or alert.state not in self.states:
            return False
        if self.abuse and alert.abuse not in self.abuse:
            return False
        if self.customers and alert.customer not in self.customers:
            return False
        return not self.prefixes or self._within(alert.host)

    def wants_act(self, act: "DeskAct") -> bool:
        """Whether it is to be told what a person did: prefixes and customers count."""
        if self.customers and act.customer not in self.customers:
            return False
        return not self.prefixes or self._within(act.host)

    def _within(self, host: str) -> bool:
        try:
            source, _ = where(host)
        except ValueError:  # a customer by name
            return False
        networks = map(ipaddress.ip_network, self.prefixes)
        return any(n.version == source.version and n.overlaps(source) for n in networks)

    def awake(self, clock: int) -> bool:
        """Whether it may be told at a wall time (ns)."""
        import zoneinfo

        zone = zoneinfo.ZoneInfo(self.zone)
        hour = datetime.datetime.fromtimestamp(clock // SECOND, zone).hour
        first, last = self.hours
        return first <= hour < last if first < last else hour >= first or hour < last

    def opened(self) -> Way:
        """The way to tell it. Secrets are read here: later the sensor may not read its own files.

        Raises OSError, ValueError.
        """
        raise NotImplementedError

    def opened_for_acts(self) -> ActWay | None:
        """The way to tell it what persons did at the desk; None: it is not told."""
        return None

    @property
    def shown(self) -> dict[str, Any]:
        """The settings as anybody may see them."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found
