"""Who asks; logging in by password or at the identity provider; logging out."""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from sensor import __version__
from sensor.base.access import Person
from sensor.console.naming import may_be_told
from sensor.console.web import schemas
from sensor.console.web.app_state import ApiError, AppState
from sensor.console.web.asking import body_of, decoded, json_answer, person_of, query_of
from sensor.console.web.auth import Logins, ThrottledError, log, oidc_digest
from sensor.console.web.oidc import OidcError
from sensor.console.web.static_files import Endpoint

__all__ = ["logging_in"]

_BINDING: Final = "port25-login"
"""Cookie by which a browser shows that it began the login that it comes back with."""


def logging_in(app: AppState, logins: Logins) -> list[Route]:
    """The routes."""
    return [
        Route("/api/v1/me", _me(app), methods=["GET"]),
        Route("/api/v1/login", _login(app, logins), methods=["GET", "POST"]),
        Route("/api/v1/logout", _logout(app, logins), methods=["POST"]),
        Route("/login/oidc", _away(app, logins), methods=["GET"]),
        Route("/login/callback", _back(app, logins), methods=["GET"]),
    ]


def _who(app: AppState, person: Person, csrf: str, login: bool) -> schemas.Me:
    names = may_be_told(person, app.settings.customers)
    prefixes = list(person.prefixes)
    return schemas.Me(person.name, person.role, prefixes, csrf, login, names, __version__)


def _me(app: AppState) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        person = person_of(request)
        query_of(request, None)
        return json_answer(_who(app, person, request.state.csrf, app.settings.web.login))

    return endpoint


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def _note(app: AppState, person: Person, address: str) -> None:
    await app.views.read(lambda view: view.note(person.name, "login", detail=f"from {address}"))


def _login(app: AppState, logins: Logins) -> Endpoint:
    web = app.settings.web

    async def endpoint(request: Request) -> Response:
        if request.method != "POST":
            query_of(request, None)
            return json_answer(schemas.LoginMode(web.login, bool(web.users), bool(web.oidc.issuer)))
        body = decoded(await body_of(request), schemas.Login)
        try:
            secret = await logins.log_in(body.name, body.password, _address(request))
        except ThrottledError as error:
            app.oidc.refused["throttled"] += 1
            raise HTTPException(429, str(error), {"Retry-After": str(error.wait)}) from None
        mine = logins.find(secret) if secret else None
        if secret is None or mine is None:
            app.oidc.refused["password"] += 1
            raise ApiError(401, "wrong name or password")
        await _note(app, mine.person, _address(request))
        answer = json_answer(_who(app, mine.person, mine.csrf, True))
        logins.keep(answer, secret)
        return answer

    return endpoint


def _logout(app: AppState, logins: Logins) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        person = person_of(request)
        await app.views.read(lambda view: view.note(person.name, "logout"))
        await logins.log_out(request.state.secret)
        answer = Response(status_code=204)
        answer.delete_cookie(logins.cookie, secure=logins.secure, httponly=True, samesite="lax")
        return answer

    return endpoint


def _refused(error: OidcError, address: str) -> Response:
    """Back to the page, which says no more than the reason."""
    log(f"login at the identity provider refused ({error.reason}) from {address}: {error}")
    return RedirectResponse(f"/login?refused={error.reason}", 303)


def _away(app: AppState, logins: Logins) -> Endpoint:
    """Off to the identity provider."""

    async def endpoint(request: Request) -> Response:
        if not app.settings.web.oidc.issuer:
            raise ApiError(404, "there is no identity provider (web.oidc)")
        back = str(request.url.replace(path="/login/callback", query=""))
        try:
            begun = await asyncio.to_thread(app.oidc.begin, back)
        except OidcError as error:
            return _refused(error, _address(request))
        answer = RedirectResponse(begun.url, 303)
        answer.set_cookie(
            _BINDING, begun.binding, 600, httponly=True, samesite="lax", secure=logins.secure
        )
        return answer

    return endpoint


def _back(app: AppState, logins: Logins) -> Endpoint:
    """Back from there."""

    async def endpoint(request: Request) -> Response:
        oidc = app.settings.web.oidc
        if not oidc.issuer:
            raise ApiError(404, "there is no identity provider (web.oidc)")
        given, binding = dict(request.query_params), request.cookies.get(_BINDING, "")
        try:
            person = await asyncio.to_thread(app.oidc.end, given, binding)
        except OidcError as error:
            return _refused(error, _address(request))
        secret = await logins.admit(person, f"oidc:{oidc_digest(oidc)}")
        await _note(app, person, _address(request))
        log(f"{person.name} ({person.role}) logged in from {_address(request)}")
        answer = RedirectResponse("/", 303)
        logins.keep(answer, secret)
        answer.delete_cookie(_BINDING, secure=logins.secure, httponly=True, samesite="lax")
        return answer

    return endpoint
