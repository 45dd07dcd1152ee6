"""One question by HTTP, bounded in time and size: no redirects, no proxies, one answer.

A server that sends a byte now and then is ended as one that hangs is: the clock of a question runs
from its beginning to its end.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import urllib.parse
from typing import Final, NamedTuple

__all__ = ["Answer", "AnswerError", "Asker"]

_LARGEST: Final = 65_536
"""Bytes of an answer."""


class Answer(NamedTuple):
    """What came of a question."""

    status: int
    body: bytes


class AnswerError(Exception):
    """There is no answer; ``kind`` is how that is counted, the text says why."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class Asker:
    """Asks one server."""

    def __init__(self, url: str, token: str, ca_file: str, timeout: float) -> None:
        """``url``: with ``{address}``, ``{port}``, ``{time}``. Raises ValueError, OSError."""
        self._url = url
        self._timeout = timeout
        self._headers = {"Accept": "application/json", "User-Agent": "port25"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._place("203.0.113.7", "1024", "2026-01-31T12:00:00Z")
        self._context = None
        if url.startswith("https:"):
            self._context = ssl.create_default_context(cafile=ca_file or None)

    def _place(self, address: str, port: str, time: str) -> tuple[str, int | None, str]:
        """Server, port, and what is asked of it. Raises ValueError."""
        quoted = {
            name: urllib.parse.quote(value, safe="")
            for name, value in (("address", address), ("port", port), ("time", time))
        }
        try:
            whole = urllib.parse.urlsplit(self._url.format(**quoted))
        except (LookupError, ValueError) as error:
            raise ValueError(f"{self._url!r}: {error}") from None
        if whole.scheme not in ("http", "https") or not whole.hostname:
            raise ValueError(f"{self._url!r}: expected http:// or https:// and a server")
        query = f"?{whole.query}" if whole.query else ""
        return whole.hostname, whole.port, f"{whole.path or '/'}{query}"

    def ask(self, address: str, port: str, time: str) -> Answer:
        """Raises AnswerError."""
        host, at, path = self._place(address, port, time)
        one: http.client.HTTPConnection
        if self._context is None:
            one = http.client.HTTPConnection(host, at, timeout=self._timeout)
        else:
            one = http.client.HTTPSConnection(
                host, at, timeout=self._timeout, context=self._context
            )
        late, opened = threading.Event(), list[socket.socket]()
        watch = threading.Timer(self._timeout, _end, (opened, late))
        watch.daemon = True
        watch.start()
        try:
            one.connect()
            opened.append(one.sock)  # which it forgets once the answer begins
            one.request("GET", path, headers=self._headers)
            answer = one.getresponse()
            body = answer.read(_LARGEST + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = "no answer in time" if late.is_set() else f"{type(error).__name__}: {error}"
            raise AnswerError("failed", why[:200]) from None
        finally:
            watch.cancel()
            one.close()
        if late.is_set():
            raise AnswerError("failed", "no answer in time")
        if len(body) > _LARGEST:
            raise AnswerError("too_large", f"more than {_LARGEST:,} bytes")
        return Answer(answer.status, body)


def _end(opened: list[socket.socket], late: threading.Event) -> None:
    """Whatever waits for it is told that it is over."""
    late.set()
    for one in opened:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
