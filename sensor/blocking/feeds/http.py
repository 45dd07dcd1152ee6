"""Blocks in force for appliances that fetch a list: HTTP, with ``ETag`` and a bearer token.

    GET /blocklist.txt    as ``plain``: a subscriber a line
    GET /blocklist.json   as ``json``: decisions
    GET /blocklist        either, by ``Accept``

A list that cannot be read is 503 and never an empty list: an appliance keeps the one it has. So
many connections at a time, each for so long; the list is read by one thread, once a second.
"""

import contextlib
import hashlib
import hmac
import http.server
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from sensor.blocking.decision import Decision
from sensor.blocking.feeds import json, plain
from sensor.blocking.http_settings import HttpSettings

__all__ = ["LOOKUPS", "render", "serve"]

LOOKUPS: Final = False

_CONNECTIONS: Final = 32
_LONGEST: Final = 30.0
"""Seconds of a connection, with all it asks for."""
_SILENT: Final = 10.0
_TURN: Final = 0.5
_REPORT: Final = 60.0
"""Seconds between lines with what was counted."""
_COUNTERS: Final = (
    "answered", "unchanged", "without_token", "refused_connections", "too_slow", "broken_off",
    "no_such_list", "not_readable",
)  # fmt: skip


class _Text(NamedTuple):
    kind: str
    body: bytes
    tag: str


def render(blocks: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
    """What ``/blocklist.txt`` gives."""
    return plain.render(blocks, ts, own)


def serve(
    settings: HttpSettings,
    blocks: Callable[[int], Sequence[Decision]],
    ended: Callable[[], bool],
    say: Callable[[str], None],
    report: Callable[[dict[str, int]], None],
) -> None:
    """Answer until it has ``ended``.

    ``blocks`` in force at a time, in ns; ``say`` is given what a person should know, ``report``
    what was counted. Raises OSError, ValueError (of the address, the certificate).
    """
    with _Server(settings, blocks, say) as server:
        reported, at = dict(server.counts), time.monotonic()
        say(f"the block list is at http{'s' if server.tls else ''}://{settings.listen}/blocklist")
        while not ended():
            server.turn()
            server.handle_request()
            if time.monotonic() - at > _REPORT and server.counts != reported:
                reported, at = dict(server.counts), time.monotonic()
                report(reported)
        report(server.counts)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    timeout = _TURN
    request_queue_size = _CONNECTIONS

    def __init__(
        self,
        settings: HttpSettings,
        blocks: Callable[[int], Sequence[Decision]],
        say: Callable[[str], None],
    ) -> None:
        address, _, port = settings.listen.rpartition(":")
        address = address.strip("[]")
        if ":" in address:
            self.address_family = socket.AF_INET6
        self.tls: ssl.SSLContext | None = None
        if settings.certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(settings.certificate, settings.key)
        self.counts = dict.fromkeys(_COUNTERS, 0)
        self.texts: dict[str, _Text] | None = None
        self._digests = [bytes.fromhex(one) for one in settings.tokens]
        self._blocks = blocks
        self._say = say
        self._read_at = -_TURN
        self._fault = ""
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        self._has_refused = False
        super().__init__((address, int(port)), _Handler)

    def server_bind(self) -> None:
        """Without looking up this machine's name, which can take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def turn(self) -> None:
        """What is done between requests: read the list, end what takes too long."""
        now = time.monotonic()
        if now - self._read_at >= 2 * _TURN:
            self._read_at = now
            self._read()
        with self._lock:
            slow = [one for one, since in self._open.items() if now - since > _LONGEST]
        for one in slow:
            self.count("too_slow")
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        ts = time.time_ns()
        try:
            found = self._blocks(ts)
        except Exception as error:  # a database, a disk: the list is not told empty for it
            self.texts = None
            if (fault := str(error)) != self._fault:
                self._say(f"the block list cannot be read, and appliances are told so: {fault}")
            self._fault = fault
            return
        self._fault = ""
        self.texts = {
            "txt": _text("text/plain; charset=utf-8", plain.render(found, ts)),
            "json": _text("application/json", json.render(found, ts)),
        }

    def count(self, counter: str) -> None:
        with self._lock:
            self.counts[counter] += 1

    def bears_token(self, header: str) -> bool:
        """Whether a header Authorization names one of the tokens; it takes as long for any."""
        scheme, _, token = header.partition(" ")
        digest = hashlib.sha256(token.strip().encode("latin-1", "replace")).digest()
        same = [hmac.compare_digest(digest, one) for one in self._digests]
        return scheme.lower() == "bearer" and any(same)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, if there is one left."""
        with self._lock:
            full = len(self._open) >= _CONNECTIONS
            if not full:
                self._open[request] = time.monotonic()
        if full:
            self.count("refused_connections")
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the thread: with TLS where there is some."""
        request.settimeout(_SILENT)
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request.dup(), server_side=True) as secured:
            super().finish_request(secured, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Its place is free again."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Of a connection: it broke off, was silent too long, or spoke no TLS."""
        self.count("broken_off")

    def say_refused(self, who: str) -> None:
        """Once."""
        if not self._has_refused:
            self._has_refused = True
            self._say(f"{who} asks for the block list without a token of blocking.http.tokens")


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    server_version = "port25"
    sys_version = ""
    timeout = _SILENT

    def do_GET(self) -> None:
        server = self.server
        if not server.bears_token(self.headers.get("Authorization", "")):
            server.count("without_token")
            server.say_refused(self.client_address[0])
            self._answer(401, {"WWW-Authenticate": 'Bearer realm="port25"'})
            return
        form = self._form()
        if form is None:
            server.count("no_such_list")
            self._answer(404, {})
            return
        texts = server.texts
        if texts is None:
            server.count("not_readable")
            self._answer(503, {"Retry-After": "10"})
            return
        text = texts[form]
        head = {"ETag": text.tag, "Cache-Control": "private, no-cache", "Vary": "Accept"}
        wanted = self.headers.get("If-None-Match", "")
        tags = {one.strip().removeprefix("W/") for one in wanted.split(",")}
        if tags & {text.tag, "*"}:
            server.count("unchanged")
            self._answer(304, head)
        else:
            server.count("answered")
            self._answer(200, head | {"Content-Type": text.kind}, text.body)

    do_HEAD = do_GET  # noqa: N815

    def _form(self) -> str | None:
        path = self.path.partition("?")[0]
        if path == "/blocklist":
            return "json" if "application/json" in self.headers.get("Accept", "") else "txt"
        return {"/blocklist.txt": "txt", "/blocklist.json": "json"}.get(path)

    def _answer(self, status: int, head: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Counters say it."""


def _text(kind: str, text: str) -> _Text:
    body = text.encode()
    return _Text(kind, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
