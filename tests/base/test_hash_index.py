"""The index against a dict, with keys that meet in few homes and a table that is full."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor.base.hash_index import after, empty_index, home, probe, put, remove

ROWS = 1500
"""More than the smallest index takes: it grows on the way."""


class Table:
    """Keys in rows, found by the index; two keys may well have the same tag."""

    def __init__(self, tag):
        self.index = empty_index(ROWS)
        self.keys = {}
        self.tag = tag

    def find(self, key):
        """``(slot, row)``; row -1 where the key is not there."""
        tag = np.uint64(self.tag(key))
        at = home(self.index, tag)
        for _ in range(len(self.index.slots) + 1):
            at, row = probe(self.index, tag, at)
            if row < 0 or self.keys[row] == key:
                return at, row
            at = after(self.index, at)
        raise AssertionError("no empty slot ends the search")

    def add(self, key, row):
        at, there = self.find(key)
        assert there == -1
        put(self.index, np.uint64(self.tag(key)), at, row)
        self.keys[row] = key

    def drop(self, key):
        _, row = self.find(key)
        remove(self.index, np.uint64(self.tag(key)), row)
        del self.keys[row]


TAGS = {
    "one home": lambda key: 7,
    "neighbours": lambda key: key % 5,
    "the last slots": lambda key: (key % 3) - 2 & 0xFFFFFFFF,
    "spread": lambda key: key * 2654435761 & 0xFFFFFFFF,
}


@pytest.mark.parametrize("tag", TAGS.values(), ids=TAGS)
@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 40), max_size=120))
def test_it_is_a_dict(tag, keys):
    """A key that is there goes, one that is not comes; after each step all are found."""
    table, model, free = Table(tag), {}, list(range(50))
    for key in keys:
        if key in model:
            table.drop(key)
            free.append(model.pop(key))
        else:
            model[key] = free.pop()
            table.add(key, model[key])
        assert table.index.state[1] == len(model)
    assert {key: table.find(key)[1] for key in range(41)} == {
        key: model.get(key, -1) for key in range(41)
    }
    assert np.count_nonzero(table.index.slots) == len(model)


def test_it_grows_and_takes_as_many_rows_as_it_was_made_for():
    table = Table(TAGS["spread"])
    for row in range(ROWS):
        table.add(row * 7, row)
    assert table.index.state[0] + 1 > 1024, "it has grown"
    assert [table.find(row * 7)[1] for row in range(ROWS)] == list(range(ROWS))
    assert table.find(3)[1] == -1, "a search in a full table ends"
    for row in range(0, ROWS, 2):
        table.drop(row * 7)
    found = [table.find(row * 7)[1] for row in range(ROWS)]
    assert found == [row if row % 2 else -1 for row in range(ROWS)]


@settings(deadline=None, max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(1, 300))
def test_growing_in_place_loses_nothing(chance, near):
    """Runs over the end and the beginning, of tags that stay, go to the new half, and share one."""
    table = Table(TAGS["spread"])
    table.tag = lambda key: tags[key]
    homes = [1024 - chance.randrange(near), chance.randrange(near)]
    tags = [chance.choice(homes) + 1024 * chance.randrange(4) & 0xFFFFFFFF for _ in range(700)]
    for key in range(len(tags)):
        table.add(key, key)
    assert table.index.state.tolist() == [2047, 700], "it has grown"
    assert [table.find(key)[1] for key in range(len(tags))] == list(range(len(tags)))
    assert np.count_nonzero(table.index.slots) == len(tags)
    for key in range(0, len(tags), 2):
        table.drop(key)
    found = [table.find(key)[1] for key in range(len(tags))]
    assert found == [key if key % 2 else -1 for key in range(len(tags))]


def test_a_run_that_wraps_closes_over_what_is_removed():
    table = Table(TAGS["the last slots"])
    for row, key in enumerate((0, 3, 6, 9, 1, 4)):  # homes: the last but one, and the last
        table.add(key, row)
    slots = table.index.slots
    mask = int(table.index.state[0])
    assert slots[mask - 1] and slots[mask] and slots[0] and slots[3] and not slots[4]
    table.drop(0)
    assert slots[2] and not slots[3], "no hole and no tombstone"
    assert [table.find(key)[1] for key in (0, 3, 6, 9, 1, 4)] == [-1, 1, 2, 3, 4, 5]
    for key in (3, 6, 9, 1, 4):
        table.drop(key)
    assert not slots.any()


def test_what_was_full_and_emptied_works_like_a_new_one():
    table = Table(TAGS["spread"])
    for turn in range(3):
        for row in range(600):
            table.add(turn * 1000 + row, row)
        for row in range(600):
            table.drop(turn * 1000 + row)
    assert table.index.state[1] == 0 and not table.index.slots.any()
