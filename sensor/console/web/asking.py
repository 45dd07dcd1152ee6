"""A request taken apart: who asks, for what, saying what. What is wrong with it raises ApiError."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sensor.base.access import Person
from sensor.console.web import schemas
from sensor.console.web.app_state import ApiError

__all__ = ["body_of", "decoded", "json_answer", "person_of", "query_of"]

_LARGEST_BODY: Final = 65_536


def person_of(request: Request) -> Person:
    """Who asks."""
    person: Person | None = request.state.person
    if person is None:
        raise ApiError(401, "log in, or send a token")
    return person


def query_of(request: Request, kind: type[schemas.Query] | None) -> Any:
    """The parameters."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise ApiError(400, f"{name}: given twice")
        given[name] = value
    try:
        return msgspec.convert(given, kind or schemas.Query, strict=False)
    except msgspec.ValidationError as error:
        raise ApiError(400, str(error)) from None


async def body_of(
    request: Request, kind: str = "application/json", largest: int = _LARGEST_BODY
) -> bytes:
    """The body, which is of that kind and not large."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip() != kind:
        raise ApiError(415, f"the body is to be {kind}")
    whole = b""
    async for chunk in request.stream():
        whole += chunk
        if len(whole) > largest:
            raise ApiError(413, f"the body is larger than {largest:,} bytes")
    return whole


def decoded(body: bytes, kind: type[schemas.Body]) -> Any:
    """What it says."""
    try:
        raw = msgspec.json.decode(body)
        if isinstance(raw, dict):  # to JSON Schema 3.0 is an integer
            raw = {
                k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in raw.items()
            }
        return msgspec.convert(raw, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, str(error)) from None


def json_answer(what: Any, status: int = 200) -> Response:
    """An answer."""
    return Response(msgspec.json.encode(what), status, media_type="application/json")
