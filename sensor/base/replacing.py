"""A small file replaced as a whole: who reads it finds what was before or what is now."""

from pathlib import Path

__all__ = ["replace"]


def replace(path: Path, content: bytes) -> None:
    """Have ``content`` at ``path``, in place of what was. Raises OSError."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)
