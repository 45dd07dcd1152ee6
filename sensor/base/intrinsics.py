"""Kernels' few functions that are written in LLVM's language, for Numba. Imported to compile."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["load", "prefetch"]


def prefetch() -> Any:
    """Fetch ``array[i]`` into the cache."""

    @intrinsic
    def prefetch(_typing, array, i):
        def codegen(context, builder, signature, arguments):
            array_type = signature.args[0]
            view = context.make_array(array_type)(context, builder, arguments[0])
            pointer = builder.gep(
                builder.bitcast(view.data, ir.IntType(8).as_pointer()),
                [builder.mul(arguments[1], view.itemsize)],
            )
            i32 = ir.IntType(32)
            fetch = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), i32, i32, i32]),
                "llvm.prefetch.p0",
            )
            builder.call(fetch, [pointer, i32(1), i32(3), i32(1)])
            return context.get_dummy_value()

        return types.void(array, types.int64), codegen

    return prefetch


def load(bits: int, swap: bool) -> Any:
    """Load so many bits from a buffer at any alignment, bytes swapped or not."""
    result = types.uint64 if bits == 64 else types.int64

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

    return load
