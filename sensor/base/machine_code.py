"""Machine code of the kernels in one piece: found, mapped and called without Numba.

A *library* has every kernel that the sensor calls from Python, each for the types it is called
with. It is made in advance (``sensor/service/compiling.py``): in the build of a package, or by the
first start from a checkout. Its halves are shared objects, which two processes make at a time. What
they are the code of stands in their names: a digest of the sources, and the least processor they
run on.

A kernel's *form* is its name and the types of its arguments, as text. A call whose form the library
has goes there; any other is left to Numba, which compiles it, slower to start and the same in what
it says. Arguments go as 64-bit words: a number is one; an array is its address and its shape; a
tuple is one word, the address of the words of all that is in it (:mod:`sensor.base.by_address`).
Those of the tuples seen last are kept, for the tables that go into every call are the same tuple
each time.
"""

import ctypes
import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from sensor.base.cache import FLAGS, cache_folder, stamp

__all__ = [
    "ARM",
    "BUILT",
    "HALVES",
    "Caller",
    "Entry",
    "Library",
    "call_form",
    "file_name",
    "forget",
    "form_of",
    "is_missing",
    "level",
    "library",
    "look_again",
]

BUILT: Final = Path(__file__).parents[1] / "code"
"""Where a package keeps the libraries made in its build."""
_ADVANCE: Final = not any(os.environ.get(name) for name in FLAGS)
"""Whether libraries are used at all: they are compiled one way only."""

HALVES: Final = ("tracking", "others")
"""The kernels of ``sensor/tracking``, which are most of it, and all others."""

