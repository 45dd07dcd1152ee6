"""Who may see and do what on the web page: the settings, and what roles and passwords mean.

A *viewer* sees everything but packets, an *analyst* sees packets and notes what was seen to, an
*operator* also exempts hosts and ends blocks.
"""

import hashlib
import ipaddress
import secrets
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

__all__ = [
    "ROLES",
    "AccessError",
    "Person",
    "Role",
    "Token",
    "User",
    "WebSettings",
    "digest",
    "hashed",
    "is_loopback",
    "knows",
    "new_token",
    "place",
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


class AccessError(Exception):
    """The page must not be served like this; the text says what is missing."""


def place(settings: WebSettings) -> tuple[str, int]:
    """Address and port to listen at. Raises AccessError where that would not be safe."""
    host, _, port = settings.listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if int(port) > 65535:
        raise AccessError(f"web.listen: {port} is no port")
    for key in ("certificate", "key"):
        path = getattr(settings, key)
        if path and not Path(path).is_file():
            raise AccessError(f"web.{key}: {path}: there is no such file")
    if bool(settings.certificate) != bool(settings.key):
        raise AccessError("web.certificate and web.key belong together")
    for proxy in settings.trusted_proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError as error:
            raise AccessError(f"web.trusted_proxies: {error}") from None
    if not is_loopback(host):
        if not settings.users:
            raise AccessError(f"web.listen: {host} is not this machine alone: web.users is needed")
        if not settings.certificate and not settings.trusted_proxies:
            raise AccessError(
                f"web.listen: {host} is not this machine alone: web.certificate and web.key are"
                " needed, or web.trusted_proxies in front that speak TLS"
            )
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@cache
def _hasher() -> Any:
    from argon2 import PasswordHasher

    return PasswordHasher()


def hashed(password: str) -> str:
    """What to put into the settings for a password (Argon2id, RFC 9106)."""
    text: str = _hasher().hash(password)
    return text


def knows(users: tuple[User, ...], name: str, password: str) -> Person | None:
    """Who that is; None where name or password is wrong. Takes as long for a name nobody has."""
    from argon2.exceptions import InvalidHashError, VerificationError

    found = next((user for user in users if user.name == name), None)
    try:
        _hasher().verify(found.password if found else _nobody(), password)
    except (VerificationError, InvalidHashError):
        return None
    return Person(found.name, found.role) if found else None


@cache
def _nobody() -> str:
    return hashed(secrets.token_hex())


def new_token() -> str:
    """A token for a program; who has it is that program."""
    return f"p25_{secrets.token_urlsafe(32)}"


def digest(token: str) -> str:
    """What the settings hold of a token, whose 256 random bits need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()
