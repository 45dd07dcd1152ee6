"""How a kernel is compiled, and where its machine code is kept.

A *kernel* is a plain loop over arrays, written in Python and compiled by Numba. A kernel never
raises: it returns counts and reasons, and the Python around it decides.

The compile cache lies outside the package, so that an installation may be read-only:
``$NUMBA_CACHE_DIR``, else ``$CACHE_DIRECTORY`` (set by systemd), else ``$XDG_CACHE_HOME/port25``,
else ``~/.cache/port25``; where none can be written, a private folder that ends with the process.
Below it, each state of the sources has a folder of its own. Numba looks only at the file a kernel
stands in, not at those of the kernels it calls, and would run stale code after an edit elsewhere.

Integers: Numba makes ``uint64 + int64`` a float64. Kernels therefore keep to int64, and to uint64
only for addresses and hashes, with every operand cast.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from sensor.base.entry_point import VERSIONS, EntryPoint, Part

__all__ = [
    "COLD",
    "INTERPRETED",
    "WHOLE",
    "inner",
    "inner_routine",
    "kernel",
    "mix",
    "prefetch",
    "routine",
    "sources",
    "table",
]

Function = TypeVar("Function", bound=Callable[..., Any])

INTERPRETED: bool = bool(numba.config.DISABLE_JIT)
"""True when kernels run as plain Python (``NUMBA_DISABLE_JIT=1``), for tests."""
WHOLE: bool = (
    not INTERPRETED
    and numba.__version__.startswith(VERSIONS)
    and not os.environ.get("PORT25_NUMBA_ALONE")
)
"""True when entry points are compiled whole (:mod:`sensor.base.entry_point`), else by Numba's way.

``PORT25_NUMBA_ALONE=1`` asks for Numba's way, to compare.
"""

_KEPT_SECONDS = 30 * 86_400
"""Code of source states that nobody has used for this long is deleted from the cache."""


_ROOMS = (
    "sensor/base", "sensor/capture", "sensor/decode", "sensor/tcp", "sensor/dns", "sensor/smtp",
    "sensor/hosts", "sensor/customers", "sensor/alerts", "sensor/evidence", "sensor/tracking",
    "detectors",
)  # fmt: skip
"""What stands at or below the kernels in the order of the stages."""


def sources() -> list[Path]:
    """Every source that can end up in a kernel, in a fixed order."""
    root = Path(__file__).parents[2]
    return sorted(source for room in _ROOMS for source in (root / room).rglob("*.py"))


def _stamp() -> str:
    """Digest of :func:`sources`, and of what shapes the machine code."""
    digest = hashlib.blake2b(digest_size=8)
    for source in sources():
        digest.update(source.read_bytes())
    for name in ("NUMBA_BOUNDSCHECK", "PORT25_CHECKED_LOADS", "NUMBA_OPT", "PORT25_NUMBA_ALONE"):
        digest.update(f"{name}={os.environ.get(name)}".encode())
    return digest.hexdigest()


def _cache_root() -> Path:
    for name, leaf in (
        ("NUMBA_CACHE_DIR", ""),
        ("CACHE_DIRECTORY", ""),
        ("XDG_CACHE_HOME", "port25"),
    ):
        if value := os.environ.get(name):
            return Path(value) / leaf
    return Path("~/.cache/port25").expanduser()


def _cache_folder() -> Path:
    try:
        root = _cache_root()
        folder = root / _stamp()
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(folder)
        os.utime(folder)
        _forget_old_states(root)
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        # Never a shared, guessable name: the cache holds pickles, which run code when read.
        import atexit

        folder = Path(tempfile.mkdtemp(prefix="port25-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _forget_old_states(root: Path) -> None:
    for state in root.iterdir():
        if len(state.name) == 16 and state.stat().st_mtime < time.time() - _KEPT_SECONDS:
            shutil.rmtree(state, ignore_errors=True)


COLD: bool = False
"""True when no kernel of this state of the sources was compiled yet."""

if not INTERPRETED:
    numba.config.CACHE_DIR = str(_cache_folder())
    COLD = not any(Path(numba.config.CACHE_DIR).iterdir())


_OPTIONS: Any = {
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
    "no_cfunc_wrapper": True,
}


def _compiled(function: Function, *, called: bool, inline: bool) -> Function:
    """``function``, to be compiled when it is first called; ``called`` by Python, or by kernels."""
    compiled: Any
    if INTERPRETED:
        return function
    if WHOLE:
        options = {**_OPTIONS, "forceinline": inline, "nopython": True, "boundscheck": None}
        compiled = (EntryPoint if called else Part)(function, targetoptions=options)
        if called:
            compiled.enable_caching()
    else:
        compiled = numba.njit(
            forceinline=inline, no_cpython_wrapper=not called, cache=True, **_OPTIONS
        )(function)
    return compiled  # type: ignore[no-any-return]


def kernel(function: Function) -> Function:
    """Compile ``function`` on first call, keep the machine code, release the GIL while it runs.

    Kernels own no memory, so the compiled code counts no references: a table is passed as a tuple
    of many arrays, and counting those at every call would cost more than the work.
    """
    return _compiled(function, called=True, inline=True)


def inner(function: Function) -> Function:
    """A kernel that only kernels call.

    It has no entry from Python, which for one that takes many tables is most of the compiling.
    """
    return _compiled(function, called=False, inline=True)


def routine(function: Function) -> Function:
    """A kernel that is called, not inlined: for work that is large beside its few arguments."""
    return _compiled(function, called=True, inline=False)


def inner_routine(function: Function) -> Function:
    """A routine that only kernels call."""
    return _compiled(function, called=False, inline=False)


def table(rows: int, dtype: Any) -> NDArray[Any]:
    """An array of ``rows`` records, zeroed; memory is taken as rows are first used.

    Kernels write ``row.field``, which interpreted NumPy understands of a record array only.
    """
    zeros = np.zeros(rows, dtype)
    return zeros.view(np.recarray) if INTERPRETED else zeros


_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)


@kernel
def mix(hashed, word):
    """Fold one uint64 ``word`` into the uint64 ``hashed`` (Fibonacci multiply, fold halves)."""
    product = (hashed ^ word) * _MULTIPLIER
    return product ^ (product >> _SHIFT)


if INTERPRETED:
    import warnings

    # Hashes wrap on purpose; NumPy scalars warn when they do.
    warnings.filterwarnings("ignore", message="overflow encountered", category=RuntimeWarning)

    def prefetch(array: Any, i: Any) -> None:
        """Ask the processor to fetch ``array[i]``; nothing to do when interpreted."""

else:

    @intrinsic
    def prefetch(_typing, array, i):
        """Ask the processor to fetch ``array[i]`` (1-D, contiguous); never faults."""

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
