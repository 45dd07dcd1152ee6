"""Machine code for several kernels at once, as an object file: what a library is made of.

Each is a *part* (:mod:`sensor.base.entry_point`), and an entry that reads its arguments from 64-bit
words and writes its results as such (:mod:`sensor.base.machine_code`). All are linked into one
module, with all that they call, and optimized there, once. Imports Numba.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import typeof
from numba.core import types as numba_types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from sensor.base.by_address import arrange, read, read_address, words_of
from sensor.base.entry_point import EntryPoint, Module, Part
from sensor.base.kernel import Kernel
from sensor.base.machine_code import ARM, call_form

__all__ = ["Call", "distinct", "object_code"]

Call = tuple[Kernel, tuple[Any, ...]]
"""A kernel, and arguments as it is called with."""

types: Any = numba_types
_I64: Final = ir.IntType(64)
_I32: Final = ir.IntType(32)
_ENTRY: Final = "port25_"


def distinct(calls: Sequence[Call]) -> list[tuple[str, Call]]:
    """Each form among them once, with a call that has it."""
    forms: dict[str, Call] = {}
    for one, arguments in calls:
        name = f"{one.py_func.__module__}.{one.py_func.__qualname__}"
        forms.setdefault(call_form(name, arguments), (one, arguments))
    return list(forms.items())


def _plain(value: Any) -> Any:
    """Without the dress in which interpreted kernels get their tables."""
    if isinstance(value, np.recarray):
        return value.view(np.ndarray)
    if isinstance(value, tuple):
        parts = [_plain(one) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


class _Whole(Module):
    """All of it; becomes an object, and is never run here."""

    shown = _ENTRY
    machine: Any
    made: bytes

    def _optimize_final_module(self) -> None:
        self._final_module.triple = self.machine.triple
        self._final_module.data_layout = str(self.machine.target_data)
        super()._optimize_final_module()

    def _finalize_final_module(self) -> None:
        self._verify_declare_only_symbols()
        self.made = self.machine.emit_object(self._final_module)
        self._finalized = True


def _result_text(kind: Any) -> str:
    if isinstance(kind, types.BaseTuple):
        return f"({','.join(_result_text(one) for one in kind)})"
    if isinstance(kind, types.Boolean):
        return "b"
    if isinstance(kind, types.NoneType):
        return ""
    if isinstance(kind, types.Integer):
        return f"{'i' if kind.signed else 'u'}8"
    raise TypeError(f"a kernel that Python calls returns {kind}")


def _write(builder: Any, results: Any, at: int, value: Any, signed: list[bool]) -> int:
    """``value`` and what is in it, from word ``at`` on; the next word."""
    kind = value.type
    if isinstance(kind, ir.LiteralStructType | ir.ArrayType):
        size = len(kind.elements) if isinstance(kind, ir.LiteralStructType) else kind.count
        for k in range(size):
            at = _write(builder, results, at, builder.extract_value(value, k), signed)
        return at
    if kind.width != 64:
        widen = builder.sext if signed[at] else builder.zext
        value = widen(value, _I64)
    builder.store(value, builder.gep(results, [_I64(at)]))
    return at + 1


def _is_signed(kind: Any) -> list[bool]:
    if isinstance(kind, types.BaseTuple):
        return [one for part in kind for one in _is_signed(part)]
    return [] if isinstance(kind, types.NoneType) else [getattr(kind, "signed", False)]


def _entry(context: Any, known: Any, symbol: str) -> Any:
    """A module with the entry of one part."""
    module = context.create_module(symbol)
    described = known.fndesc
    convention = context.call_conv
    kind = convention.get_function_type(described.restype, described.argtypes)
    callee = ir.Function(module, kind, described.llvm_func_name)
    pointer = _I64.as_pointer()
    function = ir.Function(module, ir.FunctionType(_I32, [pointer, pointer]), symbol)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    words, results = function.args
    values = []
    at = 0
    for argument in described.argtypes:
        if isinstance(argument, types.BaseTuple):
            block = read_address(builder, words, at, words_of(argument))
            values.append(read(context, builder, block, 0, argument))
            at += 1
        else:
            values.append(read(context, builder, words, at, argument))
            at += words_of(argument)
    given = context.get_arg_packer(described.argtypes).as_arguments(builder, values)
    result = builder.alloca(kind.args[0].pointee)
    fault = builder.alloca(kind.args[1].pointee)
    status = builder.call(callee, [result, fault, *given])
    if not isinstance(described.restype, types.NoneType):
        _write(builder, results, 0, builder.load(result), _is_signed(described.restype))
    builder.ret(status)
    return module


def _forms_module(context: Any, lines: list[str]) -> Any:
    module = context.create_module("forms")
    text = bytearray("\n".join(lines).encode() + b"\0")
    kind = ir.ArrayType(ir.IntType(8), len(text))
    variable = ir.GlobalVariable(module, kind, f"{_ENTRY}forms")
    variable.global_constant = True
    variable.initializer = ir.Constant(kind, text)
    return module


def _machine(level: str) -> Any:
    """What LLVM knows of processors of ``level``, whichever this one is."""
    arm = level == ARM
    if arm:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(f"{'aarch64' if arm else 'x86_64'}-unknown-linux-gnu")
    return target.create_target_machine(
        cpu="generic" if arm else level, features="", opt=3, reloc="pic", codemodel="small"
    )


def object_code(
    forms: Sequence[tuple[str, Call]], level: str, tell: Callable[[int], None] = lambda done: None
) -> bytes:
    """The object file of all ``forms`` (:func:`distinct`), for processors of ``level``.

    ``tell`` is given how many kernels have been lowered.
    """
    context = cpu_target.target_context
    codegen = context.codegen()
    codegen._tm = _machine(level)
    whole = _Whole(codegen, "port25")
    whole.machine = codegen._tm
    lines = []
    Part.lowered = tell
    arrange(unchanging=True)
    with global_compiler_lock:
        for number, (form, (one, arguments)) in enumerate(forms):
            entry_point = one.dispatcher
            part = entry_point._part if isinstance(entry_point, EntryPoint) else entry_point
            kinds = tuple(typeof(_plain(argument)) for argument in arguments)
            part.compile(kinds)
            known = part.overloads[kinds]
            symbol = f"{_ENTRY}{number}_{one.__name__}"
            whole.add_linking_library(known.library)
            whole.add_ir_module(_entry(context, known, symbol))
            lines.append(f"{form}\t{symbol}\t{_result_text(known.fndesc.restype)}")
        whole.add_ir_module(_forms_module(context, lines))
        whole.finalize()
    return whole.made
