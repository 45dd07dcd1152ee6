"""Who may come in: host names, TLS, logins, tokens, forged requests, and what browsers are told.

Logins are kept here, by hand, and not in a signed cookie as Starlette's sessions (itsdangerous)
keep them: what is signed is good until it is too old, whereas here logging out ends it, and so does
another password or role in the settings; and no key that signs need be kept. They outlive a restart
(:mod:`sensor.console.web.keys`). The cookie is 256 random bits and says nothing. Forged
requests are told by a token of the login's (``hmac.compare_digest``) and by what browsers say of a
request's origin (Fetch Metadata). Hashes of passwords are argon2-cffi's.

Everything from the network is data: the policy below has a browser run the page's own files and
nothing else (Content Security Policy 3), and lets no text become markup (Trusted Types).
"""

import asyncio
import collections
import hmac
import html
import http
import ipaddress
import secrets
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sensor.base.access import OidcSettings, Person, Reach, WebSettings
from sensor.base.database import DatabaseError
from sensor.base.terminal import printable
from sensor.base.units import HOUR
from sensor.console.web import credentials, schemas
from sensor.console.web.keys import KeptLogin, Keys

__all__ = [
    "AccessError",
    "Guard",
    "LoginSession",
    "Logins",
    "ThrottledError",
    "fault",
    "is_loopback",
    "listen_at",
    "log",
    "oidc_digest",
    "shown",
]

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_OPEN: Final = (
    "/login",
    "/login/oidc",
    "/login/callback",
    "/api/v1/login",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/asyncapi.json",
    "/reference",
)
"""Paths for which nobody need be known; and all below /static/."""
_MOST_LOGINS: Final = 10_000
_MOST_ADDRESSES: Final = 10_000
_TRIES: Final = 5
"""Wrong passwords from one address before it must wait, each time twice as long."""
_LONGEST_WAIT: Final = 900


class AccessError(Exception):
    """The page must not be served like this; the text says what is missing."""


def listen_at(settings: WebSettings) -> tuple[str, int]:
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
    _check_people(settings)
    if not is_loopback(host):
        if not settings.login:
            raise AccessError(f"web.listen: {host} is not this machine alone: web.users is needed")
        if not settings.certificate and not settings.trusted_proxies:
            raise AccessError(
                f"web.listen: {host} is not this machine alone: web.certificate and web.key are"
                " needed, or web.trusted_proxies in front that speak TLS"
            )
    return host, int(port)


