"""A sender that hops through a delegated prefix is proposed to be judged as one."""

import ipaddress
from functools import partial

import pytest

from lab.senders.hostile import prefix_hopper
from lab.senders.judge import KINDS, made
from sensor.alerts.siblings import ENOUGH, PLACES, Siblings
from sensor.base.units import DAY, SECOND
from sensor.pipeline import Pipeline
from sensor.settings import parse_settings

T0 = 1_750_000_000 * SECOND


def noted(*subnets, make=7, step=SECOND):
    siblings = Siblings()
    said = (
        siblings.note(f"2001:db8:{subnet}::/64", make, T0 + k * step)
        for k, subnet in enumerate(subnets)
    )
    return [one.figures for one in said if one is not None]


@pytest.mark.parametrize(
    ("subnets", "prefix"),
    [
        (("7:1200", "7:1201", "7:1207", "7:120f"), "2001:db8:7:1200::/60"),
        (("7:1200", "7:1201", "7:1207", "7:1210"), "2001:db8:7:1200::/56"),
        (("7:1200", "7:1301", "7:1207", "7:1510"), "2001:db8:7:1000::/52"),
        (("7:1200", "7:ff01", "7:7", "7:1510"), "2001:db8:7::/48"),
    ],
)
def test_the_shortest_prefix_that_holds_them_is_proposed(subnets, prefix):
    (one,) = noted(*subnets)
    assert (one["prefix"], one["siblings"]) == (prefix, ENOUGH)
    assert one["length"] == int(prefix.rpartition("/")[2])


def test_who_is_no_sibling():
    four = ("7:1", "7:2", "7:3", "7:4")
    assert noted(*four)
    assert not noted(*four[:3]), "three are too few"
    assert not noted(*four[:3], "7:3"), "the same again"
    assert not noted("7:1", "7:2", "8:3", "8:4"), "of two sites"
    assert not noted(*four, make=0), "nothing was said that tells the make"
    assert not noted(*four, step=DAY // 3), "not within a day"
    other = Siblings()
    assert not any(other.note(f"2001:db8:7:{k}::/64", k, T0) for k in range(1, 5)), "makes differ"
    assert not any(other.note(f"2001:db8:7:{k:x}00::/56", 7, T0) for k in range(1, 9)), "declared"
    assert not any(other.note(f"203.0.113.{k}", 7, T0) for k in range(9))


def test_it_is_said_once_a_day():
    subnets = [f"7:{k:x}" for k in range(1, 60)]
    assert len(noted(*subnets)) == 1
    assert len(noted(*subnets, step=DAY // 20)) == 3


def test_places_are_bounded():
    siblings = Siblings()
    for k in range(PLACES + 5):
        siblings.note(f"2001:db8:{k:x}:1::/64", 7, T0)
    assert len(siblings._places) == PLACES and siblings.forgotten == 5


@pytest.mark.slow
@pytest.mark.parametrize("declared", [False, True])
def test_of_packets(monkeypatch, declared):
    monkeypatch.setitem(KINDS, "prefix hopper", partial(prefix_hopper, every=60.0))
    wire, known = made("prefix hopper", 1, 606)
    more = ", delegated = 56" if declared else ""
    settings = f'subscriber_prefixes = [{{ prefix = "2001:db8::/32"{more} }}]'
    outputs = Pipeline(parse_settings(settings)).run(wire.blocks())
    said = [one for output in outputs for one in output.notices]
    proposed = {one.figures["prefix"] for one in said if one.code == "siblings.seen"}
    (host,) = known
    site = ipaddress.IPv6Network(f"{host[:-2]}::/56".replace(":::", "::"))
    assert bool(proposed) is not declared
    assert all(ipaddress.IPv6Network(one).subnet_of(site) for one in proposed)
