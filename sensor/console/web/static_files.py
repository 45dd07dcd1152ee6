"""The page itself: one document for all its paths, and the files it names."""

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sensor.base.sentences import CATALOGUES
from sensor.console.web import reference

__all__ = ["Endpoint", "fixed", "pages"]

Endpoint = Callable[[Request], Awaitable[Response]]
STATIC: Final = Path(__file__).parent / "static"
PATHS: Final = (
    "/", "/alerts/{id}", "/host", "/hosts", "/overview", "/blocks", "/impact", "/settings",
    "/health", "/fleet", "/access", "/case", "/login",
)  # fmt: skip
"""Those the program in the browser knows."""
_KINDS: Final = {
    ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html",
}  # fmt: skip


def fixed(content: bytes, kind: str) -> Endpoint:
    """An endpoint that always gives the same."""

    async def endpoint(_: Request) -> Response:
        return Response(content, media_type=kind)

    return endpoint


def _static() -> tuple[dict[str, tuple[bytes, str]], str]:
    """The page's files with their kinds, by path, and a tag that changes with any of them.

    Sentences are among them as a module: the catalogues that everybody else reads as well.
    """
    files, whole = {}, hashlib.blake2b(digest_size=8)
    for path in sorted(STATIC.rglob("*")):
        if path.suffix in _KINDS:
            content = path.read_bytes()
            whole.update(content)
            files[str(path.relative_to(STATIC))] = content, _KINDS[path.suffix]
    catalogues = b"export const CATALOGUES = " + msgspec.json.encode(CATALOGUES) + b";\n"
    whole.update(catalogues)
    files["catalogue.js"] = catalogues, _KINDS[".js"]
    return files, whole.hexdigest()


def pages() -> list[Route]:
    """The page and its files. Below a tag, which the page names, a browser may keep them for ever.

    So a page that was once opened asks only for what is new.
    """
    files, tag = _static()
    modules = [name for name in files if name.endswith(".js")]
    links = "\n".join(f'<link rel="modulepreload" href="/static/{name}">' for name in modules)
    shell = files.pop("index.html")[0].decode().replace("<!-- modules -->", links)
    packed = {name: gzip.compress(content) for name, (content, _) in files.items()}
    page = shell.replace("/static/", f"/static/{tag}/").encode()

    async def file(request: Request) -> Response:
        found = files.get(request.path_params["path"])
        if found is None or request.path_params["tag"] != tag:
            return PlainTextResponse("there is no such file\n", 404)
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "Vary": "Accept-Encoding",
        }
        content, kind = found
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            content = packed[request.path_params["path"]]
        return Response(content, media_type=kind, headers=headers)

    shown = fixed(page, "text/html")
    api = reference.page(f"/static/{tag}/app.css").encode()
    return [
        Route("/reference", fixed(api, "text/html"), methods=["GET"]),
        Route("/static/{tag}/{path:path}", file, methods=["GET"]),
        *(Route(path, shown, methods=["GET"]) for path in PATHS),
    ]
