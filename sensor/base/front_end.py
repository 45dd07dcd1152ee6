"""What Numba does before LLVM, without what it does again and again. Imported to compile.

Half of compiling is typing and lowering, by Python, of some 700 small functions. Numba asks anew at
each addition what an addition of two integers is, of all that might add; looks at every statement
of a function seven times; and looks for closures where there are none. Here an answer is kept, a
statement is looked at quickly, and what no kernel has is not looked for. What is compiled is the
same.

Like :mod:`sensor.base.entry_point`, it leans on insides of Numba.
"""

from collections.abc import Callable
from typing import Any, Final

import llvmlite.binding as llvm
from numba.core import base, compiler, ir
from numba.core import types as numba_types
from numba.core.types.functions import BaseFunction

__all__ = ["function_passes", "passes_of"]

_ABSENT: Final = {
    "InlineClosureLikes",
    "InlineInlinables",
    "InlineOverloads",
    "NoPythonSupportedFeatureValidation",
    "WithLifting",
}
"""Passes for closures, comprehensions, with blocks and generators: no kernel has them."""


def passes_of(usual: Any) -> Any:
    """The passes of a compiler of Numba's (its ``define_pipelines``), without those."""
    (made,) = usual
    kept = compiler.PassManager(made.pipeline_name)
    kept.passes = [one for one in made.passes if one[0].__name__ not in _ABSENT]
    kept.finalize()
    return [kept]


def function_passes(machine: Any) -> tuple[Any, Any]:
    """What LLVM does with a kernel before it is inlined: so that less is copied, and no more."""
    passes = llvm.create_new_function_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    return passes, llvm.create_pass_builder(machine, options)


def _kept(usual: Callable[..., Any]) -> Callable[..., Any]:
    """``usual``, asked once of an object."""
    answers: dict[int, tuple[Any, Any]] = {}

    def kept(of: Any) -> Any:
        known = answers.get(id(of))
        if known is None:
            known = answers[id(of)] = usual(of), of  # which lives on, so that its identity does
        return known[0]

    return kept


def _call_types(usual: Callable[..., Any]) -> Callable[..., Any]:
    """What a function of Numba's makes of arguments of some types is asked once."""
    answers: dict[tuple[Any, ...], tuple[Any, Any, Any]] = {}

    def get_call_type(self: Any, context: Any, args: Any, kws: Any) -> Any:
        if kws:
            return usual(self, context, args, kws)
        key = (self.typing_key, *map(id, args))
        known = answers.get(key)
        if known is None:
            signature = usual(self, context, args, kws)
            known = answers[key] = signature, self._impl_keys[signature.args], args
        self._impl_keys[known[0].args] = known[1]
        return known[0]

    return get_call_type


_BARE: Final = {
    *(str, int, float, bool, type(None)),
    *(ir.Loc, ir.Const, ir.Global, ir.FreeVar, ir.Arg),
}
"""What holds no variable."""


def _variables(value: Any) -> list[Any]:
    """The variables in a part of an instruction of Numba's own language, in their order."""
    kind = type(value)
    if kind in _BARE:
        return []
    if isinstance(value, ir.Var):
        return [value]
    if isinstance(value, ir.Inst):
        found: list[Any] = value.list_vars()
        return found
    if isinstance(value, list | tuple):
        return _all_variables(value)
    return _all_variables(value.values()) if isinstance(value, dict) else []


def _all_variables(values: Any) -> list[Any]:
    found = []
    for value in values:
        kind = type(value)
        if kind is ir.Var:
            found.append(value)
        elif kind not in _BARE:
            found += _variables(value)
    return found


_classes: Any = (BaseFunction, numba_types.Record, ir.Inst, ir.Stmt)
_Function, _Record, _Instruction, _Statement = _classes
_Function.get_call_type = _call_types(_Function.get_call_type)
_Record.__repr__ = _kept(_Record.__repr__)
base._has_loc = _kept(base._has_loc)
_Instruction._rec_list_vars = lambda self, value: _variables(value)
_Statement.list_vars = lambda self: _all_variables(self.__dict__.values())
