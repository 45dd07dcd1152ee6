"""The API's reference as a page of HTML, made of its OpenAPI document: no script, nothing fetched.

The server has it at ``/reference``; ``docs/api.html`` is the same with its style inside.
"""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

from sensor.console.web.openapi import document

__all__ = ["page"]

_STYLE: Final = """\
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top;
padding: .2rem .6rem; border-bottom: 1px solid #8885; } code { font-size: .95em; }
@media (prefers-color-scheme: dark) { body { background: #16181d; color: #e6e6e6; }
a { color: #8ab4f8; } }
"""
_SCHEMAS: Final = "#/components/schemas/"


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words, with links to those that have a name."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMAS)
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " ".join(f"<code>{escape(repr(one))}</code>" for one in schema["enum"])
    kind = schema.get("type", "anything")
    if "prefixItems" in schema:
        return f"list of {', '.join(_type(one) for one in schema['prefixItems'])}"
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_type(schema['additionalProperties'])}"
    return escape(str(kind)) + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    words = {
        "minimum": "from {}", "maximum": "to {}", "minLength": "{} characters at least",
        "maxLength": "{} characters at most", "minItems": "{} at least", "maxItems": "{} at most",
    }  # fmt: skip
    said = [text.format(schema[key]) for key, text in words.items() if key in schema]
    if "pattern" in schema:
        said.append(f"as <code>{escape(schema['pattern'])}</code>")
    return f" ({', '.join(said)})" if said else ""


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _default(schema: dict[str, Any]) -> str:
    return f"<code>{escape(str(schema['default']))}</code>" if schema.get("default") else ""


def _content(content: dict[str, Any]) -> str:
    return ", ".join(
        f"{escape(kind)} {_type(one.get('schema', {})) if kind.endswith('json') else ''}"
        for kind, one in content.items()
    )


def _anchor(method: str, path: str) -> str:
    return f"{method}-{path.strip('/').replace('/', '-').replace('{', '').replace('}', '')}"


def _operation(method: str, path: str, one: dict[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{_anchor(method, path)}"><code>{method.upper()} {escape(path)}</code></h3>'
    yield f"<p>{escape(one['summary'])}. {escape(one.get('description', ''))}</p>"
    if parameters := one.get("parameters"):
        yield _table(
            ("parameter", "what", "", "default"),
            (
                (f"<code>{escape(p['name'])}</code>", _type(p["schema"]),
                 escape(p.get("description", "")), _default(p["schema"]))
                for p in parameters
            ),
        )  # fmt: skip
    if body := one.get("requestBody"):
        yield f"<p>Body: {_content(body['content'])}</p>"
    yield _table(
        ("answer", "what", ""),
        (
            (escape(status), _content(answer.get("content", {})), escape(answer["description"]))
            for status, answer in one["responses"].items()
        ),
    )


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{escape(name)}">{escape(name)}</h3>'
    yield f"<p>{escape(schema.get('description', ''))}</p>"
    required = schema.get("required", ())
    rows = [
        (f"<code>{escape(field)}</code>", _type(one), escape(one.get("description", "")),
         "always" if field in required else _default(one))
        for field, one in schema.get("properties", {}).items()
    ]  # fmt: skip
    if rows:
        yield _table(("field", "what", "", "there, or default"), rows)


def page(style: str = "") -> str:
    """All of it; ``style`` is the address of a style sheet, else its own is inside."""
    api = document()
    info, paths = api["info"], api["paths"]
    head = (
        f'<link rel="stylesheet" href="{escape(style)}">' if style else f"<style>{_STYLE}</style>"
    )
    every = [(method, path, one) for path, does in paths.items() for method, one in does.items()]
    links = "".join(
        f'<li><a href="#{_anchor(method, path)}"><code>{method.upper()} {escape(path)}</code></a>'
        f" {escape(one['summary'])}</li>"
        for method, path, one in every
    )
    parts = [part for each in every for part in _operation(*each)]
    schemas = api["components"]["schemas"].items()
    named = [part for name, schema in schemas for part in _schema(name, schema)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>The API of port25</title>{head}</head><body><main>"
        f"<h1>The API of port25 {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
        f'<nav aria-label="Operations"><ul>{links}</ul></nav>'
        f"<h2>Operations</h2>\n{chr(10).join(parts)}\n<h2>Schemas</h2>\n{chr(10).join(named)}\n"
        "</main></body></html>\n"
    )


if __name__ == "__main__":
    print(page(), end="")
