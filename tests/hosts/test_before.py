"""Details as versions before kept them."""

import random

import numpy as np

from sensor.hosts.activity import collect, contact, count
from sensor.hosts.before import details_as_now
from sensor.hosts.evidence import Count, Fact
from sensor.hosts.layout import ADDRESSES, COUNTERS, DETAIL, new_host_table
from sensor.hosts.table import host_row
from sensor.hosts.windows import PANES, PANES_IN_ALL, SPANS, place, set_cutoffs

_SUMS_BEFORE = COUNTERS - 1
"""A kind less was counted."""


def counted_apart(details):
    """What lay in each window, and in each of its panes."""
    sums = details["totals"][:, :, None] - details["earlier"]
    panes = np.zeros_like(details["panes"])
    for d, one in enumerate(details):
        for w in range(len(PANES)):
            newest, after = int(one["at"]) // SPANS[w], one["totals"]
            for k in range(PANES[w]):
                ended = one["panes"][place(w, newest - k - 1)]
                panes[d, place(w, newest - k)] = after - ended
                after = ended
    return sums, panes


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

    sums, panes = counted_apart(now_kept)
    others = ("tags", "keys", "rest", "totals", "earlier")
    kept = {name: DETAIL[name] for name in DETAIL.names if name not in others}
    kept["sums"] = np.dtype((np.uint32, (5, _SUMS_BEFORE)))
    kept["panes"] = np.dtype((np.uint32, (PANES_IN_ALL, _SUMS_BEFORE)))
    kept["los"] = kept["his"] = np.dtype((np.uint64, (2, 64)))
    old = np.zeros(len(now_kept), np.dtype(list(kept.items())))
    for name in kept.keys() - {"sums", "panes", "los", "his"}:
        old[name] = now_kept[name]
    old["panes"] = panes[:, :, :_SUMS_BEFORE]
    old["sums"] = sums[:, :_SUMS_BEFORE].swapaxes(1, 2)
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


def test_a_version_that_counted_by_window_left_as_much():
    """It had tags already, and sums in the order that ``earlier`` has."""
    table = new_host_table(8, 4, 2)
    chance, now = random.Random(7), 1_700_000_000
    for _ in range(200):
        now += chance.choice((0, 1, 5, 70, 4000))
        set_cutoffs(now, table.cutoffs)
        h = host_row(table, np.uint64(0), np.uint64(0), 0, now)
        contact(table, h, np.uint64(0), np.uint64(chance.randrange(9)), now)
    now_kept = np.asarray(table.details).view(np.ndarray)[:1]
    fields = {name: DETAIL[name] for name in DETAIL.names if name not in ("totals", "earlier")}
    fields["sums"] = DETAIL["earlier"]
    old = np.zeros(1, np.dtype(list(fields.items())))
    for name in fields.keys() & set(DETAIL.names):
        old[name] = now_kept[name]
    old["sums"], old["panes"] = counted_apart(now_kept)
    table.details[:1] = details_as_now(old)
    again, evidence = (np.zeros((len(Count), 5), np.int64) for _ in range(2))
    other = new_host_table(8, 4, 2)
    other.details[:1] = now_kept
    for later in (0, 3, 50, 700, 7200, 90_000):
        for one, counts in ((table, again), (other, evidence)):
            set_cutoffs(now + later, one.cutoffs)
            one.rows[0] = table.rows[0]
            collect(one, 0, now + later, counts, np.zeros(len(Fact), np.int64))
        assert (again == evidence).all()
        assert later > 60 or again[Count.SYNS].any()
