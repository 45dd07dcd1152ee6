"""Lists of destinations, held against a dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sensor.hosts.distinct import EXACT, count_exact, touch
from sensor.hosts.windows import PANES, SPANS, set_cutoffs


class Twin:
    """The list in plain Python: destinations in places, and when each was contacted last."""

    def __init__(self) -> None:
        self.places: list[tuple[int, int]] = []
        self.ticks: list[int] = []

    def touch(self, name: tuple[int, int], tick: int) -> bool:
        """Contact a destination; whether it was known for a day."""
        if name in self.places:
            at = self.places.index(name)
            before, self.ticks[at] = self.ticks[at], max(self.ticks[at], tick)
            return before >= (tick // SPANS[-1] - PANES[-1] + 1) * SPANS[-1]
        if len(self.places) == EXACT:
            at = self.ticks.index(min(self.ticks))
            self.places[at], self.ticks[at] = name, tick
        else:
            self.places.append(name)
            self.ticks.append(tick)
        return False


@given(st.randoms(use_true_random=False), st.integers(1, 14), st.integers(1, 14))
def test_a_list_is_as_its_twin(chance, uppers, lowers):
    """Few halves, so that many share one, as networks of IPv6 do; and lists that are full."""
    tags, keys = np.zeros(EXACT, np.uint8), np.zeros((EXACT, 2), np.uint64)
    ticks, distinct = np.zeros(EXACT, np.uint32), np.zeros(5, np.uint32)
    cutoffs = np.zeros(5, np.int64)
    twin, size, tick, placed = Twin(), 0, 1_700_000_000, []
    for _ in range(200):
        hi, lo = chance.randrange(uppers), chance.randrange(lowers)
        tick += chance.choice([0, 0, 1, 7, 500, 9000])
        set_cutoffs(tick, cutoffs)
        count_exact(ticks, size, cutoffs, distinct)
        before = distinct.tolist()
        known, moved, size = touch(
            tags, keys, ticks, size, np.uint64(hi), np.uint64(lo), tick, cutoffs, distinct
        )
        assert known == twin.touch((hi, lo), tick)
        places = list(zip(keys[:size, 1].tolist(), keys[:size, 0].tolist(), strict=True))
        assert (places, ticks[:size].tolist()) == (twin.places, twin.ticks)
        counted = [sum(t >= cutoff for t in twin.ticks) for cutoff in cutoffs.tolist()]
        assert distinct.tolist() == counted
        assert moved or (known and counted == before and places == placed)
        placed = places
