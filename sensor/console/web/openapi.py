"""The OpenAPI document, made from the table of operations: ``docs/openapi.json``."""

from typing import Any, Final

import msgspec

from sensor import __version__
from sensor.base.json_schema import components
from sensor.console.web import schemas
from sensor.console.web.api import OPERATIONS
from sensor.console.web.operation import Operation

__all__ = ["document"]

_MEANINGS: Final = {
    400: "a parameter or body that is not as described here",
    401: "nobody known asks",
    403: "this needs a higher role, or did not come from the page itself",
    404: "there is none",
    422: "the report is not taken; the detail says why",
    409: "this cannot be done with this host, or `after` is of a list in another order",
    413: "the body is too large",
    415: "the body is not JSON",
    429: "too many wrong passwords from there",
    503: "not now; the detail says why",
}
_STREAM: Final = """\
Server-sent events. `alert`: a message of an alert (schema `AlertEvent`), whose event id is a cursor
that `/api/v1/messages` takes too, and that `Last-Event-ID` goes on from. `vitals`: how it goes.
`desk`: somebody acknowledged an alert or exempted a host. `blocks`: a decision was made. `reset`:
something was left out, ask anew."""


def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    kinds: list[Any] = [
        schemas.LoginMode,
        schemas.Fault,
        schemas.Login,
        schemas.Me,
        schemas.AlertEvent,
    ]
    for one in OPERATIONS:
        kinds += [kind for kind in (one.gives, one.body) if isinstance(kind, type)]
    _, named = components(kinds, "#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    paths["/api/v1/me"] = {"get": _described("Who asks", _json("Me"), (401,))}
    paths["/api/v1/login"] = {
        "get": _described("How people come in", _json("LoginMode"), (400,)) | {"security": []},
        "post": _described(
            "Log in; the cookie is for browsers", _json("Me"), (400, 401, 413, 415, 429)
        )
        | {"requestBody": _body("Login"), "security": []},
    }
    paths["/api/v1/logout"] = {"post": _described("Log out", None, (401, 403))}
    paths["/api/v1/stream"] = {
        "get": _described(
            "What is new, as it comes",
            {"text/event-stream": {"schema": {"type": "string"}}},
            (400, 401, 503),
        )
        | {"description": _STREAM}
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "port25",
            "version": __version__,
            "description": "Alerts of the port-25 abuse sensor. Times are nanoseconds of packet"
            " time since 1970. Programs send `Authorization: Bearer TOKEN`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": named,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "page": {"type": "apiKey", "in": "cookie", "name": "port25"},
            },
        },
        "security": [{"token": []}],
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _body(name: str) -> dict[str, Any]:
    return {"required": True, "content": _json(name)}


def _described(
    summary: str, content: dict[str, Any] | None, faults: tuple[int, ...]
) -> dict[str, Any]:
    well = {"description": "done"} | ({"content": content} if content else {})
    responses: dict[str, Any] = {"200" if content else "204": well}
    for status in faults:
        fault = {"application/problem+json": _json("Fault")["application/json"]}
        responses[str(status)] = {"description": _MEANINGS[status], "content": fault}
    return {"summary": summary, "responses": responses}


def _operation(one: Operation) -> dict[str, Any]:
    content = (
        {kind: {"schema": {} if kind.endswith("json") else {"type": "string"}} for kind in files}
        if (files := one.gives.split(", ") if isinstance(one.gives, str) else [])
        else _json(one.gives.__name__)
    )
    faults = {*one.faults, 400, 401, 403, 503} | ({413, 415} if one.body or one.raw else set())
    made = _described(one.summary, content, tuple(sorted(faults)))
    made["description"] = f"Needs the role {one.role}."
    parameters = [
        {
            "name": "id",
            "in": "path",
            "required": True,
            "schema": msgspec.json.schema(schemas.AlertId),
        }
    ] * ("{id}" in one.path)
    if one.query is not None:
        _, named = components([one.query], "{name}")
        fields = named[one.query.__name__]
        for name, field in fields["properties"].items():
            required = name in fields.get("required", [])
            described = {"description": field.pop("description")} if "description" in field else {}
            parameters.append(
                {"name": name, "in": "query", "required": required, "schema": field} | described
            )
    if parameters:
        made["parameters"] = parameters
    if one.body is not None:
        made["requestBody"] = _body(one.body.__name__)
    if one.raw:
        content = {one.raw: {"schema": {"type": "string"}}}
        made["requestBody"] = {"required": True, "content": content}
    return made


if __name__ == "__main__":
    import json

    print(json.dumps(document(), indent=2))
