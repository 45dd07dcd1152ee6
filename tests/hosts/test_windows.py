import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor.hosts.windows import (
    PANES,
    PANES_IN_ALL,
    SPANS,
    add,
    advance,
    in_window,
    place,
    set_cutoffs,
)

START = 1_700_000_000


def inside(event: int, now: int, w: int) -> bool:
    """The definition: within the last PANES panes, the current one included."""
    return now // SPANS[w] - event // SPANS[w] < PANES[w]


class Windows:
    """What a detail has of them, and all events, kept the long way."""

    def __init__(self, counters: int, begin: int = 0) -> None:
        self.panes = np.full((PANES_IN_ALL, counters), begin, np.uint32)
        self.totals = np.full(counters, begin, np.uint32)
        self.earlier = np.full((counters, 5), begin, np.uint32)
        self.events: list[tuple[int, int]] = []
        self.now = START

    def at(self, now: int) -> None:
        advance(self.panes, self.totals, self.earlier, self.now, now)
        self.now = now

    def add(self, tick: int, counter: int) -> None:
        add(self.panes, self.totals, self.earlier, self.now, tick, counter)
        self.events.append((tick, counter))

    def counts(self, counter: int) -> list[int]:
        found = [int(in_window(self.totals, self.earlier, counter, w)) for w in range(5)]
        for w in range(5):
            newest = self.panes[place(w, self.now // SPANS[w]), counter]
            assert newest == self.earlier[counter, w], "the current pane's place says the same"
        return found

    def expected(self, counter: int) -> list[int]:
        ticks = [tick for tick, which in self.events if which == counter]
        return [sum(inside(tick, self.now, w) for tick in ticks) for w in range(5)]


@pytest.mark.parametrize("begin", [0, 2**32 - 3], ids=["", "totals begin anew"])
@given(
    st.lists(
        st.tuples(st.integers(0, 20_000), st.integers(0, 2), st.sampled_from((0, 0, 30, 4000))),
        max_size=60,
    )
)
def test_counts_equal_the_events_inside(begin, steps):
    windows = Windows(3, begin)
    cutoffs = np.zeros(5, np.int64)
    for gap, counter, ago in steps:
        windows.at(windows.now + gap)
        windows.add(windows.now - ago, counter)
        set_cutoffs(windows.now, cutoffs)
        for c in range(3):
            assert windows.counts(c) == windows.expected(c)
        for tick, _ in windows.events:
            assert all((tick >= cutoffs[w]) == inside(tick, windows.now, w) for w in range(5))


def test_an_event_of_the_past_counts_where_it_still_belongs():
    windows = Windows(1)
    windows.add(START - 30, 0)
    assert windows.counts(0) == [0, 1, 1, 1, 1]
    windows.at(START + 100)
    assert windows.counts(0) == [0, 0, 1, 1, 1]
