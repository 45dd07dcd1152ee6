"""Who may see and do what on the web page: the settings, and what roles mean.

A *viewer* sees everything but packets, an *analyst* sees packets and notes what was seen to, an
*operator* also exempts hosts and ends blocks. Whoever is bound to prefixes sees, and acts on, hosts
within them and no others.
"""

from __future__ import annotations  # what a setting may be is worked out when one is read

from functools import lru_cache
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from sensor.base.addresses import span

__all__ = [
    "EVERYTHING",
    "ROLES",
    "FarSensor",
    "Name",
    "OidcGroup",
    "OidcSettings",
    "Person",
    "Reach",
    "Role",
    "Token",
    "User",
    "WebLink",
    "WebSettings",
]

Role = Literal["viewer", "analyst", "operator"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "analyst", "operator")
Name = Annotated[str, msgspec.Meta(pattern=r"^[\w.@-]{1,64}$")]
"""As it stands in the books of who did what."""


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who logs in."""

    name: Name
    role: Role
    password: Annotated[str, msgspec.Meta(pattern=r"^\$argon2id\$")]
    """as ``port25 web --new-password`` prints it"""
    prefixes: tuple[str, ...] = ()
    """hosts beyond these are not seen; empty: all are"""


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that asks the API."""

    name: Name
    role: Role
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    """of the token, as ``port25 web --new-token`` prints it"""
    prefixes: tuple[str, ...] = ()
    """hosts beyond these are not seen; empty: all are"""


class WebLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link to another system, on the page of an alert or host."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    url: Annotated[
        str,
        msgspec.Meta(pattern=r"^https?://([^{}\s]|\{host\}|\{time\}|\{customer\}|\{ticket\})+$"),
    ]
    """``{host}``, ``{time}`` (RFC 3339, of the last message), ``{customer}`` and ``{ticket}`` are
    filled in; a link that wants one of the latter two is left out where there is none
    """


class OidcGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a group of the identity provider may do."""

    group: Annotated[str, msgspec.Meta(min_length=1)]
    role: Role
    prefixes: tuple[str, ...] = ()
    """hosts beyond these are not seen; empty: all are"""


class OidcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where people log in who have no password here (OpenID Connect)."""

    issuer: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^?#]+)?$")] = ""
    """of the identity provider, as its tokens name it; https, but on this machine; empty: none"""
    client_id: str = ""
    client_secret_file: str = ""
    """a file with the secret; empty: a public client"""
    ca_file: str = ""
    """PEM, where the provider's certificate is of an authority of your own"""
    scopes: tuple[str, ...] = ("openid", "profile")
    name_claim: str = "preferred_username"
    """what the person is called in the books; ``sub`` where a token does not have it"""
    groups_claim: str = "groups"
    groups: tuple[OidcGroup, ...] = ()
    """the first that a person is in counts; who is in none may not"""


class FarSensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sensor whose page has the packets that it saw."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$")]
    """as alerts name it (``kafka.sensor`` there)"""
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^?#\s]+$")]
    """of its page; https, but on this machine"""
    token_file: Annotated[str, msgspec.Meta(min_length=1)]
    """holds a token of that page, of an analyst"""
    ca_file: str = ""
    """PEM of whom to trust, besides whom the system trusts"""


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of ``port25 web``."""

    listen: Annotated[str, msgspec.Meta(pattern=r"^.+:\d{1,5}$")] = "127.0.0.1:8625"
    """address and port (0: any that is free); beyond this machine only with users, and TLS or a
    trusted proxy
    """
    certificate: str = ""
    key: str = ""
    """PEM files, for TLS"""
    trusted_proxies: tuple[str, ...] = ()
    """addresses of proxies that speak TLS to the outside; their X-Forwarded-For and -Proto count"""
    names: tuple[str, ...] = ()
    """names by which browsers may ask for this server, besides its address; others are refused"""
    users: tuple[User, ...] = ()
    tokens: tuple[Token, ...] = ()
    oidc: OidcSettings = OidcSettings()
    links: Annotated[tuple[WebLink, ...], msgspec.Meta(max_length=12)] = ()
    """links to other systems, on the page of an alert or host"""
    asn_table: str = ""
    """file that says whose an address is: CSV (``prefix,asn,name``), pyasn's, or a MaxMind database
    (``.mmdb``); shown beside destinations
    """
    ptr: bool = False
    """whether to ask DNS for the names of an alert's destinations when somebody looks at them"""
    resolver: str = ""
    """address or address:port of the name server to ask; empty: those of the system"""
    sensors: Annotated[tuple[FarSensor, ...], msgspec.Meta(max_length=1000)] = ()
    """where packets are fetched from that other sensors saw, when somebody asks for them"""
    evidence_megabytes: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 64
    """of one alert's packets, fetched from each of them"""
    session_hours: Annotated[int, msgspec.Meta(ge=1, le=720)] = 12
    """until somebody who logged in must do so again"""
    max_streams: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    """pages and programs that follow at the same time; more are turned away"""

    @property
    def login(self) -> bool:
        """Whether people log in, by password or elsewhere."""
        return bool(self.users or self.oidc.issuer)


@lru_cache(maxsize=1024)
def _spans(prefixes: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    found = [span(prefix) for prefix in prefixes]
    if None in found:
        raise ValueError(f"{prefixes[found.index(None)]!r} is no prefix")
    return tuple(one for one in found if one is not None)


class Reach(NamedTuple):
    """Whose hosts somebody may see: those that lie whole within one of some prefixes.

    >>> Reach(("192.0.2.0/24",)).covers("192.0.2.7"), Reach(("192.0.2.0/24",)).covers("192.0.3.7")
    (True, False)
    """

    prefixes: tuple[str, ...] = ()
    """none: everything"""

    @property
    def everything(self) -> bool:
        """Whether it has no bounds."""
        return not self.prefixes

    def covers(self, host: str) -> bool:
        """Whether a host, as alerts name it, is within; what is no address is not."""
        if self.everything:
            return True
        asked = span(host)
        return asked is not None and any(
            first <= asked[0] and asked[1] <= last for first, last in _spans(self.prefixes)
        )

    def within(self, other: Reach) -> bool:
        """Whether nothing of it is beyond another."""
        if other.everything or self.everything:
            return other.everything
        return all(other.covers(prefix) for prefix in self.prefixes)

    def check(self) -> None:
        """Raises ValueError for what is no prefix."""
        _spans(self.prefixes)

    @property
    def sql_name(self) -> str:
        """The name of :meth:`covers` in SQL; another reach has another."""
        import hashlib  # loads OpenSSL

        return f"reach_{hashlib.sha256(' '.join(self.prefixes).encode()).hexdigest()[:32]}"


EVERYTHING: Final = Reach()


class Person(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    role: Role
    prefixes: tuple[str, ...] = ()
    """hosts beyond these are not seen; empty: all are"""
    program: bool = False
    """it came with a token"""

    @property
    def reach(self) -> Reach:
        """Whose hosts they may see."""
        return Reach(self.prefixes)

    def may(self, role: Role) -> bool:
        """Whether they have a role, or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)
