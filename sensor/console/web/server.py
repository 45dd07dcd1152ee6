"""The server: routes from the table of operations, logins, the stream."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from sensor import __version__
from sensor.base.access import Person
from sensor.base.database import DatabaseError
from sensor.console.view import View
from sensor.console.web import schemas
from sensor.console.web.api import OPERATIONS
from sensor.console.web.app_state import ApiError, AppState
from sensor.console.web.auth import Guard, Logins, ThrottledError, fault
from sensor.console.web.openapi import document
from sensor.console.web.operation import ApiRequest, Download, Operation
from sensor.console.web.static_files import Endpoint, fixed, pages
from sensor.console.web.stream import place_of
from sensor.service import systemd

__all__ = ["application"]

_LARGEST_BODY: Final = 65_536


def application(app: AppState, logins: Logins, key: str, owner: Person) -> Starlette:
    """The ASGI application; ``key`` is what whoever is ``owner`` brings where nobody logs in."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await app.follower.look()
        following = asyncio.create_task(app.follower.run())
        systemd.notify("READY=1")
        yield
        following.cancel()
        app.close()

    by_path: dict[str, dict[str, Endpoint]] = {}
    for one in OPERATIONS:
        by_path.setdefault(one.path, {})[one.method] = _endpoint(app, one)
    routes = [Route(path, _by_method(does), methods=list(does)) for path, does in by_path.items()]
    routes += [
        Route("/api/v1/me", _me(app), methods=["GET"]),
        Route("/api/v1/login", _login(app, logins), methods=["GET", "POST"]),
        Route("/api/v1/logout", _logout(app, logins), methods=["POST"]),
        Route("/api/v1/stream", _stream(app, logins), methods=["GET"]),
        Route("/openapi.json", fixed(msgspec.json.encode(document()), "application/json")),
        Route("/healthz", fixed(b"ok\n", "text/plain")),
        Route("/readyz", _ready(app), methods=["GET"]),
        *pages(),
    ]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, app.settings.web, logins, key, owner),
            Middleware(GZipMiddleware, minimum_size=1000),
        ],
        exception_handlers={
            ApiError: _problem,
            HTTPException: _problem,
            DatabaseError: _unreadable,
            OSError: _unreadable,
        },
    )


def _by_method(does: dict[str, Endpoint]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await does["GET" if request.method == "HEAD" else request.method](request)

    return endpoint


def _endpoint(app: AppState, one: Operation) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        person = _person(request)
        if not person.may(one.role):
            raise ApiError(403, f"this needs the role {one.role}")
        if one.whole and not person.reach.everything:
            raise ApiError(403, "this is of the whole sensor, and you are bound to prefixes")
        query = _query(request, one.query)
        body = _decoded(await _body(request), one.body) if one.body is not None else None
        path = dict(request.path_params)

        def does(view: View) -> Any:
            view = view.within(person.reach)
            return one.does(ApiRequest(app, view, person, path, query, body))

        def answer(view: View) -> bytes:
            if one.shared:
                asked = f"{' '.join(person.prefixes)} {request.url}"
                return app.shared(asked, lambda: msgspec.json.encode(does(view)))
            return msgspec.json.encode(does(view))

        if isinstance(one.gives, str):
            return _download(await app.views.read(does, one.slow))
        content = await app.views.read(answer, one.slow)
        if one.method != "GET":
            app.follower.generation += 1  # who changed something sees it at once
        return Response(content, media_type="application/json")

    return endpoint


def _person(request: Request) -> Person:
    person: Person | None = request.state.person
    if person is None:
        raise ApiError(401, "log in, or send a token")
    return person


def _query(request: Request, kind: type[schemas.Query] | None) -> Any:
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise ApiError(400, f"{name}: given twice")
        given[name] = value
    try:
        return msgspec.convert(given, kind or schemas.Query, strict=False)
    except msgspec.ValidationError as error:
        raise ApiError(400, str(error)) from None


async def _body(request: Request) -> bytes:
    if request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        raise ApiError(415, "the body is to be application/json")
    whole = b""
    async for chunk in request.stream():
        whole += chunk
        if len(whole) > _LARGEST_BODY:
            raise ApiError(413, f"the body is larger than {_LARGEST_BODY:,} bytes")
    return whole


def _decoded(body: bytes, kind: type[schemas.Body]) -> Any:
    try:
        raw = msgspec.json.decode(body)
        if isinstance(raw, dict):  # to JSON Schema 3.0 is an integer
            raw = {
                k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in raw.items()
            }
        return msgspec.convert(raw, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, str(error)) from None


def _download(given: Download) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{given.name}"'}
    if isinstance(given.content, Path):
        return FileResponse(given.content, headers=headers, media_type=given.kind)
    return Response(given.content, media_type=given.kind, headers=headers)


def _json(what: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(what), status, media_type="application/json")


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError | HTTPException)
    status = error.status if isinstance(error, ApiError) else error.status_code
    headers = dict(getattr(error, "headers", None) or {})
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return fault(status, str(error.detail), headers)


