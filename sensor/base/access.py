"""Who may see and do what on the web page: the settings, and what roles mean.

A *viewer* sees everything but packets, an *analyst* sees packets and notes what was seen to, an
*operator* also exempts hosts and ends blocks.
"""

from typing import Annotated, Final, Literal

import msgspec

__all__ = ["ROLES", "Person", "Role", "Token", "User", "WebSettings"]

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


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that asks the API."""

    name: Name
    role: Role
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    """of the token, as ``port25 web --new-token`` prints it"""


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
    session_hours: Annotated[int, msgspec.Meta(ge=1, le=720)] = 12
    """until somebody who logged in must do so again"""
    max_streams: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    """pages and programs that follow at the same time; more are turned away"""


class Person(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether they have a role, or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)
