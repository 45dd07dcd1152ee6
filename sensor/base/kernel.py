"""What a kernel is, and what happens when it is called.

A *kernel* is a plain loop over arrays, written in Python and compiled. A kernel never raises: it
returns counts and reasons, and the Python around it decides.

Called from Python, its machine code is looked for in the library made in advance
(:mod:`sensor.base.machine_code`); a form that is not there is compiled by Numba, which is imported
then and not before: importing it takes longer than reading most captures.

Integers: Numba makes ``uint64 + int64`` a float64. Kernels therefore keep to int64, and to uint64
only for addresses and hashes, with every operand cast.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sensor.base.machine_code import Caller

__all__ = [
    "INTERPRETED",
    "Intrinsic",
    "Kernel",
    "Rehearsal",
    "byte_in_line",
    "copied",
    "fold",
    "in_pieces",
    "inner",
    "inner_routine",
    "kernel",
    "mix",
    "prefetch",
    "prefetch_part",
    "rehearse",
    "room",
    "routine",
    "table",
]

Function = TypeVar("Function", bound=Callable[..., Any])

INTERPRETED: bool = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
"""True when kernels run as plain Python (``NUMBA_DISABLE_JIT=1``), for tests."""


class Rehearsal:
    """Kernels run as plain Python for once, and each call from Python is noted."""

    def __init__(self) -> None:
        self.calls: list[tuple[Kernel, tuple[Any, ...]]] = []
        self.depth = 0

    def run(self, one: "Kernel", arguments: tuple[Any, ...]) -> Any:
        """A kernel is called, by Python or by a kernel."""
        if self.depth == 0:
            self.calls.append((one, arguments))
        self.depth += 1
        try:
            return one.py_func(*arguments)
        finally:
            self.depth -= 1


_rehearsal: Rehearsal | None = None


def rehearse(play: Callable[[], None]) -> list[tuple["Kernel", tuple[Any, ...]]]:
    """Which kernels ``play`` calls, and with what: each call, in order. Nothing is compiled."""
    global _rehearsal
    _rehearsal = Rehearsal()
    try:
        with np.errstate(over="ignore"):  # hashes wrap on purpose
            play()
        return _rehearsal.calls
    finally:
        _rehearsal = None


class Kernel:
    """A function that is compiled when it is called.

    ``called``: by Python, else by kernels only. ``inline``: into each of its callers.
    """

    count = 0
    """how many there are"""

    def __init__(self, function: Callable[..., Any], *, called: bool, inline: bool) -> None:
        self.py_func = function
        self.called = called
        self.inline = inline
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__
        self._caller = Caller(f"{function.__module__}.{function.__qualname__}")
        self._dispatcher: Any = None
        Kernel.count += 1

    def __call__(self, *arguments: Any) -> Any:
        """Run it."""
        if _rehearsal is not None:
            return _rehearsal.run(self, arguments)
        entry, words, _held = self._caller.entry(arguments)
        if entry is not None:
            return entry(words)
        return self.dispatcher(*arguments)

    @property
    def dispatcher(self) -> Any:
        """What Numba makes of it."""
        if self._dispatcher is None:
            from sensor.base.entry_point import dispatcher_of

            self._dispatcher = dispatcher_of(self)
        return self._dispatcher

    @property
    def _numba_type_(self) -> Any:
        """How Numba sees it in the kernels that call it."""
        return self.dispatcher._numba_type_


class Intrinsic:
    """A function of a few machine instructions, with a twin in plain Python.

    ``made`` makes of it what Numba calls, when it is asked for; ``twin`` runs in its stead where
    kernels are not compiled.
    """

    def __init__(self, twin: Callable[..., Any], made: Callable[[], Any]) -> None:
        self.twin = twin
        self._made = made
        self._type: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """What it does, done by Python."""
        return self.twin(*arguments)

    @property
    def _numba_type_(self) -> Any:
        if self._type is None:
            from sensor.base.entry_point import type_of_intrinsic

            self._type = type_of_intrinsic(self._made())
        return self._type


def _compiled(function: Function, *, called: bool, inline: bool) -> Function:
    """``function``, to be compiled when it is first called; ``called`` by Python, or by kernels."""
    if INTERPRETED:
        return function
    made: Any = Kernel(function, called=called, inline=inline)
    return made  # type: ignore[no-any-return]


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


_LINE = 64
"""Bytes of a line of the cache."""


def table(rows: int, dtype: Any) -> NDArray[Any]:
    """An array of ``rows`` records, zeroed; memory is taken as rows are first used.

    It begins where a line of the cache does, so that a row of 128 bytes lies in two and not three.
    Kernels write ``row.field``, which interpreted NumPy understands of a record array only.
    """
    return _aligned(np.zeros, rows, dtype)


def room(rows: int, dtype: Any) -> NDArray[Any]:
    """The same, not zeroed: for records that are written whole."""
    return _aligned(np.empty, rows, dtype)


def _aligned(made: Callable[..., NDArray[Any]], rows: int, dtype: Any) -> NDArray[Any]:
    size = rows * np.dtype(dtype).itemsize
    memory = made(size + _LINE, np.uint8)
    first = -memory.ctypes.data % _LINE
    records: NDArray[Any] = memory[first : first + size].view(dtype)
    return records.view(np.recarray) if INTERPRETED or _rehearsal is not None else records


def in_pieces(records: NDArray[Any]) -> NDArray[Any]:
    """The same records, each one piece: NumPy copies those at once, others field by field."""
    return np.asarray(records).view(np.dtype((np.void, records.dtype.itemsize)))


def copied(records: NDArray[Any], numbers: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """A :func:`table` of these records, or of those that have the given numbers, in that order."""
    pieces = in_pieces(records)
    chosen = pieces if numbers is None else pieces[numbers]
    made = room(len(chosen), records.dtype)
    in_pieces(made)[:] = chosen
    return made


_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)


def fold(hashed: Any, word: Any) -> Any:
    """Fold one uint64 ``word`` into the uint64 ``hashed`` (Fibonacci multiply, fold halves).

    Or arrays of them; kernels call it as ``mix``.
    """
    product = (hashed ^ word) * _MULTIPLIER
    return product ^ (product >> _SHIFT)


mix = kernel(fold)


if INTERPRETED:
    import warnings

    # Hashes wrap on purpose; NumPy scalars warn when they do.
    warnings.filterwarnings("ignore", message="overflow encountered", category=RuntimeWarning)


def _prefetch(array: Any, i: Any) -> None:
    """Nothing to do."""


def _compiled_prefetch() -> Any:
    from sensor.base.intrinsics import prefetch

    return prefetch()


prefetch = Intrinsic(_prefetch, _compiled_prefetch)
"""Ask the processor to fetch ``array[i]`` (1-D, contiguous); never faults.

Of a row of more than 256 bytes it is the beginning.
"""


def _prefetch_part(array: Any, i: Any, at: Any) -> None:
    """Nothing to do."""


def _compiled_prefetch_part() -> Any:
    from sensor.base.intrinsics import prefetch_part

    return prefetch_part()


prefetch_part = Intrinsic(_prefetch_part, _compiled_prefetch_part)
"""Ask the processor to fetch what stands at byte ``at`` of ``array[i]``; never faults."""


def _byte_in_line(array: Any, byte: Any, first: Any) -> Any:
    for at in range(int(first), _LINE):
        if array[at] == byte:
            return at
    return _LINE


def _compiled_byte_in_line() -> Any:
    from sensor.base.intrinsics import byte_in_line

    return byte_in_line()


byte_in_line = Intrinsic(_byte_in_line, _compiled_byte_in_line)
"""The first place from ``first`` on at which ``array`` (64 of uint8) has ``byte``; 64: nowhere.

Sixty-four bytes are compared at once: a line of the cache, if ``array`` is one.
"""
