"""Tables go from kernel to kernel by their address. Imported to compile.

Numba passes a tuple of arrays as all that is in it: 844 values for the whole of the tracking, at
each of some hundred calls, and most of compiling was to read those, take them apart and throw them
away. Here a named tuple that holds arrays is one address: that of a *block* of 64-bit words, laid
out by :func:`words_of`. Nothing writes to a block while a kernel runs.

A contiguous array as an argument is its address and its shape, of which all else follows.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils
from numba.core import types as numba_types
from numba.core.datamodel import models
from numba.core.datamodel.registry import default_manager
from numba.core.imputils import lower_getattr_generic
from numba.core.registry import cpu_target
from numba.np.numpy_support import as_dtype

__all__ = ["arrange", "is_block", "read", "read_address", "words_of"]

types: Any = numba_types
_I64: Final = ir.IntType(64)
_WORDS: Final = _I64.as_pointer()


def _is_plain(kind: Any) -> bool:
    """An array whose address and shape say all."""
    return isinstance(kind, types.Array) and kind.layout == "C" and kind.ndim > 0


def _leaves(kind: Any) -> list[Any]:
    if isinstance(kind, types.BaseTuple):
        return [leaf for one in kind for leaf in _leaves(one)]
    return [kind]


def is_block(kind: Any) -> bool:
    """Whether it is passed by the address of its words."""
    if not isinstance(kind, types.BaseNamedTuple):
        return False
    arrays = [leaf for leaf in _leaves(kind) if isinstance(leaf, types.Array)]
    return bool(arrays) and all(map(_is_plain, arrays))


def words_of(kind: Any) -> int:
    """How many 64-bit words hold a value: an array is its address and shape, all else a word."""
    return sum(1 + leaf.ndim if isinstance(leaf, types.Array) else 1 for leaf in _leaves(kind))


class _Array(models.ArrayModel):  # type: ignore[misc]
    """As Numba has it, but among the arguments."""

    def get_argument_type(self) -> Any:
        if not _is_plain(self._fe_type):
            return super().get_argument_type()
        return (self._models[4].get_argument_type(), self._models[5].get_argument_type())

    def as_argument(self, builder: Any, value: Any) -> Any:
        if not _is_plain(self._fe_type):
            return super().as_argument(builder, value)
        return tuple(
            self._models[k].as_argument(builder, self.get(builder, value, k)) for k in (4, 5)
        )

    def from_argument(self, builder: Any, value: Any) -> Any:
        if not _is_plain(self._fe_type):
            return super().from_argument(builder, value)
        return self.made(builder, value[0], value[1])

    def made(self, builder: Any, data: Any, shape: Sequence[Any]) -> Any:
        """The array at ``data``."""
        itemsize = _I64(as_dtype(self._fe_type.dtype).itemsize)
        strides: list[Any] = []
        step: Any = itemsize
        for number in reversed(shape):
            strides.insert(0, step)
            step = builder.mul(step, number)
        items = shape[0]
        for number in shape[1:]:
            items = builder.mul(items, number)
        values = (
            *(cgutils.get_null_value(self._models[k].get_value_type()) for k in (0, 1)),
            items, itemsize, data,
            cgutils.pack_array(builder, shape, _I64), cgutils.pack_array(builder, strides, _I64),
        )  # fmt: skip
        array = ir.Constant(self.get_value_type(), ir.Undefined)
        for k, value in enumerate(values):
            array = self.set(builder, array, value, k)
        return array


class _Block(models.PrimitiveModel):  # type: ignore[misc]
    """The address of its words."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _WORDS)


