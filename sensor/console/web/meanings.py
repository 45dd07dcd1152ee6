"""What settings mean: what stands under each in the source."""

from collections.abc import Iterator

import msgspec

from sensor.base.json_schema import texts_of

__all__ = ["meanings"]


def meanings(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, str]]:
    """By dotted key. Files of the installation are read for it: not after root is another."""
    yield from ((f"{prefix}{name}", text) for name, text in texts_of(kind))
    for field in msgspec.structs.fields(kind):
        inner = field.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from meanings(inner, f"{prefix}{field.name}.")
