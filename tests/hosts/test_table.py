"""The host table against plain Python sets and lists."""

import random
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor.base.addresses import MAPPED
from sensor.base.hash_index import new_seeds
from sensor.hosts.activity import collect, contact, count, recent_destinations
from sensor.hosts.distinct import EXACT, GENERATION, MEMORY, remember
from sensor.hosts.evidence import Count, Fact
from sensor.hosts.layout import DETAIL, META, new_host_table
from sensor.hosts.table import forget, host_row, index_again, lookup
from sensor.hosts.windows import set_cutoffs
from tests.hosts.test_windows import inside

START = 1_700_000_000
OUTCOMES = (Count.RETRIES, Count.ANSWERED, Count.REFUSED, Count.UNANSWERED, Count.FIRST_PROVEN)


def network(hi: int, lo: int) -> tuple[int, int]:
    return (0, lo & ~0xFF) if hi == 0 else (hi & ~0xFFFF, 0)


class Model:
    """The same as the table, kept the long way."""

    def __init__(self):
        self.contacts = defaultdict(list)
        self.events = defaultdict(list)

    def contact(self, key, hi, lo, now):
        first = not any(
            (h, low) == (hi, lo) and inside(t, now, 4) for t, h, low in self.contacts[key]
        )
        self.contacts[key].append((now, hi, lo))
        self.events[key].append((now, Count.SYNS))
        return first

    def count(self, key, counter, first, now):
        self.events[key].append((now, counter))
        if counter == Count.RETRIES:
            self.events[key].append((now, Count.SYNS))
        if first and counter != Count.RETRIES:
            answered = counter == Count.ANSWERED
            of_first = Count.FIRST_ANSWERED if answered else Count.FIRST_FAILED
            self.events[key].append((now, of_first))

    def counts(self, key, now):
        counts = np.zeros((len(Count), 5), np.int64)
        for w in range(5):
            seen = {(h, low) for t, h, low in self.contacts[key] if inside(t, now, w)}
            counts[Count.ADDRESSES, w] = len(seen)
            counts[Count.NETWORKS, w] = len({network(*address) for address in seen})
            for t, counter in self.events[key]:
                counts[counter, w] += inside(t, now, w)
        return counts


def uint(value: int) -> np.uint64:
    return np.uint64(value)


def collected(table, h, now):
    counts, facts = np.zeros((len(Count), 5), np.int64), np.zeros(len(Fact), np.int64)
    set_cutoffs(now, table.cutoffs)
    collect(table, h, now, counts, facts)
    return counts, facts


DESTINATION = st.one_of(
    st.integers(0, 9).map(lambda k: (0, MAPPED | 0xC0000200 + k * 100)),
    st.integers(0, 9).map(lambda k: (0x20010DB8_00000000 + (k << 14), k % 2)),
)
STEP = st.tuples(
    st.sampled_from([0, 0, 1, 3, 15, 61, 700, 4000, 50_000, 200_000]),
    st.integers(0, 2),  # which host
    st.one_of(
        st.tuples(st.just("contact"), DESTINATION),
        st.tuples(st.sampled_from(OUTCOMES[:4]), st.booleans()),
        st.tuples(st.just(Count.FIRST_PROVEN), st.just(False)),
    ),
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(STEP, max_size=50))
def test_counts_equal_plain_sets(steps):
    table = new_host_table(16, 16, 16)
    model = Model()
    now = START
    for gap, key, (what, detail) in steps:
        now += gap
        set_cutoffs(now, table.cutoffs)
        h = host_row(table, uint(0), uint(MAPPED + key), 0, now)
        if what == "contact":
            assert contact(table, h, uint(detail[0]), uint(detail[1]), now) == model.contact(
                key, *detail, now
            )
        else:
            count(table, h, int(what), int(detail), now)
            model.count(key, what, detail, now)
        counts, _ = collected(table, h, now)
        np.testing.assert_array_equal(counts, model.counts(key, now))


@pytest.mark.parametrize("spread", ["one network each", "four networks"])
def test_the_switch_to_sketches_is_seamless(spread):
    """Exact below EXACT in every window, close above, and never a jump at the switch."""
    rng = random.Random(spread)
    table, model = new_host_table(16, 16, 16), Model()
    now = START
    h = host_row(table, uint(0), uint(MAPPED), 0, now)
    before = 0
    for k in range(1, 700):
        now += rng.choice((0, 1, 2, 5))
        lo = MAPPED | (k << 8 if spread == "one network each" else (k % 4) << 8 | k >> 2)
        set_cutoffs(now, table.cutoffs)
        assert contact(table, h, uint(0), uint(lo), now)
        model.contact(0, 0, lo, now)
        counts, expected = collected(table, h, now)[0], model.counts(0, now)
        for what in (Count.ADDRESSES, Count.NETWORKS):
            for w in range(5):
                true, seen = expected[what, w], counts[what, w]
                if true < EXACT:
                    assert seen == true
                else:  # four standard errors
                    assert seen >= EXACT and abs(seen - true) <= max(5, 0.36 * true), (true, seen)
        if 60 < k < 70:
            assert abs(counts[Count.ADDRESSES, 4] - before) <= 8
        before = counts[Count.ADDRESSES, 4]
        assert (counts[Count.NETWORKS] <= counts[Count.ADDRESSES]).all()
        assert (counts[Count.ADDRESSES] <= k).all(), "never more than was contacted"
    assert table.meta[META["sketches"]] >= 1
    later = now + 90_000
    collected(table, h, later)
    assert table.meta[META["sketches"]] == 0, "a sketch no longer needed is given back"
    assert not collected(table, h, later)[0].any()