def _check_people(settings: WebSettings) -> None:
    """Raises AccessError."""
    known = {f"web.users: {one.name}": one.prefixes for one in settings.users}
    known |= {f"web.tokens: {one.name}": one.prefixes for one in settings.tokens}
    known |= {f"web.oidc.groups: {one.group}": one.prefixes for one in settings.oidc.groups}
    for key, prefixes in known.items():
        try:
            Reach(prefixes).check()
        except ValueError as error:
            raise AccessError(f"{key}: prefixes: {error}") from None
    of = settings.oidc
    if not of.issuer:
        return
    for name in ("client_id", "groups"):
        if not getattr(of, name):
            raise AccessError(f"web.oidc.{name} is needed with web.oidc.issuer")
    for name in ("client_secret_file", "ca_file"):
        if (path := getattr(of, name)) and not Path(path).is_file():
            raise AccessError(f"web.oidc.{name}: {path}: there is no such file")
    if not of.issuer.startswith("https:") and not is_loopback(urlsplit(of.issuer).hostname or ""):
        raise AccessError(f"web.oidc.issuer: {of.issuer}: only https, but on this machine")


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def fault(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An answer that says what went wrong (RFC 9457)."""
    said = schemas.Fault(http.HTTPStatus(status).phrase, status, detail)
    kind = "application/problem+json"
    return Response(msgspec.json.encode(said), status, headers, media_type=kind)


def shown(
    request: Request, status: int, detail: str, headers: dict[str, str] | None = None
) -> Response:
    """The same, as a page with a way home where a person asks for one with a browser."""
    wants = "text/html" in request.headers.get("Accept", "")
    if not wants or request.url.path.startswith("/api/"):
        return fault(status, detail, headers)
    phrase = http.HTTPStatus(status).phrase
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{phrase}</title></head>'
        f'<body><h1>{phrase}</h1><p>{html.escape(detail)}</p><p><a href="/">port25</a></p></body>'
        "</html>"
    )
    return Response(text, status, headers, media_type="text/html")


def log(line: str) -> None:
    """One line on standard error."""
    print(f"port25 web: {printable(line)}", file=sys.stderr, flush=True)


def _network(address: str) -> str:
    """Who guesses from one IPv6 address has 2^64 of them."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))


def oidc_digest(settings: OidcSettings) -> str:
    """What a login there rests on; with another it ends."""
    return credentials.digest(msgspec.json.encode(settings).decode())


class LoginSession(NamedTuple):
    """Somebody who came in by logging in."""

    person: Person
    csrf: str
    until: float


class ThrottledError(Exception):
    """Too many wrong passwords from there; ``wait`` seconds."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"too many wrong passwords; try again in {wait} s")
        self.wait = wait


class Logins:
    """Who is logged in, by the cookie's secret. Oldest go first.

    Who came with a name is kept on disk; who came with the key this server printed, as long as it
    runs.
    """

    def __init__(self, settings: WebSettings, keys: Keys) -> None:
        host, _ = listen_at(settings)
        self.local = is_loopback(host)
        self.secure = not self.local or bool(settings.certificate or settings.trusted_proxies)
        """whether only TLS will do"""
        self.cookie = "__Host-port25" if self.secure else "port25"
        self.keys = keys
        self._settings = settings
        self._sessions: collections.OrderedDict[str, LoginSession] = collections.OrderedDict()
        self._wrong: collections.OrderedDict[str, tuple[int, float]] = collections.OrderedDict()
        self._two_at_a_time = asyncio.Semaphore(2)  # a password costs 64 MB and much work

    async def log_in(self, name: str, password: str, address: str) -> str | None:
        """The cookie's secret; None for a wrong name or password. Raises ThrottledError."""
        whose = _network(address)
        async with self._two_at_a_time:
            _, until = self._wrong.get(whose, (0, 0.0))
            if (wait := until - time.monotonic()) > 0:
                raise ThrottledError(int(wait) + 1)
            # Counted as wrong before it is known: those who try many at a time wait as well.
            self._count(whose)
            users = self._settings.users
            person = await asyncio.to_thread(credentials.knows, users, name, password)
        if person is None:
            log(f"wrong name or password for {name!r} from {address}")
            return None
        self._wrong.pop(whose, None)
        log(f"{person.name} ({person.role}) logged in from {address}")
        password = next(user.password for user in users if user.name == person.name)
        return await self.admit(person, f"user:{credentials.digest(password)}")

    def _count(self, whose: str) -> None:
        tries = self._wrong.get(whose, (0, 0.0))[0] + 1
        wait = min(_LONGEST_WAIT, 2 ** (tries - _TRIES)) if tries >= _TRIES else 0
        self._wrong[whose] = tries, time.monotonic() + wait
        self._wrong.move_to_end(whose)
        while len(self._wrong) > _MOST_ADDRESSES:
            self._wrong.popitem(last=False)

    async def admit(self, person: Person, source: str) -> str:
        """Let somebody in, and remember it; the cookie's secret. Raises DatabaseError."""
        secret, now = secrets.token_urlsafe(32), time.time_ns()
        login = KeptLogin(person, now + self._settings.session_hours * HOUR, source)
        digest = credentials.digest(secret)
        await asyncio.to_thread(
            self.keys.change, lambda book: book.log_in(digest, login, time.time_ns())
        )
        return secret

    def _still(self, login: KeptLogin) -> Person | None:
        """Who that is by the settings of now, which may have changed since."""
        kind, _, of = login.source.partition(":")
        if kind == "user":
            for user in self._settings.users:
                if user.name == login.person.name and credentials.digest(user.password) == of:
                    return Person(user.name, user.role, user.prefixes)
        same = kind == "oidc" and of == oidc_digest(self._settings.oidc)
        return login.person if same else None

    def admit_owner(self, person: Person) -> str:
        """Let somebody in until the server stops; the cookie's secret."""
        secret = secrets.token_urlsafe(32)
        until = time.monotonic() + self._settings.session_hours * 3600
        self._sessions[secret] = LoginSession(person, secrets.token_urlsafe(32), until)
        while len(self._sessions) > _MOST_LOGINS:
            self._sessions.popitem(last=False)
        return secret

    def keep(self, answer: Response, secret: str) -> None:
        """Have the browser keep a secret."""
        answer.set_cookie(self.cookie, secret, httponly=True, samesite="lax", secure=self.secure)

    def find(self, secret: str) -> LoginSession | None:
        """Whose cookie that is. Raises DatabaseError."""
        found = self._sessions.get(secret)
        if found is None and secret and (kept := self.keys.login(secret)) is not None:
            person = self._still(kept)
            csrf = credentials.digest(f"csrf {secret}")
            return LoginSession(person, csrf, 0.0) if person is not None else None
        if found is not None and found.until < time.monotonic():
            del self._sessions[secret]
            return None
        return found

    async def log_out(self, secret: str) -> None:
        """Let nobody in with it any more. Raises DatabaseError."""
        if self._sessions.pop(secret, None) is None:
            digest = credentials.digest(secret)
            await asyncio.to_thread(self.keys.change, lambda book: book.log_out(digest))


class Guard:
    """ASGI middleware: nobody unknown gets past it, and every answer carries the policy.

    Who asks is ``scope["state"]["person"]`` then, with ``["csrf"]``.
    """

    def __init__(
        self, app: ASGIApp, settings: WebSettings, logins: Logins, key: str, owner: Person
    ) -> None:
        """Without users, whoever brings ``key`` is ``owner``."""
        self._app = app
        self._settings = settings
        self._logins = logins
        self._key = key
        self._owner = owner
        host, _ = listen_at(settings)
        known = {host, "localhost", *settings.names}
        self._names = known if logins.local or settings.names else None
        self._tokens = {token.sha256: token for token in settings.tokens}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        refused = self._refuse(scope)
        await (refused or self._app)(scope, receive, with_policy)

    def _refuse(self, scope: Scope) -> Response | None:
        """Why not, if not."""
        request = Request(scope)
        try:  # as it was sent: for a malformed one the framework puts the server's own address
            name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        except ValueError:
            return fault(400, "the Host header names no host")
        if self._names is not None and name not in self._names:
            return fault(421, f"{name!r} is not a name of this server (web.names)")
        if self._logins.secure and scope["scheme"] != "https":
            return fault(403, "only over TLS, or through the trusted proxy")
        scope.setdefault("state", {}).update(person=None, csrf="", secret="")
        if not self._settings.login and (key := request.query_params.get("key")) is not None:
            return self._welcome(request, key)
        try:
            self._identify(scope, request.headers)
        except DatabaseError as error:
            return fault(503, str(error))
        path = scope["path"]
        if scope["state"]["person"] is None:
            if path in _OPEN or path.startswith("/static/"):
                return None
            if not path.startswith("/api/"):
                return RedirectResponse("/login", 303)
        elif (
            scope["method"] not in _SAFE
            and scope["state"]["csrf"]
            and not self._meant(scope["state"]["csrf"], request.headers)
        ):
            return fault(403, "this did not come from the page itself (CSRF)")
        return None

    def _welcome(self, request: Request, key: str) -> Response:
        if not hmac.compare_digest(key.encode(), self._key.encode()):
            return shown(request, 403, "wrong key: port25 web printed the right address")
        answer = RedirectResponse("/", 303)
        self._logins.keep(answer, self._logins.admit_owner(self._owner))
        return answer

    def _identify(self, scope: Scope, headers: Headers) -> None:
        state: dict[str, Any] = scope["state"]
        kind, _, token = headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            found = self._tokens.get(credentials.digest(token.strip()))
            if found is not None:
                state["person"] = Person(found.name, found.role, found.prefixes, program=True)
            else:
                state["person"] = self._logins.keys.token(token.strip())
            return
        secret = Request(scope).cookies.get(self._logins.cookie, "")
        if (mine := self._logins.find(secret)) is not None:
            state.update(person=mine.person, csrf=mine.csrf, secret=secret)

    @staticmethod
    def _meant(csrf: str, headers: Headers) -> bool:
        """Whether a request that changes something comes from our page, by token and browser."""
        same = headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        given = headers.get("X-CSRF-Token", "")
        return same and hmac.compare_digest(given.encode(), csrf.encode())
