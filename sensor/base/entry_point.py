"""Kernels that Python calls are compiled whole: with all that they call, once.

Numba makes machine code of every kernel, also of the hundreds that are only ever inlined into
others, and optimizes a kernel again in each of its callers. Here a kernel that another one calls
is a *part*: typed and lowered, and no more. An *entry point*, which Python calls, is linked with
its parts, and theirs; that one module is optimized, becomes machine code and is kept in the cache.
So a first start takes a third of the processor time, and its cache 2 MB instead of 130.

A kernel called by Python and by kernels is compiled as both. Parts are not made anew for each
literal among the arguments: an inlined one is specialized by LLVM anyhow.

This leans on insides of Numba, so it is done for the versions named in :data:`VERSIONS` only;
with others, all is left to Numba, which is slower and does the same.
"""

import hashlib
import os
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core import compiler, environment, itanium_mangler, sigutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.types.misc import unliteral

from sensor.base.cache import cache_folder
from sensor.base.kernel import Kernel

__all__ = ["VERSIONS", "WHOLE", "EntryPoint", "Part", "dispatcher_of", "type_of_intrinsic"]

VERSIONS = ("0.68.",)
"""How the versions of Numba begin with which this was tried."""

WHOLE: bool = numba.__version__.startswith(VERSIONS) and not os.environ.get("PORT25_NUMBA_ALONE")
"""True when entry points are compiled whole, else by Numba's way.

``PORT25_NUMBA_ALONE=1`` asks for Numba's way, to compare.
"""

if WHOLE:
    import sensor.base.by_address  # noqa: F401  (how tables are passed, for all that is compiled)
    from sensor.base.front_end import function_passes, passes_of

numba.config.CACHE_DIR = str(cache_folder())

_OPTIONS: Any = {
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
    "no_cfunc_wrapper": True,
}
_WRAPPER = "_ZN7cpython"
_ENVIRONMENT = "_ZN08NumbaEnv"


class Module(JITCodeLibrary):  # type: ignore[misc]
    """The code of one kernel; when finalized, with that of all its parts."""

    _linking_libraries: list[Any]
    shown: str = _WRAPPER
    """how the names of those functions begin that something outside calls"""

    def finalize(self) -> None:
        found: dict[Any, None] = {}
        waiting = [self]
        while waiting:
            for library in waiting.pop()._linking_libraries:
                if library not in found:
                    found[library] = None
                    waiting.append(library)
        # Numba's own libraries last: of those only what is called by then is taken.
        self._linking_libraries = sorted(found, key=lambda lib: not isinstance(lib, Module))
        super().finalize()
        for variable in self._final_module.global_variables:
            known = variable.name.startswith(_ENVIRONMENT)
            if known and (place := environment.lookup_environment(variable.name)):
                self._codegen.set_env(variable.name, place)

    def set_apart(self) -> None:
        """Have it linked as it is, and never become machine code of its own."""
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        return self._final_module

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout
        passes, builder = function_passes(self._codegen._tm)
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)

    def _optimize_final_module(self) -> None:
        """Optimize once; of what nothing outside can call, only what is called stays."""
        for function in self._final_module.functions:
            if not function.is_declaration and not function.name.startswith(self.shown):
                function.linkage = "internal"
        for variable in self._final_module.global_variables:
            if variable.name.startswith(_ENVIRONMENT):
                variable.linkage = "linkonce_any"
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)

    def serialize_using_object_code(self) -> Any:
        """As Numba does, with no more bitcode than tells which symbols there are."""
        self._ensure_finalized()
        stub = "\n".join(
            f'define void @"{function.name}"() {{ ret void }}'
            for function in self._final_module.functions
            if not function.is_declaration and function.linkage == llvm.Linkage.external
        )
        bitcode = llvm.parse_assembly(stub).as_bitcode()
        return self.name, "object", (self._get_compiled_object(), bitcode)


def _short(name: str, arguments: Any, *, abi_tags: Any = (), uid: Any = None) -> str:
    """A symbol of some 80 characters; that of a kernel which takes all tables has 16,000."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (*arguments, *abi_tags):
        digest.update(f"{part}\0".encode())
    symbol: str = itanium_mangler.mangle(name, (), abi_tags=(digest.hexdigest(),), uid=uid)
    return symbol


class _Whole(compiler.Compiler):  # type: ignore[misc]
    def define_pipelines(self) -> Any:
        return passes_of(super().define_pipelines())

    def compile_extra(self, function: Callable[..., Any]) -> Any:
        context = self.state.targetctx  # a copy made for this kernel
        context.mangler = _short
        self.state.library = Module(context.codegen(), function.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(function)


class _Apart(_Whole):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.flags.no_compile = True


class Part(CPUDispatcher):  # type: ignore[misc]
    """A kernel that only kernels call."""

    made = 0
    lowered: Callable[[int], None] | None = None
    """is told how many there are, whenever one more is lowered"""

    def __init__(self, py_func: Any, locals: Any = None, targetoptions: Any = None) -> None:
        options = {**targetoptions, "no_cpython_wrapper": True}
        super().__init__(py_func, locals, options, _Apart)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """How a call is typed: a literal as the number it is."""
        kws = {name: unliteral(kind) for name, kind in kws.items()}
        return super().get_call_template(tuple(unliteral(kind) for kind in args), kws)

    def compile(self, sig: Any) -> Any:
        """Type and lower it for arguments of these types."""
        arguments, result = sigutils.normalize_signature(sig)
        with global_compiler_lock:
            known = self.overloads.get(tuple(arguments))
            if known is None:
                with self._compiling_counter:
                    made = self._compiler.compile(arguments, result)
                made.library.set_apart()
                known = made._replace(entry_point=object())  # only a key: it cannot be called
                context = self.targetctx
                context.insert_user_function(known.entry_point, known.fndesc, [known.library])
                self.overloads[tuple(arguments)] = known
                Part.made += 1
                if Part.lowered is not None:
                    Part.lowered(Part.made)
        return known.entry_point

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        raise TypeError(f"{self.py_func.__qualname__} is for kernels to call")


class EntryPoint(CPUDispatcher):  # type: ignore[misc]
    """A kernel that Python calls, and that kernels may call."""

    def __init__(self, py_func: Any, locals: Any = None, targetoptions: Any = None) -> None:
        super().__init__(py_func, locals, targetoptions, _Whole)
        self._part = Part(py_func, locals, targetoptions)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """How a kernel's call is typed."""
        return self._part.get_call_template(args, kws)

    def get_overload(self, sig: Any) -> Any:
        """What a kernel's call is compiled to."""
        return self._part.get_overload(sig)


def dispatcher_of(kernel: Kernel) -> Any:
    """What Numba calls to compile a kernel."""
    if not WHOLE:
        return numba.njit(
            forceinline=kernel.inline, no_cpython_wrapper=not kernel.called, cache=True, **_OPTIONS
        )(kernel.py_func)
    options = {**_OPTIONS, "forceinline": kernel.inline, "nopython": True, "boundscheck": None}
    made = (EntryPoint if kernel.called else Part)(kernel.py_func, targetoptions=options)
    if kernel.called:
        made.enable_caching()
    return made


def type_of_intrinsic(made: Any) -> Any:
    """How Numba sees a function of its own kind."""
    typing = cpu_target.typing_context
    typing.refresh()
    return typing.resolve_value_type(made)
