import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sensor.hosts.windows import PANES, PANES_IN_ALL, SPANS, add, advance, set_cutoffs


def inside(event: int, now: int, w: int) -> bool:
    """The definition: within the last PANES panes, the current one included."""
    return now // SPANS[w] - event // SPANS[w] < PANES[w]


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 2)), max_size=60))
def test_sums_equal_the_events_inside(steps):
    panes = np.zeros((PANES_IN_ALL, 3), np.uint32)
    sums = np.zeros((3, 5), np.uint32)
    cutoffs = np.zeros(5, np.int64)
    now = 1_700_000_000
    events = []
    for gap, counter in steps:
        before, now = now, now + gap
        advance(panes, sums, before, now)
        set_cutoffs(now, cutoffs)
        add(panes, sums, now, counter, cutoffs)
        events.append((now, counter))
        for w in range(5):
            for c in range(3):
                expected = sum(inside(t, now, w) for t, which in events if which == c)
                assert sums[c, w] == expected
            assert all((t >= cutoffs[w]) == inside(t, now, w) for t, _ in events)


def test_an_event_of_the_past_counts_where_it_still_belongs():
    panes = np.zeros((PANES_IN_ALL, 1), np.uint32)
    sums = np.zeros((1, 5), np.uint32)
    cutoffs = np.zeros(5, np.int64)
    now = 1_700_000_000
    set_cutoffs(now, cutoffs)
    add(panes, sums, now - 30, 0, cutoffs)
    assert sums[0].tolist() == [0, 1, 1, 1, 1]
    advance(panes, sums, now, now + 100)
    assert sums[0].tolist() == [0, 0, 1, 1, 1]
