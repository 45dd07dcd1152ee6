"""Kernels' few functions that are written in LLVM's language, for Numba. Imported to compile."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["byte_in_line", "load", "part_or_whole", "prefetch", "prefetch_part"]

_LINE = 64
"""Bytes the processor fetches at a time."""
_ROW = 256
"""Bytes of the largest row that is fetched whole."""


def _fetch(
    context: Any, builder: Any, array_type: Any, array: Any, i: Any, parts: list[Any]
) -> Any:
    """Fetch the lines in which the bytes ``parts`` of ``array[i]`` lie."""
    view = context.make_array(array_type)(context, builder, array)
    row = builder.gep(
        builder.bitcast(view.data, ir.IntType(8).as_pointer()), [builder.mul(i, view.itemsize)]
    )
    i32 = ir.IntType(32)
    fetch = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), i32, i32, i32]),
        "llvm.prefetch.p0",
    )
    for part in parts:
        builder.call(fetch, [builder.gep(row, [part]), i32(1), i32(3), i32(1)])
    return context.get_dummy_value()


def prefetch() -> Any:
    """Fetch ``array[i]`` into the cache, all of it; of a large row the beginning."""

    @intrinsic
    def prefetch(_typing, array, i):
        size = array.dtype.size if isinstance(array.dtype, types.Record) else 1
        parts = list(range(0, size, _LINE)) if size <= _ROW else [0]
        if 1 < size <= _ROW and size % _LINE:
            parts.append(size - 1)  # where rows do not begin with a line, there is one more

        def codegen(context, builder, signature, arguments):
            places = [ir.IntType(64)(part) for part in parts]
            return _fetch(context, builder, signature.args[0], *arguments, places)

        return types.void(array, types.int64), codegen

    return prefetch


def prefetch_part() -> Any:
    """Fetch the line into the cache in which byte ``at`` of ``array[i]`` lies."""

    @intrinsic
    def prefetch_part(_typing, array, i, at):
        def codegen(context, builder, signature, arguments):
            whole, row, part = arguments
            return _fetch(context, builder, signature.args[0], whole, row, [part])

        return types.void(array, types.int64, types.int64), codegen

    return prefetch_part


def byte_in_line() -> Any:
    """The first place from ``first`` on where a line's worth of bytes has ``byte``, or its end."""
    i8, i64 = ir.IntType(8), ir.IntType(64)
    line = ir.VectorType(i8, _LINE)

    @intrinsic
    def byte_in_line(_typing, array, byte, first):
        def codegen(context, builder, signature, arguments):
            view = context.make_array(signature.args[0])(context, builder, arguments[0])
            here = builder.load(builder.bitcast(view.data, line.as_pointer()))
            here.align = 1
            one = builder.insert_element(
                ir.Constant(line, ir.Undefined),
                builder.trunc(arguments[1], i8),
                ir.IntType(32)(0),
            )
            everywhere = builder.shuffle_vector(
                one,
                ir.Constant(line, ir.Undefined),
                ir.Constant(ir.VectorType(ir.IntType(32), _LINE), [0] * _LINE),
            )
            # A bit a place, those before ``first`` cleared.
            alike = builder.bitcast(builder.icmp_unsigned("==", here, everywhere), i64)
            alike = builder.and_(alike, builder.shl(i64(-1), builder.and_(arguments[2], i64(63))))
            count = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(i64, [i64, ir.IntType(1)]), "llvm.cttz.i64"
            )
            found = builder.call(count, [alike, ir.IntType(1)(0)])
            inside = builder.icmp_unsigned("<", arguments[2], i64(_LINE))
            return builder.select(inside, found, i64(_LINE))

        return types.int64(array, types.int64, types.int64), codegen

    return byte_in_line


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


def part_or_whole(name: str) -> Any:
    """The field ``name`` of a named tuple, or the tuple itself where it has none."""

    @intrinsic
    def part_or_whole(_typing, whole):
        has = name in whole.fields
        result = whole.types[whole.fields.index(name)] if has else whole

        def codegen(context, builder, signature, arguments):
            if not has:
                return arguments[0]
            return context.get_getattr(whole, name)(context, builder, whole, arguments[0], name)

        return result(whole), codegen

    return part_or_whole
