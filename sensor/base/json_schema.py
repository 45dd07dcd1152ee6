"""JSON Schemas (2020-12) as they are published in ``docs/``.

A field's description is the text under it in the source: where who reads the code finds it, too.
``msgspec.Meta(description=...)`` would say the same without reading the source, but wrap the type
of each of some hundred fields in a line that is longer than the field.
"""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

__all__ = ["components", "published", "texts_of"]


def published(kind: type[msgspec.Struct], id_: str) -> dict[str, Any]:
    """The schema of a struct, under its id."""
    draft = "https://json-schema.org/draft/2020-12/schema"
    schema, defs = components([kind], "#/$defs/{name}")
    return {"$schema": draft, "$id": id_, **schema[0], "$defs": defs}


def components(
    kinds: Sequence[Any], ref_template: str
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The schemas of types, and those they refer to by name."""
    schemas, named = msgspec.json.schema_components(kinds, ref_template=ref_template)
    for cls in _classes(msgspec.inspect.multi_type_info(kinds)):
        properties = named[cls.__name__].get("properties", {})
        for field, text in texts_of(cls):
            if field in properties:
                properties[field]["description"] = text
    return list(schemas), named


def _classes(infos: Sequence[Any]) -> set[type]:
    """Those with fields among types and all that these are made of."""
    found: set[type] = set()
    waiting = list(infos)
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.StructType) and info.cls not in found:
            found.add(info.cls)
            waiting += [field.type for field in info.fields]
        for part in ("item_type", "item_types", "types", "key_type", "value_type", "type"):
            inner = getattr(info, part, ())
            waiting += inner if isinstance(inner, tuple) else [inner]
    return found


def texts_of(cls: type) -> Iterator[tuple[str, str]]:
    """What stands under each field of a struct in the source."""
    for base in reversed(cls.__mro__):
        if issubclass(base, msgspec.Struct) and base is not msgspec.Struct:
            (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            assert isinstance(body, ast.ClassDef)
            for field, text in itertools.pairwise(body.body):
                match field, text:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(said))),
                    ):
                        yield name, " ".join(said.split())
