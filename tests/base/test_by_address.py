"""Tables are passed by one address, whatever is in them, and no kernel makes some."""

from typing import NamedTuple

import numpy as np
import pytest

from sensor.base.kernel import INTERPRETED, inner, kernel

pytestmark = pytest.mark.skipif(INTERPRETED, reason="nothing is compiled")
PACKED = np.dtype([("hi", np.uint64), ("class_", np.int16)])


class Bounds(NamedTuple):
    least: int
    share: float


class Inside(NamedTuple):
    rows: np.ndarray
    bounds: Bounds
    pairs: tuple
    is_on: bool


class Outside(NamedTuple):
    before: int
    inside: Inside
    cube: np.ndarray


@inner
def _of_inside(inside, k):
    share = np.int64(inside.bounds.share * 8)
    return inside.rows[k].class_ + inside.bounds.least + share + inside.pairs[1][k]


@kernel
def _all(t, k):
    here = _of_inside(t.inside, k) if t.inside.is_on else -1
    cube = t.cube
    return t.before, here, cube[1, 0, k] + cube.shape[2], np.uint64(t.inside.rows[k].hi)


@kernel
def _makes(t):
    made = Inside(t.inside.rows, t.inside.bounds, t.inside.pairs, False)
    return made.rows.shape[0]


def _tables(is_on=True):
    rows = np.zeros(3, PACKED)
    rows["hi"], rows["class_"] = [1 << 63, 2, 3], [-5, 6, 7]
    inside = Inside(rows, Bounds(-100, 0.5), (7, np.array([10, 20, 30])), is_on)
    return Outside(-9, inside, np.arange(12).reshape(2, 2, 3))


@pytest.mark.parametrize("is_on", [True, False])
def test_all_that_is_in_tables_is_read_as_it_is(is_on):
    assert _all(_tables(is_on), 0) == (-9, -91 if is_on else -1, 9, 1 << 63)
    assert _all(_tables(is_on), 2) == (-9, -59 if is_on else -1, 11, 3)


def test_tables_are_one_argument():
    from numba import typeof
    from numba.core.registry import cpu_target

    from sensor.base.by_address import is_block, words_of
    from sensor.base.entry_point import WHOLE

    if not WHOLE:
        pytest.skip("this version of Numba compiles alone")
    kind = typeof(_tables())
    assert is_block(kind)
    assert not is_block(typeof(Bounds(1, 0.5)))
    assert words_of(kind) == 1 + (2 + 2 + (1 + 2) + 1) + 4
    packer = cpu_target.target_context.get_arg_packer([kind, typeof(np.zeros((2, 2)))])
    assert len(packer.argument_types) == 1 + 3


def test_a_kernel_that_makes_tables_is_refused():
    from sensor.base.entry_point import WHOLE

    if not WHOLE:
        pytest.skip("this version of Numba compiles alone")
    with pytest.raises(Exception, match="a kernel makes a tuple of tables"):
        _makes(_tables())