ARM: Final = "aarch64"
"""The level of every 64-bit ARM: no kernel needs more than the first of them had."""
_V2 = {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"}
_V3 = _V2 | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
_GOOD: Final = (0, -2)
"""Statuses of a call: a value, and None. Any other is an exception, and no kernel raises."""
_C, _ALIGNED, _WRITEABLE = 0x1, 0x100, 0x400
_PLAIN: Final = _C | _ALIGNED
_WORD: Final = 0xFFFFFFFFFFFFFFFF
_MOST_RESULTS: Final = 16
_MOST_TUPLES: Final = 16
"""Kept with their words, and so in memory with their tables: a sensor has four, tests make ever new
ones."""


@functools.cache
def level() -> str | None:
    """What this processor has, the most of x86-64 as compilers name it; None: another kind."""
    machine = os.uname().machine
    if machine != "x86_64":
        return ARM if machine == ARM else None
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    flags = set(line.partition(":")[2].split())
    if flags >= _V3:
        return "x86-64-v3"
    return "x86-64-v2" if flags >= _V2 else None


def file_name(half: str, of: str) -> str:
    """Of one of :data:`HALVES`, for processors of level ``of``."""
    return f"{half}-{of}-{stamp()}.so"


@functools.lru_cache(maxsize=256)
def _dtype_text(dtype: np.dtype[Any]) -> str:
    if dtype.subdtype is not None:
        return f"{_dtype_text(dtype.subdtype[0])}{list(dtype.subdtype[1])}"
    if dtype.fields is None:
        return dtype.str
    fields = (f"{n}@{f[1]}:{_dtype_text(f[0])}" for n, f in dtype.fields.items())
    return f"{{{','.join(fields)};{dtype.itemsize}{'' if dtype.isalignedstruct else 'p'}}}"


def form_of(value: Any) -> str:
    """An argument's type as text; raises TypeError for one no library is made for.

    >>> form_of((1, True, np.uint64(3), np.zeros((2, 3), np.uint8)))
    'tuple(i8,b,u8,[|u1 2 w])'
    """
    if isinstance(value, np.ndarray):
        flags = value.flags.num
        if flags & _PLAIN != _PLAIN:
            raise TypeError("not a plain array")
        rights = "w" if flags & _WRITEABLE else "r"
        return f"[{_dtype_text(value.dtype)} {value.ndim} {rights}]"
    if isinstance(value, tuple):
        return f"{type(value).__qualname__}({','.join(map(form_of, value))})"
    if isinstance(value, bool | np.bool_):
        return "b"
    if isinstance(value, np.integer):
        return value.dtype.str[1:]
    if isinstance(value, int):
        return "i8"
    if isinstance(value, float):
        return "f8"
    if isinstance(value, np.void):
        return _dtype_text(value.dtype)
    raise TypeError(type(value))


def _words(value: Any) -> list[int]:
    if isinstance(value, np.ndarray):
        # Not from __array_interface__, which describes each field of a row anew.
        return [value.ctypes.data, *value.shape]
    if isinstance(value, tuple):
        return [word for one in value for word in _words(one)]
    if isinstance(value, float):
        return [int(np.float64(value).view(np.uint64))]
    if isinstance(value, np.void):
        return [np.frombuffer(value.data, np.uint8).ctypes.data]
    return [int(value) & _WORD]


def _flat(result: str) -> list[str]:
    return [one for one in result.strip("()").split(",") if one]


class Entry:
    """One form of one kernel, to be called."""

    def __init__(self, address: int, result: str) -> None:
        self._enter = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(address)
        self._flat = _flat(result)
        self._is_tuple = result.startswith("(")

    def __call__(self, words: list[int]) -> Any:
        """Run it."""
        results = (ctypes.c_int64 * _MOST_RESULTS)()
        given = (ctypes.c_uint64 * len(words))(*words)
        status = self._enter(given, results)
        if status not in _GOOD:
            raise RuntimeError(f"a kernel ended with status {status}")
        values = [_value(kind, word) for kind, word in zip(self._flat, results, strict=False)]
        if self._is_tuple:
            return tuple(values)
        return values[0] if values else None


def _value(kind: str, word: int) -> int | bool:
    if kind == "b":
        return bool(word & 1)
    return word & _WORD if kind == "u8" else word


class Library:
    """Shared objects that are mapped, and what they have."""

    def __init__(self, paths: list[Path]) -> None:
        self._forms = {}
        for path in paths:
            mapped = ctypes.CDLL(str(path))
            text = ctypes.cast(mapped.port25_forms, ctypes.c_char_p).value or b""
            for line in text.decode().splitlines():
                form, symbol, result = line.split("\t")
                self._forms[form] = mapped[symbol], result

    def entry(self, form: str) -> Entry | None:
        """For a kernel of this form."""
        found = self._forms.get(form)
        if found is None:
            return None
        address = ctypes.cast(found[0], ctypes.c_void_p).value
        return Entry(address or 0, found[1])


@functools.cache
def _found() -> Library | None:
    of = level()
    if not _ADVANCE or of is None:
        return None
    for place in (lambda: BUILT, cache_folder):  # the cache's is made when it is asked for
        folder = place()
        paths = [folder / file_name(half, of) for half in HALVES]
        if all(path.exists() for path in paths):
            try:
                return Library(paths)
            except (OSError, AttributeError, ValueError):
                continue  # cut short, or where nothing may be run: compile instead
    return None


def library() -> Library | None:
    """The one for these sources and this processor; None: it was not made yet."""
    return _found()


def is_missing() -> bool:
    """Whether one could be used here, and was not made yet."""
    wanted = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
    return wanted and _ADVANCE and level() is not None and library() is None


def look_again() -> None:
    """A library was made."""
    _found.cache_clear()


class _Block(NamedTuple):
    """A tuple, and what kernels are given for it."""

    value: tuple[Any, ...]
    form: str
    words: "ctypes.Array[ctypes.c_uint64]"


_blocks: Final[dict[int, _Block]] = {}
"""Of the tuples seen last, by their identity; the oldest goes out first."""
_changing: Final = threading.Lock()


def _block(value: tuple[Any, ...]) -> _Block:
    known = _blocks.get(id(value))
    if known is None:
        words = _words(value)
        array = (ctypes.c_uint64 * max(1, len(words)))(*words)
        known = _Block(value, form_of(value), array)
        with _changing:
            _blocks[id(value)] = known
            while len(_blocks) > _MOST_TUPLES:
                del _blocks[next(iter(_blocks))]
    return known


def forget() -> None:
    """Keep none of them: tables that nobody has any more are let go of."""
    with _changing:
        _blocks.clear()


class Caller:
    """What a kernel does when Python calls it and a library has it."""

    def __init__(self, name: str, library: Callable[[], Library | None] = library) -> None:
        self._name = name
        self._library = library
        self._entries: dict[tuple[Any, ...], Entry | None] = {}
        self._of: Library | None = None

    def entry(self, arguments: tuple[Any, ...]) -> tuple[Entry | None, list[int], list[_Block]]:
        """What to call, with which words, and whose addresses are among them; None: Numba is asked.

        The blocks are to be held until the call is over.
        """
        found = self._library()
        if found is not self._of:
            self._of = found
            self._entries.clear()
        if found is None:
            return None, [], []
        key: list[Any] = []
        words: list[int] = []
        blocks: list[_Block] = []
        for value in arguments:
            if isinstance(value, np.ndarray):
                key.append((value.dtype, value.ndim, value.flags.num & (_PLAIN | _WRITEABLE)))
                words += _words(value)
            elif isinstance(value, tuple):
                blocks.append(block := _block(value))
                key.append(block.form)
                words.append(ctypes.addressof(block.words))
            else:
                key.append(type(value) if not isinstance(value, np.void) else value.dtype)
                words += _words(value)
        known = tuple(key)
        if known not in self._entries:
            self._entries[known] = self._bound(found, arguments)
        return self._entries[known], words, blocks

    def _bound(self, found: Library, arguments: tuple[Any, ...]) -> Entry | None:
        try:
            return found.entry(call_form(self._name, arguments))
        except TypeError:
            return None


def call_form(name: str, arguments: tuple[Any, ...]) -> str:
    """The form of a kernel called so."""
    return f"{name} {' '.join(map(form_of, arguments))}"
