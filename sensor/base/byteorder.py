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
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from sensor.base.kernel import INTERPRETED, kernel

__all__ = ["u8", "u16be", "u16le", "u32be", "u32le", "u64be", "u64le"]

CHECKED = INTERPRETED or os.environ.get("PORT25_CHECKED_LOADS") == "1"


def _compiled(bits: int, swap: bool, result: Any) -> Callable[[Any, Any], Any]:
    @intrinsic
    def load(_typing, data, i):
        def codegen(context, builder, signature, arguments):
            view = context.make_array(signature.args[0])(context, builder, arguments[0])
            pointer = builder.gep(view.data, [arguments[1]])
            pointer = builder.bitcast(pointer, ir.IntType(bits).as_pointer())
            value = builder.load(pointer)
            value.align = 1
            if swap:
                value = builder.bswap(value)
            return value if bits == 64 else builder.zext(value, ir.IntType(64))

        return result(data, types.int64), codegen

    loaded: Callable[[Any, Any], Any] = load
    return loaded


def _checked_64(size: int, big: bool) -> Callable[[Any, Any], Any]:
    @kernel
    def load(data, i):
        if i < 0 or i + size > data.shape[0]:
            raise IndexError("load outside the buffer")
        value = np.uint64(0)
        for k in range(size):
            at = i + k if big else i + size - 1 - k
            value = (value << np.uint64(8)) | np.uint64(data[at])
        return value

    return load


def _checked(size: int, big: bool) -> Callable[[Any, Any], Any]:
    load_64 = _checked_64(size, big)

    @kernel
    def load(data, i):
        return np.int64(load_64(data, i))

    return load


if CHECKED:
    u8 = _checked(1, True)
    u16be, u32be, u64be = _checked(2, True), _checked(4, True), _checked_64(8, True)
    u16le, u32le, u64le = _checked(2, False), _checked(4, False), _checked_64(8, False)
else:  # the machines Numba compiles for are little-endian
    u8 = _compiled(8, False, types.int64)
    u16be = _compiled(16, True, types.int64)
    u32be = _compiled(32, True, types.int64)
    u64be = _compiled(64, True, types.uint64)
    u16le = _compiled(16, False, types.int64)
    u32le = _compiled(32, False, types.int64)
    u64le = _compiled(64, False, types.uint64)
