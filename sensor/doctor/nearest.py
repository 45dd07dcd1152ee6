"""Of a path that is yet to be made: the folder that would hold it."""

import os
from pathlib import Path

__all__ = ["nearest"]


def nearest(path: Path) -> Path:
    """``path`` itself, or the first above it that is there as far as this process can see."""
    absolute = path.absolute()
    # Path.exists raises where a folder above is shut.
    found = (one for one in (absolute, *absolute.parents) if os.path.exists(one))  # noqa: PTH110
    return next(found, Path("/"))