def test_a_burst_within_one_second_is_counted_as_it_grows():
    """And not only once the next second has come: the host may have stopped by then."""
    table = new_host_table(16, 16, 16)
    h = host_row(table, uint(0), uint(MAPPED), 0, START)
    set_cutoffs(START, table.cutoffs)
    for k in range(1, 700):
        contact(table, h, uint(0), uint(MAPPED | k << 8), START)
        for seen in collected(table, h, START)[0][
            Count.NETWORKS
        ]:  # four standard errors, an eighth
            assert seen == k if k < EXACT else abs(seen - k) <= (0.36 + 1 / 8) * k, (k, seen)


def test_without_sketches_counts_are_lower_bounds_and_said_to_be():
    table = new_host_table(16, 16, 0)
    h = host_row(table, uint(0), uint(MAPPED), 0, START)
    set_cutoffs(START, table.cutoffs)
    for k in range(200):
        contact(table, h, uint(0), uint(MAPPED | k << 8), START)
    assert collected(table, h, START)[0][Count.NETWORKS].tolist() == [EXACT] * 5
    assert table.meta[META["sketches_refused"]] > 0


def test_a_full_table_lets_the_least_recently_seen_go_and_spares_alerts():
    table = new_host_table(16, 16, 0)
    for k in range(16):
        set_cutoffs(START + k, table.cutoffs)
        h = host_row(table, uint(0), uint(k), 0, START + k)
        table.rows[h]["alert"] = 0 if k == 0 else -1
    h = host_row(table, uint(0), uint(99), 0, START + 20)
    assert h >= 0 and table.meta[META["hosts_evicted"]] == 1
    assert lookup(table, uint(0), uint(1)) == -1, "the oldest without an alert went"
    assert lookup(table, uint(0), uint(0)) >= 0
    table.rows["alert"] = 0
    assert host_row(table, uint(0), uint(100), 0, START + 30) == -1
    assert table.meta[META["hosts_refused"]] == 1


def test_a_host_quiet_for_a_day_leaves():
    table = new_host_table(64, 16, 0)
    host_row(table, uint(0), uint(1), 0, START)
    set_cutoffs(START + 200_000, table.cutoffs)
    host_row(table, uint(0), uint(2), 0, START + 200_000)
    assert lookup(table, uint(0), uint(1)) == -1
    assert table.meta[META["hosts_forgotten"]] == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=400))
def test_hosts_are_found_again_whatever_came_and_went(keys):
    table = new_host_table(32, 16, 0)
    now = START
    for key in keys:
        now += 60
        set_cutoffs(now, table.cutoffs)
        h = host_row(table, uint(key), uint(key * 7), 0, now)
        table.rows[h]["last_seen"] = now
        assert lookup(table, uint(key), uint(key * 7)) == h
    live = {k for k in range(201) if lookup(table, uint(k), uint(k * 7)) >= 0}
    assert len(live) == table.meta[META["hosts"]] == min(32, len(set(keys)))
    assert set(keys[-1:]) <= live


@pytest.mark.parametrize("shift", [0, 16, 40, 48])
def test_nobody_can_aim_at_a_slot(shift):
    """Of a whole IPv6 address a subscriber chooses half."""
    table = new_host_table(20_000, 16, 0)
    for k in range(1 << 14):
        host_row(table, uint(0x20010DB8 << 32), uint(k << shift), 0, START)
    taken = table.rowindex.slots[: table.rowindex.state[0] + 1] != 0
    # Half are taken. By chance a run has 20 to 60; of those that somebody aims it has thousands.
    empty = np.flatnonzero(~np.concatenate([taken, taken]))
    assert np.diff(empty).max() < 1000


def test_the_index_made_anew_finds_the_hosts_that_are_there():
    table = new_host_table(5000, 16, 0)
    set_cutoffs(START, table.cutoffs)
    for k in range(5000):
        host_row(table, uint(0), uint(k), 0, START)
    for k in range(0, 5000, 3):
        forget(table, lookup(table, uint(0), uint(k)))
    before = [int(lookup(table, uint(0), uint(k))) for k in range(5000)]
    taken = np.count_nonzero(table.rowindex.slots)
    for _ in range(2):
        table.seeds[:] = new_seeds()
        index_again(table)
        assert [int(lookup(table, uint(0), uint(k))) for k in range(5000)] == before
        assert np.count_nonzero(table.rowindex.slots) == taken == table.meta[META["hosts"]]


