"""The server: routes from the table of operations, logins, the stream."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from sensor.base.access import Person
from sensor.base.database import DatabaseError
from sensor.complaints import arf
from sensor.console.view import View
from sensor.console.web.api import OPERATIONS
from sensor.console.web.app_state import ApiError, AppState
from sensor.console.web.asking import body_of, decoded, person_of, query_of
from sensor.console.web.auth import Guard, Logins, shown
from sensor.console.web.logging_in import logging_in
from sensor.console.web.openapi import document
from sensor.console.web.operation import ApiRequest, Download, Operation
from sensor.console.web.static_files import Endpoint, fixed, pages
from sensor.service import systemd
from sensor.sinks.kafka.asyncapi import document as topics

__all__ = ["application"]


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
        *logging_in(app, logins),
        Route("/api/v1/stream", _stream(app, logins), methods=["GET"]),
        Route("/openapi.json", fixed(msgspec.json.encode(document()), "application/json")),
        Route("/asyncapi.json", fixed(msgspec.json.encode(topics()), "application/json")),
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
        person = person_of(request)
        if not person.may(one.role):
            raise ApiError(403, f"this needs the role {one.role}")
        if one.whole and not person.reach.everything:
            raise ApiError(403, "this is of the whole sensor, and you are bound to prefixes")
        query = query_of(request, one.query)
        body: Any = None
        if one.raw:
            body = await body_of(request, one.raw, arf.LARGEST)
        elif one.body is not None:
            body = decoded(await body_of(request), one.body)
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


def _download(given: Download) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{given.name}"'}
    if isinstance(given.content, Path):
        return FileResponse(given.content, headers=headers, media_type=given.kind)
    return Response(given.content, media_type=given.kind, headers=headers)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError | HTTPException)
    status = error.status if isinstance(error, ApiError) else error.status_code
    headers = dict(getattr(error, "headers", None) or {})
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return shown(request, status, str(error.detail), headers)


async def _unreadable(request: Request, error: Exception) -> Response:
    return await _problem(request, ApiError(503, str(error)))


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
        reach = person_of(request).reach
        query_of(request, None)
        if app.follower.full:
            raise ApiError(503, "too many follow already (web.max_streams)")
        last = request.headers.get("Last-Event-ID")
        try:
            after = app.seal.place(last, reach) if last else None
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
