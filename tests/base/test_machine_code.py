"""A library says what Numba and plain Python say, and is refused where it does not fit."""

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from sensor.base import machine_code
from sensor.base.kernel import INTERPRETED, inner, kernel, mix, routine, table
from sensor.base.machine_code import Caller, Library, call_form, form_of, level
from sensor.base.shared_object import ObjectError, shared_object

ROW = np.dtype([("n", np.int64), ("small", np.uint8), ("hash", np.uint64)], align=True)


class Tables(NamedTuple):
    rows: np.ndarray
    grid: np.ndarray
    inside: tuple
    flag: bool
    most: int


@inner
def _scaled(n, by):
    return n * by + 1


@routine
def _walk(t, words, start):
    """All kinds at once: two numbers, a hash, whether it was much."""
    total = np.int64(start)
    for i in range(t.rows.shape[0]):
        row = t.rows[i]
        row.n = _scaled(np.int64(row.small), t.most)
        row.hash = mix(row.hash, words[i])
        total += row.n + t.grid[i, 1] + np.int64(t.inside[0][i])
    return total, -total, t.rows[0].hash, t.flag and total > 3


@kernel
def _of_row(row, hi):
    return np.int64(row.small) - 5, hi


@kernel
def _nothing(values):
    values[0] = -7


@kernel
def _is_even(n):
    return n % 2 == 0


def _arguments():
    rows = table(4, ROW)
    rows["small"] = [1, 2, 3, 200]
    t = Tables(rows, np.arange(8).reshape(4, 2), (np.arange(4, dtype=np.uint32),), True, 10)
    return t, np.arange(4).astype(np.uint64) << np.uint64(60), -3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    if INTERPRETED or level() is None:
        pytest.skip("no library is made here")
    from sensor.base.entry_point import WHOLE
    from sensor.base.object_code import distinct, object_code

    if not WHOLE:
        pytest.skip("this version of Numba compiles alone")
    rows = _arguments()[0].rows
    calls = [
        (_walk, _arguments()),
        (_walk, _arguments()),
        (_of_row, (rows[3], np.uint64(2**63 + 1))),
        (_nothing, (np.zeros(2, np.int64),)),
        (_is_even, (4,)),
    ]
    forms = distinct(calls)
    assert len(forms) == 4
    path = tmp_path_factory.mktemp("library") / "a.so"
    path.write_bytes(shared_object(object_code(forms, level())))
    return path


def _call(path: Path, one, *arguments):
    library = Library([path])
    caller = Caller(f"{one.py_func.__module__}.{one.py_func.__qualname__}", lambda: library)
    entry, words, _held = caller.entry(arguments)
    assert entry is not None
    return entry(words)


def test_a_library_says_what_numba_says(made):
    mine, its = _arguments(), _arguments()
    found = _call(made, _walk, *mine)
    assert found == _walk(*its)
    assert [type(one) for one in found] == [int, int, int, bool]
    assert mine[0].rows.tolist() == its[0].rows.tolist()
    row = mine[0].rows[3]
    assert _call(made, _of_row, row, np.uint64(2**63 + 1)) == (195, 2**63 + 1)
    values = np.zeros(2, np.int64)
    assert _call(made, _nothing, values) is None
    assert values.tolist() == [-7, 0]
    assert _call(made, _is_even, 3) is False
    assert _call(made, _is_even, -2) is True


def test_other_types_are_not_called(made):
    library = Library([made])
    t, words, start = _arguments()

    def found(*arguments):
        return Caller(f"{__name__}._walk", lambda: library).entry(arguments)[0]

    assert found(t, words, start)
    assert not found(t, words.astype(np.int64), start)
    assert not found(t, words[::2], start)
    assert not found(t._replace(rows=table(4, np.dtype([("n", np.int64)]))), words, start)
    assert not found(t._replace(grid=np.arange(8)), words, start)
    assert not found(tuple(t), words, start)
    assert not found(t, words, np.uint64(3))
    assert not found(t, words, "3")
    words.flags.writeable = False
    assert not found(t, words, start)


def test_a_tuple_that_was_replaced_is_looked_at_anew(made):
    library = Library([made])
    caller = Caller(f"{__name__}._walk", lambda: library)
    t, words, start = _arguments()
    entry, given, _held = caller.entry((t, words, start))
    first = entry(given)
    entry, given, _held = caller.entry((t._replace(most=1000), words, start))
    assert entry(given)[0] > first[0]


def test_forms_tell_apart_what_is_compiled_apart():
    aligned, packed = ROW, np.dtype([("n", np.int64), ("small", np.uint8), ("hash", np.uint64)])
    values = [
        1, True, 1.0, np.uint64(1), np.int32(1), np.zeros(1), np.zeros((1, 1)), np.zeros(1, ROW),
        np.zeros(1, ROW)[0], np.zeros(1, packed), np.zeros(1, [("m", "<i8")]), (1,), ((1,),), (),
    ]  # fmt: skip
    assert aligned != packed
    assert len({form_of(one) for one in values}) == len(values)
    assert call_form("a.b", (1, True)) == "a.b i8 b"
    with pytest.raises(TypeError):
        form_of(object())


def test_what_is_no_object_is_refused():
    for data in (b"", b"MZ", b"\x7fELF\x02\x01" + bytes(80)):
        with pytest.raises(ObjectError):
            shared_object(data)


def test_a_library_that_is_damaged_is_not_used(made, tmp_path):
    cut = tmp_path / "cut.so"
    cut.write_bytes(made.read_bytes()[:100])
    with pytest.raises(OSError):
        Library([cut])


@pytest.mark.parametrize(("machine", "of"), [("aarch64", machine_code.ARM), ("riscv64", None)])
def test_other_kinds_of_processors(machine, of, monkeypatch):
    monkeypatch.setattr(machine_code.os, "uname", lambda: SimpleNamespace(machine=machine))
    assert level.__wrapped__() == of


LACKING = {"x86-64-v3": "", "x86-64-v2": "avx2", None: "sse4_2"}


@pytest.mark.parametrize(("of", "lacking"), LACKING.items())
def test_the_library_is_of_the_most_that_the_processor_has(of, lacking, tmp_path, monkeypatch):
    """As a CPU without AVX2 (2012), or without SSE4.2 (2007), says of itself."""
    has = sorted(machine_code._V3 - {lacking})
    said = f"processor : 0\nvendor_id : x\nflags : fpu {' '.join(has)} lm\n"
    monkeypatch.setattr(machine_code.os, "uname", lambda: SimpleNamespace(machine="x86_64"))
    monkeypatch.setattr(machine_code.Path, "read_text", lambda self: said)
    assert level.__wrapped__() == of

    looked = []
    monkeypatch.setattr(machine_code, "level", lambda: of)
    monkeypatch.setattr(machine_code, "_ADVANCE", True)
    monkeypatch.setattr(machine_code, "BUILT", tmp_path)
    monkeypatch.setattr(machine_code, "cache_folder", lambda: tmp_path / "none")
    monkeypatch.setattr(machine_code, "Library", lambda paths: looked.extend(paths) or "found")
    for each in ("x86-64-v3", "x86-64-v2"):
        for half in machine_code.HALVES:
            (tmp_path / machine_code.file_name(half, each)).touch()
    assert machine_code._found.__wrapped__() == ("found" if of else None)
    assert [path.name for path in looked] == (
        [machine_code.file_name(half, of) for half in machine_code.HALVES] if of else []
    )
