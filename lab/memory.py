"""Memory of processes that make one pipeline after another."""

import contextlib
import ctypes
from typing import Final

__all__ = ["map_tables"]

_M_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 1 << 20


def map_tables() -> None:
    """Have glibc map each table by itself: it costs what is touched, and goes when it is freed.

    Left alone, malloc takes to its heap what is as large as anything freed before: a new table
    there is cleared, so all of it is resident, and freed ones leave holes. Elsewhere: nothing.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
