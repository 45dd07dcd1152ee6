"""JSON Schemas (2020-12) as they are published in ``docs/``."""

from typing import Any

import msgspec

__all__ = ["published"]


def published(kind: type[msgspec.Struct], id_: str) -> dict[str, Any]:
    """The schema of a struct, under its id."""
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, "$id": id_, **msgspec.json.schema(kind)}