async def _unreadable(request: Request, error: Exception) -> Response:
    return await _problem(request, ApiError(503, str(error)))


# --- who ------------------------------------------------------------------------------------------


def _who(person: Person, csrf: str, login: bool) -> schemas.Me:
    return schemas.Me(person.name, person.role, list(person.prefixes), csrf, login, __version__)


def _me(app: AppState) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        person = _person(request)
        _query(request, None)
        users = bool(app.settings.web.users)
        return _json(_who(person, request.state.csrf, users))

    return endpoint


def _login(app: AppState, logins: Logins) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.method != "POST":
            _query(request, None)
            return _json(schemas.LoginMode(bool(app.settings.web.users)))
        body = _decoded(await _body(request), schemas.Login)
        address = request.client.host if request.client else ""
        try:
            secret = await logins.log_in(body.name, body.password, address)
        except ThrottledError as error:
            raise HTTPException(429, str(error), {"Retry-After": str(error.wait)}) from None
        mine = logins.find(secret) if secret else None
        if secret is None or mine is None:
            raise ApiError(401, "wrong name or password")
        who = mine.person
        await app.views.read(lambda view: view.note(who.name, "login", detail=f"from {address}"))
        answer = _json(_who(mine.person, mine.csrf, True))
        logins.keep(answer, secret)
        return answer

    return endpoint


def _logout(app: AppState, logins: Logins) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        person = _person(request)
        await app.views.read(lambda view: view.note(person.name, "logout"))
        await logins.log_out(request.state.secret)
        answer = Response(status_code=204)
        answer.delete_cookie(logins.cookie, secure=logins.secure, httponly=True, samesite="lax")
        return answer

    return endpoint


# --- the rest -------------------------------------------------------------------------------------


def _ready(app: AppState) -> Endpoint:
    """Whether what is shown is of now; ``/healthz`` says that the page itself answers."""

    async def endpoint(_: Request) -> Response:
        status = await app.views.read(lambda view: view.status(app.settings.blocking.mode))
        if status.running:
            return PlainTextResponse("ok\n")
        if status.silent is None:
            raise ApiError(503, "no sensor has run here")
        raise ApiError(503, f"the sensor has been silent for {status.silent:.0f} s")

    return endpoint


def _stream(app: AppState, logins: Logins) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        reach = _person(request).reach
        _query(request, None)
        if app.follower.full:
            raise ApiError(503, "too many follow already (web.max_streams)")
        last = request.headers.get("Last-Event-ID")
        try:
            after = place_of(last) if last else None
        except ValueError as error:
            raise ApiError(400, f"Last-Event-ID: {error}") from None
        secret = request.state.secret

        def welcome() -> bool:
            return not secret or logins.find(secret) is not None

        return StreamingResponse(
            app.follower.follow(after, welcome, reach),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    return endpoint
