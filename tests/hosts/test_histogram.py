"""Hosts by their fan-out in the last hour."""

import numpy as np
import pytest

from sensor.base.addresses import MAPPED
from sensor.hosts.activity import collect, contact
from sensor.hosts.distinct import EXACT
from sensor.hosts.evidence import Count, Fact
from sensor.hosts.histogram import STEPS, fan_out
from sensor.hosts.layout import new_host_table
from sensor.hosts.table import host_row
from sensor.hosts.windows import set_cutoffs

START = 1_700_000_000


def table_of(*hosts):
    """A table of hosts, each so many networks and the tick at which it contacts them."""
    table = new_host_table(64, 32, 4)
    for n, (networks, tick) in enumerate(hosts):
        set_cutoffs(tick, table.cutoffs)
        h = host_row(table, np.uint64(0), np.uint64(MAPPED | n + 1), 0, tick)
        for k in range(networks):
            contact(table, h, np.uint64(0), np.uint64(MAPPED | 0xC6000000 | k << 8), tick)
        counts, facts = np.zeros((len(Count), 5), np.int64), np.zeros(len(Fact), np.int64)
        collect(table, h, tick, counts, facts)  # as whenever a host is weighed
        assert counts[Count.NETWORKS, 3] == networks or networks > EXACT, "estimated beyond"
    return table


def steps_of(table):
    steps = np.full(len(STEPS) + 1, 99, np.int64)
    fan_out(table, steps)
    return steps.tolist()


@pytest.mark.slow
def test_a_step_includes_its_bound_and_the_last_has_none():
    table = table_of(*((n, START) for n in (1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 60, 100, 200)))
    assert steps_of(table) == [1, 1, 2, 2, 2, 2, 2, 2]


def test_hosts_without_a_contact_and_free_rows_are_not_counted():
    table = table_of((0, START), (1, START))
    assert steps_of(table) == [1, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.slow
def test_hosts_not_seen_in_the_last_hour_are_not_counted():
    table = table_of((3, START), (1, START + 3000), (2, START + 4000))
    assert steps_of(table) == [1, 1, 0, 0, 0, 0, 0, 0]
