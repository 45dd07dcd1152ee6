"""Details as versions before kept them."""

import random

import numpy as np

from sensor.hosts.activity import contact, count
from sensor.hosts.before import details_as_now
from sensor.hosts.evidence import Count
from sensor.hosts.layout import ADDRESSES, COUNTERS, DETAIL, new_host_table
from sensor.hosts.table import host_row
from sensor.hosts.windows import set_cutoffs

_SUMS_BEFORE = COUNTERS - 1
"""A kind less was counted."""


def test_details_of_before_become_those_of_now():
    table = new_host_table(8, 4, 2)
    chance, now = random.Random(25), 1_700_000_000
    for _ in range(300):
        now += chance.randrange(30)
        set_cutoffs(now, table.cutoffs)
        h = host_row(table, np.uint64(0), np.uint64(chance.randrange(3)), 0, now)
        hi, lo = np.uint64(chance.choice([0, 1 << 60])), np.uint64(chance.randrange(100))
        first = contact(table, h, hi, lo, now)
        count(table, h, int(Count.UNANSWERED), np.int64(first), now)
    now_kept = np.asarray(table.details).view(np.ndarray)
    assert (now_kept["sizes"][:3, ADDRESSES] > 20).all()

    kept = {name: DETAIL[name] for name in DETAIL.names if name not in ("tags", "keys", "rest")}
    kept["sums"] = np.dtype((np.uint32, (5, _SUMS_BEFORE)))
    kept["los"] = kept["his"] = np.dtype((np.uint64, (2, 64)))
    old = np.zeros(len(now_kept), np.dtype(list(kept.items())))
    for name in kept.keys() - {"sums", "los", "his"}:
        old[name] = now_kept[name]
    old["sums"] = now_kept["sums"][:, :_SUMS_BEFORE].swapaxes(1, 2)
    old["los"], old["his"] = now_kept["keys"][..., 0], now_kept["keys"][..., 1]

    made = details_as_now(old)
    assert len(made) == 3, "the row never used is left out"
    for name in set(DETAIL.names) - {"tags", "rest"}:
        assert (made[name] == now_kept[name][:3]).all(), name
    for d in range(3):
        for which in range(2):
            size = made["sizes"][d, which]
            assert (made["tags"][d, which, :size] == now_kept["tags"][d, which, :size]).all()
    assert details_as_now(now_kept) is now_kept
