"""Rows that are given out and back."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor.base.free_list import give_row, is_full, take_row

USED, FREED = 1, 0


def empty(rows):
    return np.zeros(rows, np.int32), np.zeros(2, np.int64)


@settings(deadline=None)
@given(st.integers(0, 5), st.lists(st.integers(0, 9), max_size=60))
def test_no_row_is_given_out_twice_and_none_is_lost(rows, steps):
    """0 to 5 take a row, more give one back."""
    free, meta = empty(rows)
    out = []
    for step in steps:
        if step <= 5:
            row = int(take_row(free, meta, USED, FREED))
            assert (row < 0) == (len(out) == rows)
            if row >= 0:
                assert row < rows and row not in out
                out.append(row)
        elif out:
            give_row(free, meta, FREED, out.pop(step % len(out)))
        assert is_full(free, meta, USED, FREED) == (len(out) == rows)


def test_the_last_given_back_goes_first_and_untouched_rows_last():
    free, meta = empty(4)
    assert [int(take_row(free, meta, USED, FREED)) for _ in range(3)] == [0, 1, 2]
    give_row(free, meta, FREED, 1)
    give_row(free, meta, FREED, 0)
    assert [int(take_row(free, meta, USED, FREED)) for _ in range(4)] == [0, 1, 3, -1]
