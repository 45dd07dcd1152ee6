"""Shared addresses divided by rules: whose a port is, and bots behind one address found by it."""

import csv

import numpy as np
import pytest

from lab.leases import known_as
from lab.outputs import alerts_of
from sensor.base.addresses import network_text, text
from sensor.capture.merge import Captures
from sensor.commands.options import lend
from sensor.customers.layout import CHANGE, MOST_BITS
from sensor.leases.computed import Computed, check_rules, leases_of, port_sets
from sensor.leases.settings import (
    CgnRule,
    CustomerSettings,
    LeaseSettingsError,
    Lw4o6Rule,
    MapRule,
)
from sensor.pipeline import Pipeline
from sensor.settings import load_settings
from tests.conftest import PCAPS, port25

RFC_7597 = MapRule("2001:db8::/40", "192.0.2.0/24", 16)


def owners(rule):
    """By address, for each port the customers who have it."""
    found = {}
    for customer, hi, lo, port, bits in leases_of(rule):
        if not hi:
            ports = found.setdefault(text(hi, lo), [[] for _ in range(65_536)])
            size = 1 << MOST_BITS - bits
            for one in ports[port : port + size]:
                one.append(customer)
    return found


def test_the_example_of_rfc_7597():
    """Section 5.2, and appendix A, example 1: a customer of PSID 0x34."""
    mine = []
    for one in leases_of(RFC_7597):
        if one[0] == "2001:db8:12:3400::/56":
            mine.append(one)
        elif mine:
            break
    prefix, *ports = mine
    assert network_text(prefix[1], prefix[2], prefix[4]) == "2001:db8:12:3400::/56"
    assert {text(0, one[2]) for one in ports} == {"192.0.2.18"}
    assert (ports[0][3], ports[1][3], ports[-1][3], len(ports)) == (1232, 2256, 64720, 63)
    assert all(1 << MOST_BITS - one[4] == 4 for one in ports)


def test_port_sets_of_all_psids_are_the_ports():
    ports = [
        port
        for psid in range(16)
        for first, last in port_sets(psid, 4, 4)
        for port in range(first, last + 1)
    ]
    assert sorted(ports) == list(range(4096, 65_536))


def test_a_whole_address_needs_no_psid():
    leases = list(leases_of(MapRule("2001:db8::/40", "192.0.2.0/24", 8)))
    assert leases[-1] == ("2001:db8:ff::/48", 0, leases[-1][2], 0, 128)
    assert text(0, leases[-1][2]) == "192.0.2.255" and len(leases) == 512


@pytest.mark.slow
def test_inside_addresses_have_blocks_in_their_order():
    found = owners(CgnRule("100.64.0.0/26", "203.0.113.0/30", 4032))
    assert list(found) == [f"203.0.113.{n}" for n in range(4)]
    one = found["203.0.113.1"]
    assert one[1023] == [] and one[1024] == ["100.64.0.16"] and one[1024 + 4032] == ["100.64.0.17"]
    assert all(len(customers) == 1 for ports in found.values() for customers in ports[1024:])


@pytest.mark.parametrize(
    "rule",
    [
        CgnRule("100.64.0.0/26", "203.0.113.0/30", 4032),
        CgnRule("100.64.0.0/30", "203.0.113.0/31", 1000, 5),
        MapRule("2001:db8::/40", "192.0.2.0/24", 10, 4),
        MapRule("2001:db8::/40", "192.0.2.0/31", 5, 0),
    ],
)
def test_as_many_as_were_counted_before(rule):
    cgn, map_e = ((rule,), ()) if isinstance(rule, CgnRule) else ((), (rule,))
    settings = CustomerSettings(cgn=cgn, map_e=map_e)
    count = sum(1 for _ in leases_of(rule))
    check_rules(settings, count)
    with pytest.raises(LeaseSettingsError, match=r"the rules give [\d,]+ leases, limits\.max"):
        check_rules(settings, count // 2)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (CgnRule("100.64.0.0/24", "203.0.113.0/31", 4032), "256 customers, .* room for 32"),
        (CgnRule("100.64.0.1/24", "203.0.113.0/31", 4032), "host bits set"),
        (CgnRule("100.64.0.0/24", "203.0.113.0/31", 65_000), "no block of 65,000 ports"),
        (MapRule("2001:db8::/40", "192.0.2.0/24", 7), "7 EA bits are too few"),
        (MapRule("2001:db8::/40", "192.0.2.0/24", 20, 6), "more than a port has"),
        (MapRule("2001:db8::/56", "192.0.2.0/24", 16), "longer than /64"),
        (MapRule("192.0.2.0/24", "192.0.2.0/24", 16), "At least 3 parts"),
    ],
)
def test_rules_that_cannot_be(rule, why):
    cgn, map_e = ((rule,), ()) if isinstance(rule, CgnRule) else ((), (rule,))
    with pytest.raises(LeaseSettingsError, match=why) as error:
        check_rules(CustomerSettings(cgn=cgn, map_e=map_e), 10**9)
    assert str(error.value).startswith(("customers.cgn[0]: ", "customers.map_e[0]: "))


def told(source):
    for _ in range(20):
        source.turn(0)
    rows = np.frombuffer(source.intake.drain(10**6).rows, CHANGE)
    return rows, len(rows[rows["until"] < 1 << 61])


