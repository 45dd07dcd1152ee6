"""Who did what; and tokens for programs, made and revoked by people within their own reach."""

import time

from sensor.base.access import ROLES, Reach
from sensor.console.web import credentials, schemas
from sensor.console.web.app_state import ApiError
from sensor.console.web.keys import IssuedToken, TokenError, until
from sensor.console.web.operation import ApiRequest

__all__ = ["audit", "issue", "revoke", "tokens"]


def audit(request: ApiRequest) -> schemas.AuditPage:
    """A page of the book."""
    q: schemas.AuditQuery = request.query
    found = request.view.audited(q.limit, q.before)
    return schemas.AuditPage(found, found[-1].number if len(found) == q.limit else None)


def tokens(request: ApiRequest) -> schemas.Tokens:
    """Those made on the page."""
    found = request.app.keys.change(lambda book: book.tokens().values())
    reach = request.person.reach
    return schemas.Tokens([one for one in found if Reach(tuple(one.prefixes)).within(reach)])


def _may(request: ApiRequest) -> None:
    """Who has stolen a token is not to make himself others."""
    if request.person.program:
        raise ApiError(403, "people make and revoke tokens, programs do not: log in")


def issue(request: ApiRequest) -> schemas.NewToken:
    """Make one; it is shown this once."""
    _may(request)
    body: schemas.TokenOf = request.body
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
    return schemas.NewToken(secret, made)


def revoke(request: ApiRequest) -> schemas.Tokens:
    """End one."""
    _may(request)
    name, reach = request.query.name, request.person.reach
    request.view.note(request.person.name, "token revoked", detail=name)
    if not request.app.keys.change(lambda book: book.revoke(name, reach, time.time_ns())):
        raise ApiError(404, "no token of this name is good")
    return tokens(request)
