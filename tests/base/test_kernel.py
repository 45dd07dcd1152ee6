"""What the compile cache depends on."""

import ast
from pathlib import Path

import numpy as np
import pytest

from sensor.base import cache, kernel

_ROOT = Path(kernel.__file__).parents[2]


def _imported(source: Path) -> set[Path]:
    """The files of this project that a file imports from."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
    places = [_ROOT / name.replace(".", "/") for name in names]
    files = [(place.with_suffix(".py"), place / "__init__.py") for place in places]
    return {file for both in files for file in both if file.exists()}


def test_nothing_a_kernel_can_call_is_left_out_of_the_digest():
    everything = [s for f in ("sensor", "detectors") for s in (_ROOT / f).rglob("*.py")]
    marks = ("\n@kernel", "\n@inner", "\n@routine")
    kernels = {s for s in everything if any(mark in s.read_text() for mark in marks)}
    found, seen = list(kernels), set(kernels)
    while found:
        for file in _imported(found.pop()) - seen:
            seen.add(file)
            found.append(file)
    assert _ROOT / "sensor" / "tracking" / "loop.py" in kernels
    assert _ROOT / "sensor" / "hosts" / "evidence.py" in seen
    assert seen <= set(cache.sources())
    assert _ROOT / "sensor" / "commands" / "replay.py" not in cache.sources()


@kernel.inner
def _turn(value, by):
    return value ^ (value << by)


@kernel.routine
def _both(values, by):
    """Called from Python, and by :func:`_sum`."""
    total = 0
    for i in range(len(values)):
        total += _turn(values[i], by)
    return total


@kernel.kernel
def _sum(values):
    return _both(values, 3) - _turn(values[0], 1)


def test_a_kernel_is_the_same_called_by_python_and_by_a_kernel():
    values = np.arange(1, 9)
    expected = sum(int(v) ^ (int(v) << 3) for v in values)
    assert _both(values, 3) == expected
    assert _sum(values) == expected - 3
    assert _both(values, 1) == sum(int(v) ^ (int(v) << 1) for v in values)


@pytest.mark.skipif(kernel.INTERPRETED, reason="kernels run as plain Python")
def test_only_what_python_calls_becomes_machine_code():
    from numba.core.caching import NullCache

    from sensor.base.entry_point import WHOLE

    if not WHOLE:
        pytest.skip("this version of Numba compiles by its own way")
    fresh = kernel.kernel(_sum.py_func)
    fresh.dispatcher._cache = NullCache()  # what an earlier run kept tells nothing of its functions
    fresh(np.arange(1, 9))
    (compiled,) = fresh.dispatcher.overloads.values()
    code = [
        f.name for f in compiled.library.get_defined_functions() if f.linkage.name == "external"
    ]
    assert code == [compiled.fndesc.llvm_cpython_wrapper_name]
    with pytest.raises(TypeError, match="_turn is for kernels to call"):
        _turn(1, 2)


@kernel.kernel
def _next_place(line, byte, first):
    return kernel.byte_in_line(line, byte, first)


def test_a_byte_is_found_in_a_line_from_any_place_on():
    chance = np.random.default_rng(25)
    for values in (2, 5, 256):
        lines = chance.integers(0, values, (2, 64)).astype(np.uint8)
        lines[1, 63] = 255
        for byte in {0, 1, 4, 255}:
            for first in range(65):
                places = [k for k in range(first, 64) if lines[1, k] == byte]
                assert _next_place(lines[1], byte, first) == min(places, default=64)


def test_a_rehearsal_notes_what_python_calls_and_compiles_nothing():
    values = np.arange(1, 9)
    calls = kernel.rehearse(lambda: _sum(values))
    if kernel.INTERPRETED:
        assert calls == []
    else:
        assert [(one.__name__, arguments[0] is values) for one, arguments in calls] == [
            ("_sum", True)
        ]


def test_a_table_begins_with_a_line_of_the_cache_and_is_zeroed():
    for rows in (0, 1, 7, 100_000):
        made = kernel.table(rows, np.dtype([("a", np.uint64), ("b", np.uint8, 5)]))
        assert made.shape == (rows,)
        assert rows == 0 or made.ctypes.data % 64 == 0
        assert not made["a"].any()
        assert made.flags.c_contiguous and made.flags.writeable
