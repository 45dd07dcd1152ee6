"""Loads of 8 to 64 bits from a byte buffer, at any alignment, in either byte order.

Compiled, a load is one machine instruction (and a byte swap): no bounds check, no negative index.
Callers have checked the bounds. That they did is tested by running the same callers with checked
loads: set ``PORT25_CHECKED_LOADS=1``, or interpret the kernels with ``NUMBA_DISABLE_JIT=1``; a load
outside the buffer then raises IndexError.

Each takes ``data`` (1-D contiguous uint8) and ``i`` (int64) and gives an int64; ``u64be`` gives a
uint64.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from sensor.base.kernel import INTERPRETED, Intrinsic, kernel

__all__ = ["u8", "u16be", "u16le", "u32be", "u32le", "u64be", "u64le"]

CHECKED = INTERPRETED or os.environ.get("PORT25_CHECKED_LOADS") == "1"


def _checked_64(size: int, big: bool) -> Callable[[Any, Any], Any]:
    def load(data, i):
        if i < 0 or i + size > data.shape[0]:
            raise IndexError("load outside the buffer")
        value = np.uint64(0)
        for k in range(size):
            at = i + k if big else i + size - 1 - k
            value = (value << np.uint64(8)) | np.uint64(data[at])
        return value

    return load


def _load(size: int, big: bool) -> Callable[[Any, Any], Any]:
    load_64 = _checked_64(size, big)
    if CHECKED:
        load_64 = kernel(load_64)

    def load(data, i):
        return np.int64(load_64(data, i))

    twin = load_64 if size == 8 else load
    if CHECKED:
        return twin if size == 8 else kernel(twin)

    def made() -> Any:
        from sensor.base import intrinsics

        # The machines that are compiled for are little-endian.
        return intrinsics.load(8 * size, big and size > 1)

    return Intrinsic(twin, made)


u8 = _load(1, True)
u16be, u32be, u64be = _load(2, True), _load(4, True), _load(8, True)
u16le, u32le, u64le = _load(2, False), _load(4, False), _load(8, False)