def _model_or(usual: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda manager, kind: (_Block if is_block(kind) else usual)(manager, kind)


class _Loading:
    """How words are read."""

    unchanging = False
    """whether it is certain that nothing ever wrote to a block in the same module"""


def arrange(*, unchanging: bool) -> None:
    """Say what blocks are: made by who calls (True), or by a wrapper that is part of the code."""
    _Loading.unchanging = unchanging


def _word(builder: Any, words: Any, at: int, kind: Any) -> Any:
    """Word number ``at``, as an argument of LLVM's type ``kind``."""
    place = builder.gep(words, [_I64(at)])
    if isinstance(kind, ir.PointerType | ir.DoubleType):
        place = builder.bitcast(place, kind.as_pointer())
    word = builder.load(place)
    if _Loading.unchanging:
        word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return builder.trunc(word, kind) if isinstance(kind, ir.IntType) and kind.width < 64 else word


def read_address(builder: Any, words: Any, at: int, size: int) -> Any:
    """The address that is word number ``at``, of a block of ``size`` words."""
    address = _word(builder, words, at, _WORDS)
    module = builder.module
    address.set_metadata("dereferenceable", module.add_metadata([_I64(8 * size)]))
    return address


def read(context: Any, builder: Any, words: Any, at: int, kind: Any) -> Any:
    """The value of type ``kind`` that begins with word number ``at``."""
    if is_block(kind):
        return builder.gep(words, [_I64(at)])
    model = context.data_model_manager[kind]
    if isinstance(kind, types.Array):
        data = _word(builder, words, at, model._models[4].get_argument_type())
        shape = [_word(builder, words, at + 1 + k, _I64) for k in range(kind.ndim)]
        return model.made(builder, data, shape)
    if isinstance(kind, types.BaseTuple):
        parts = []
        for one in kind:
            parts.append(read(context, builder, words, at, one))
            at += words_of(one)
        return context.make_tuple(builder, kind, parts)
    return model.from_argument(builder, _word(builder, words, at, model.get_argument_type()))


def _write(context: Any, builder: Any, words: Any, at: int, kind: Any, value: Any) -> None:
    """The same the other way."""
    if is_block(kind):
        for k in range(words_of(kind)):
            one = builder.load(builder.gep(value, [_I64(k)]))
            builder.store(one, builder.gep(words, [_I64(at + k)]))
        return
    if isinstance(kind, types.BaseTuple):
        for k, one in enumerate(kind):
            _write(context, builder, words, at, one, builder.extract_value(value, k))
            at += words_of(one)
        return
    leaf = context.data_model_manager[kind].as_argument(builder, value)
    if isinstance(kind, types.Array):
        leaf, shape = leaf
        for k, number in enumerate(shape, 1):
            builder.store(number, builder.gep(words, [_I64(at + k)]))
    place = builder.gep(words, [_I64(at)])
    if isinstance(leaf.type, ir.IntType):
        signed = getattr(kind, "signed", False)
        leaf = (
            leaf
            if leaf.type.width == 64
            else (builder.sext if signed else builder.zext)(leaf, _I64)
        )
    else:
        place = builder.bitcast(place, leaf.type.as_pointer())
    builder.store(leaf, place)


def _getattr(context: Any, builder: Any, kind: Any, value: Any, name: str) -> Any:
    """A field of a named tuple."""
    number = kind.fields.index(name)
    if not is_block(kind):
        return builder.extract_value(value, number)
    at = sum(words_of(one) for one in kind.types[:number])
    return read(context, builder, value, at, kind.types[number])


def _make_tuple(usual: Callable[..., Any], context: Any) -> Callable[..., Any]:
    def make_tuple(builder: Any, kind: Any, values: Sequence[Any]) -> Any:
        if not is_block(kind):
            return usual(builder, kind, values)
        if not builder.function.name.startswith("_ZN7cpython"):
            # It would be a place on the stack of a kernel that may have returned.
            raise NotImplementedError(f"a kernel makes a tuple of tables: {kind.instance_class}")
        words = cgutils.alloca_once(builder, _I64, size=words_of(kind))
        at = 0
        for one, value in zip(kind, values, strict=True):
            _write(context, builder, words, at, one, value)
            at += words_of(one)
        return words

    return make_tuple


default_manager.register(types.Array, _Array)
default_manager.register(types.NamedTuple, _model_or(models.TupleModel))
default_manager.register(types.NamedUniTuple, _model_or(models.UniTupleModel))
lower_getattr_generic(types.NamedTuple)(_getattr)
lower_getattr_generic(types.NamedUniTuple)(_getattr)
_context = cpu_target.target_context
_context.refresh()
_context.make_tuple = _make_tuple(_context.make_tuple, _context)
