"""Who did what; and tokens for programs, made and revoked by people within their own reach."""

import time
from typing import Annotated, Final

import msgspec

from sensor.base.access import ROLES, Name, Reach, Role
from sensor.console.web import credentials, schemas
from sensor.console.web.app_state import ApiError
from sensor.console.web.keys import IssuedToken, TokenError, until
from sensor.console.web.operation import ApiRequest
from sensor.state.audit import Audited

__all__ = [
    "AuditPage",
    "AuditQuery",
    "NameQuery",
    "NewToken",
    "TokenOf",
    "Tokens",
    "audit",
    "issue",
    "revoke",
    "tokens",
]


_BOOK: Final = "audit"
"""As it stands in a place of the book."""


class AuditQuery(schemas.Query, frozen=True):
    """From where on."""

    before: schemas.PlaceText = ""
    """``next`` of the page before"""
    limit: schemas.Limit = 100


class NameQuery(schemas.Query, frozen=True):
    """Which one."""

    name: Name


class TokenOf(schemas.Body, frozen=True):
    """A token to be made."""

    name: Name
    role: Role
    prefixes: Annotated[tuple[schemas.Host, ...], msgspec.Meta(max_length=64)] = ()
    """hosts beyond these are not seen; empty: all are"""
    days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 365


class AuditPage(msgspec.Struct, frozen=True):
    """Who looked at packets, and who did what, the newest first."""

    rows: list[Audited]
    next: str | None
    """``before`` of the next page"""


class Tokens(msgspec.Struct, frozen=True):
    """Tokens made on the page; those of the settings are with the settings."""

    tokens: list[IssuedToken]


class NewToken(msgspec.Struct, frozen=True):
    """A token; it is told this once."""

    token: str
    made: IssuedToken


def audit(request: ApiRequest) -> AuditPage:
    """A page of the book; who is bound to prefixes is told no numbers of its rows."""
    q: AuditQuery = request.query
    seal, reach = request.app.seal, request.person.reach
    try:
        before = seal.place(q.before, reach).get(_BOOK, 0)
    except ValueError as error:
        raise ApiError(400, f"before: {error}") from None
    found = request.view.audited(q.limit, before)
    following = seal.text({_BOOK: found[-1].number}, reach) if len(found) == q.limit else None
    if not reach.everything:
        found = [msgspec.structs.replace(one, number=0) for one in found]
    return AuditPage(found, following)


def tokens(request: ApiRequest) -> Tokens:
    """Those made on the page."""
    found = request.app.keys.change(lambda book: book.tokens().values())
    reach = request.person.reach
    return Tokens([one for one in found if Reach(tuple(one.prefixes)).within(reach)])


def _may(request: ApiRequest) -> None:
    """Who has stolen a token is not to make himself others."""
    if request.person.program:
        raise ApiError(403, "people make and revoke tokens, programs do not: log in")


def issue(request: ApiRequest) -> NewToken:
    """Make one; it is shown this once."""
    _may(request)
    body: TokenOf = request.body
    who, reach = request.person, Reach(tuple(body.prefixes))
    try:
        reach.check()
    except ValueError as error:
        raise ApiError(400, f"prefixes: {error}") from None
    if ROLES.index(body.role) > ROLES.index(who.role) or not reach.within(who.reach):
        raise ApiError(403, "nobody gives a token more than they may themselves")
    secret, now = credentials.new_token(), time.time_ns()
    made = IssuedToken(
        body.name, body.role, list(body.prefixes), now, who.name, until(body.days), 0
    )
    request.view.note(who.name, "token made", detail=f"{body.name} ({body.role})")
    try:
        request.app.keys.change(lambda book: book.issue(credentials.digest(secret), made, now))
    except TokenError as error:
        raise ApiError(409, str(error)) from None
    return NewToken(secret, made)


def revoke(request: ApiRequest) -> Tokens:
    """End one."""
    _may(request)
    name, reach = request.query.name, request.person.reach
    request.view.note(request.person.name, "token revoked", detail=name)
    if not request.app.keys.change(lambda book: book.revoke(name, reach, time.time_ns())):
        raise ApiError(404, "no token of this name is good")
    return tokens(request)
