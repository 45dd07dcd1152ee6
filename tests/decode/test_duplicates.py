"""Copies of a packet are told from retransmissions, and from packets that only look alike."""

import numpy as np
import pytest

from sensor.base.kernel import table
from sensor.decode.duplicates import RECENT, REMEMBERED, seen_before
from sensor.decode.segment import SEGMENT

WINDOW = 5_000_000  # ns


class Mirror:
    def __init__(self):
        self.recent = table(REMEMBERED, RECENT)

    def __call__(self, ts=10**9, **more) -> bool:
        row = table(1, SEGMENT)
        packet = {"flow": 77, "seq": 1, "ack": 2, "mark": 3, "sport": 4000, "dport": 25} | more
        for name, value in {"tcp_flags": 24, "length": 10, **packet}.items():
            row[name] = value
        row["ts"] = ts
        return bool(seen_before(row[0], WINDOW, self.recent))


def test_the_second_copy_is_one_and_the_third():
    mirror = Mirror()
    assert [mirror(), mirror(), mirror(10**9 + 1000)] == [False, True, True]


@pytest.mark.parametrize(("later", "copy"), [(WINDOW, True), (WINDOW + 1, False)])
def test_copies_come_within_the_window(later, copy):
    mirror = Mirror()
    mirror()
    assert mirror(10**9 + later) == copy


def test_a_mirror_may_deliver_the_later_copy_first():
    mirror = Mirror()
    mirror(10**9 + WINDOW)
    assert mirror(10**9)


def test_the_window_begins_anew_with_each_copy():
    mirror = Mirror()
    assert [mirror(10**9 + k * WINDOW) for k in range(4)] == [False, True, True, True]


@pytest.mark.parametrize(
    "other",
    [
        {"seq": 2}, {"ack": 3}, {"mark": 4}, {"mark": 3 | 9 << 16}, {"sport": 4001},
        {"dport": 26}, {"tcp_flags": 16}, {"length": 11}, {"flow": 78}, {"kind": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_differs_in_anything_is_no_copy(other):
    mirror = Mirror()
    mirror()
    assert not mirror(**other)


def test_what_links_may_change_does_not_matter():
    mirror = Mirror()
    mirror(vlan=5, tunnels=0)
    assert mirror(vlan=-1, tunnels=9, frame=3, payload=900)


def test_the_newest_packet_has_the_slot():
    mirror = Mirror()
    numbers = [{"seq": k} for k in range(4 * REMEMBERED)]
    for one in numbers:
        mirror(**one)
    found = [mirror(10**9 + 1, **one) for one in reversed(numbers)]
    assert found[0]
    assert 0 < np.count_nonzero(found) <= REMEMBERED