def test_full_details_make_room_from_others():
    table = new_host_table(64, 16, 0)
    for key in range(40):
        now = START + key
        set_cutoffs(now, table.cutoffs)
        h = host_row(table, uint(0), uint(key), 0, now)
        for k in range(5):
            contact(table, h, uint(0), uint(MAPPED | k << 8), now)
        assert collected(table, h, now)[0][Count.NETWORKS, 0] == 5
    assert table.meta[META["details"]] == 16
    assert table.meta[META["details_evicted"]] == 24


def test_more_busy_hosts_than_details_do_not_take_turns():
    """Each does something every four seconds; nobody would be known for more than four contacts."""
    table = new_host_table(256, 16, 0)
    for turn in range(160):
        now = START + turn
        set_cutoffs(now, table.cutoffs)
        for key in range(turn % 4, 64, 4):
            h = host_row(table, uint(0), uint(key), 0, now)
            contact(table, h, uint(0), uint(MAPPED | turn << 8), now)
    rows = [host_row(table, uint(0), uint(key), 0, now) for key in range(64)]
    known = [collected(table, h, now)[0][Count.NETWORKS, -1] for h in rows]
    assert sum(networks >= 8 for networks in known) >= 6
    assert table.meta[META["details_evicted"]] <= 160
    assert table.meta[META["details_refused"]] > 1000
    table.rows[rows[0]]["proven"] = 1
    for k in range(8):
        contact(table, rows[0], uint(0), uint(MAPPED | 1 << 20 | k << 8), now)
    assert collected(table, rows[0], now)[0][Count.NETWORKS, 0] >= 8, "it outranks them"


def test_recent_destinations_are_the_newest():
    table = new_host_table(16, 16, 0)
    h = host_row(table, uint(0), uint(1), 0, START)
    his, los, ticks = np.zeros(4, np.uint64), np.zeros(4, np.uint64), np.zeros(4, np.uint32)
    for k, expected in enumerate(([0], [1, 0], [2, 1, 0], [3, 2, 1, 0], [4, 3, 2, 1])):
        set_cutoffs(START + k, table.cutoffs)
        contact(table, h, uint(0), uint(MAPPED | k), START + k)
        n = recent_destinations(table, h, his, los, ticks)
        assert [int(lo) & 0xFF for lo in los[:n]] == expected


def test_a_busy_host_knows_its_destinations_for_half_a_day():
    """A newsletter's dead servers, tried again by the hour, are new only once."""
    table = new_host_table(16, 16, 16)
    set_cutoffs(START, table.cutoffs)
    h = host_row(table, np.uint64(0), np.uint64(7), 0, START)
    servers = [(np.uint64(0), np.uint64(MAPPED + 256 * k)) for k in range(1000)]
    first = sum(contact(table, h, *server, START) for server in servers)
    assert 950 <= first <= 1000
    for hour in range(1, 12):
        now = START + hour * 3600
        set_cutoffs(now, table.cutoffs)
        assert not any(contact(table, h, *server, now) for server in servers)


def test_a_memory_forgets_after_a_day_and_never_what_was_just_told():
    memory = np.zeros(1, MEMORY).view(np.recarray)[0]
    memory.since = START
    zero = np.uint64(0)
    told = [np.uint64(k) for k in range(GENERATION * 3)]
    mistaken = 0
    for k in told:
        mistaken += remember(memory, zero, k, START)
        assert remember(memory, zero, k, START)
    assert mistaken < len(told) / 20
    late = START + 43_200 * 2
    assert remember(memory, zero, told[-1], START + 40_000)
    other = [np.uint64(1_000_000 + k) for k in range(10)]
    for now in (late, late + 43_200):
        for k in other:
            remember(memory, zero, k, now)
    assert not remember(memory, zero, told[0], late + 43_200)


def test_whole_hours_are_counted_since_the_host_was_first_seen():
    table = new_host_table(16, 16, 16)
    begin = START // 3600 * 3600 + 600
    h = host_row(table, np.uint64(0), np.uint64(7), 0, begin)
    counts, facts = np.zeros((len(Count), 5), np.int64), np.zeros(len(Fact), np.int64)
    made = []
    for hour in range(30):
        for k in range(made.append(3 + hour % 4) or made[-1]):
            now = begin + hour * 3600 + k
            set_cutoffs(now, table.cutoffs)
            contact(table, h, np.uint64(0), np.uint64(MAPPED + 256 * (hour * 10 + k)), now)
            count(table, h, int(Count.ANSWERED), 1, now)
        collect(table, h, now, counts, facts)
        whole = made[1:-1][-23:]
        assert facts[Fact.HOURS] == len(whole)
        assert facts[Fact.NEW] == sum(whole)
        assert facts[Fact.NEW_SQUARED] == sum(x * x for x in whole)


def test_what_a_contact_touches_of_a_detail_lies_in_few_lines():
    fields = {name: field[1] for name, field in DETAIL.fields.items()}
    assert DETAIL.itemsize % 64 == 0 and max(fields["totals"], fields["shape_size"]) < 4 * 64
    for name in ("tags", "ticks", "keys", "panes"):
        assert fields[name] % 64 == 0, "a line has all tags of a list, or whole keys"