def test_what_was_told_is_not_told_again_and_a_rule_that_goes_ends():
    one = CgnRule("100.64.0.0/30", "203.0.113.0/32", 256)
    two = CgnRule("100.64.1.0/30", "203.0.113.1/32", 256)
    first = Computed(CustomerSettings(cgn=(one,)), 100)
    first.open("")
    rows, ended = told(first)
    assert (len(rows), ended) == (4, 0)
    again = Computed(CustomerSettings(cgn=(one,)), 100)
    again.open(first.position)
    assert len(told(again)[0]) == 0 and again.position == first.position
    other = Computed(CustomerSettings(cgn=(two,)), 100)
    other.open(first.position)
    rows, ended = told(other)
    assert (len(rows), ended) == (8, 4)
    wrong = Computed(CustomerSettings(cgn=(one,)), 100)
    wrong.open("{")
    assert len(told(wrong)[0]) == 4


RULES = {
    "cgn": 'cgn = [{inside = "100.64.0.0/24", outside = "198.51.100.200/32", ports = 256,'
    " first_port = 0}]",
    "map-e": 'map_e = [{ipv6 = "2001:db8::/48", ipv4 = "198.51.100.200/32", ea_bits = 8,'
    " psid_offset = 0}]",
}


@pytest.mark.parametrize("kind", RULES)
def test_ten_bots_behind_one_address_are_found_and_no_home_is(tmp_path, kind):
    (tmp_path / "c.toml").write_text(
        (PCAPS / "shared_address.toml").read_text() + f"[customers]\n{RULES[kind]}\n"
    )
    settings = load_settings(str(tmp_path / "c.toml"))
    pipeline = Pipeline(settings)
    lend(pipeline, None, settings)
    alerts = alerts_of(pipeline.run(Captures([str(PCAPS / "shared_address.pcap")])))
    with (PCAPS / "shared_address.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["customer"].startswith("bot")]
    names = {
        f"100.64.0.{n}" if kind == "cgn" else f"2001:db8:0:{n << 8:x}::/56".replace("0:0::", ":")
        for n in (int(row["ports"].partition("-")[0]) // 256 for row in rows)
    }
    assert {a.customer for a in alerts} == {known_as(name) for name in names}
    assert len({a.customer for a in alerts if a.block_recommended}) == 10


def test_the_command_says_which_rule_cannot_be(tmp_path):
    path = tmp_path / "c.toml"
    rule = '{ipv6 = "2001:db8::/40", ipv4 = "192.0.2.0/24", ea_bits = 7}'
    path.write_text(f"[customers]\nmap_e = [{rule}]\n")
    run = port25("replay", "-q", "-c", str(path), "pcaps/home_user.pcap")
    assert run.returncode == 2
    assert b"customers.map_e[0]: 7 EA bits are too few for the rest of 192.0.2.0/24" in run.stderr


LW4O6 = Lw4o6Rule("2001:db8::/48", 56, "192.0.2.32/29", 6)


def test_lightweight_4over6_binds_in_order():
    """With an offset of 0 a port set is one block (RFC 7596, 5.1; RFC 7597, 5.1)."""
    leases = list(leases_of(LW4O6))
    assert leases[0][0] == leases[1][0] == "2001:db8::/56"
    assert network_text(*leases[0][1:3], leases[0][4]) == "2001:db8::/56"
    assert (text(0, leases[1][2]), leases[1][3]) == ("192.0.2.32", 1024)
    assert all(1 << MOST_BITS - one[4] == 1024 for one in leases[1::2])
    last = leases[-1]
    assert (last[0], text(0, last[2]), last[3]) == ("2001:db8:0:ff00::/56", "192.0.2.36", 4096)
    found = owners(LW4O6)
    assert len(found) == 5
    for ports in found.values():
        assert not any(ports[:1024]) and all(len(one) <= 1 for one in ports)
    assert sum(len(one) for ports in found.values() for one in ports) == 256 * 1024


@pytest.mark.parametrize(
    "rule",
    [LW4O6, Lw4o6Rule("2001:db8::/52", 56, "192.0.2.0/28", 0),
     Lw4o6Rule("2001:db8::/52", 56, "192.0.2.0/28", 4, 4, 0)],
)  # fmt: skip
def test_what_lightweight_4over6_gives_is_counted_before(rule):
    settings = CustomerSettings(lw4o6=(rule,))
    count = len(list(leases_of(rule)))
    check_rules(settings, count)
    with pytest.raises(LeaseSettingsError, match="the rules give"):
        check_rules(settings, count - 1)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (Lw4o6Rule("2001:db8::/48", 56, "192.0.2.32/30", 6), "256 customers, .* has room for 252"),
        (Lw4o6Rule("2001:db8::/48", 40, "192.0.2.32/30", 6), "/40 is wider than"),
        (Lw4o6Rule("2001:db8::/48", 56, "192.0.2.32/29", 10, 7), "more than a port has"),
        (Lw4o6Rule("2001:db8::/48", 56, "192.0.2.32/29", 6, 0, 64), "no PSID of 6 bits is 64"),
        (Lw4o6Rule("2001:db8::/48", 56, "half", 6), "half"),
    ],
)
def test_bindings_that_cannot_be(rule, why):
    with pytest.raises(LeaseSettingsError, match=rf"^customers.lw4o6\[0\]: .*{why}"):
        check_rules(CustomerSettings(lw4o6=(rule,)), 10**9)


def test_rules_of_before_are_known_without_these():
    """A position that was kept before there were any."""
    one = CgnRule("100.64.0.0/30", "203.0.113.0/30", 4096)
    settings = CustomerSettings(cgn=(one,))
    first = Computed(settings, 1000)
    first.open("")
    first.turn(0)
    first.turn(0)
    before = first.position.replace(',"lw4o6":[]', "")
    assert before != first.position
    again = Computed(settings, 1000)
    again.open(before)
    again.turn(0)
    assert len(again.intake) == 0
