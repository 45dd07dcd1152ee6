"""Blocks that overlap become blocks that do not, and nobody's end moves."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from sensor.base.units import SECOND
from sensor.blocking.decision import decision
from sensor.blocking.feeds import exabgp, plain
from sensor.blocking.normal import disjoint
from sensor.hosts.subscribers import where

NOW = 1_800_000_000 * SECOND


def block(host: str, left: int = 3600):
    source, ports = where(host)
    return decision(
        "block", NOW, enforced=True, host=host, source=str(source), ports=ports, since=NOW,
        expires=NOW + left * SECOND, alert="a" * 32, reasons=["x"],
    )  # fmt: skip


def said(blocks, **options) -> list[tuple[str, tuple[int, int] | None, int]]:
    found = disjoint(blocks, NOW, **options)
    return [(d.source, d.ports, (d.expires - NOW) // SECOND) for d in found]


def test_what_does_not_overlap_is_left_alone():
    hosts = ("203.0.113.9", "2001:db8:2::/56", "203.0.113.7", "100.64.0.1:1024-2047",
             "100.64.0.1:0-1023", "2001:db8:1::/56")  # fmt: skip
    blocks = [block(host) for host in hosts]
    assert all(a is b for a, b in zip(blocks, disjoint(blocks, NOW), strict=True))


def test_a_prefix_within_another():
    outer, inner = "2001:db8::/62", "2001:db8:0:1::/64"
    assert said([block(inner, 10), block(outer, 20)]) == [("2001:db8::/62", None, 20)]
    assert said([block(outer, 10), block(inner, 10)]) == [("2001:db8::/62", None, 10)]
    assert said([block(outer, 10), block(inner, 20)]) == [
        ("2001:db8::/64", None, 10), ("2001:db8:0:2::/63", None, 10), (inner, None, 20),
    ]  # fmt: skip
    assert said([block(outer, 10), block(inner, 20)], ends=False) == [(outer, None, 10)]


def test_the_same_twice_and_what_is_over():
    assert said([block("203.0.113.7", 5), block("203.0.113.7", 9)]) == [("203.0.113.7/32", None, 9)]
    assert said([block("203.0.113.7", 0), block("203.0.113.8", -5)]) == []


def test_port_blocks_of_one_address():
    a, b = "100.64.0.1:0-1999", "100.64.0.1:1024-2047"
    assert said([block(a, 10), block(b, 20)]) == [
        ("100.64.0.1/32", (0, 1023), 10), ("100.64.0.1/32", (1024, 2047), 20),
    ]  # fmt: skip
    assert said([block(a, 20), block(b, 10)]) == [
        ("100.64.0.1/32", (0, 1999), 20), ("100.64.0.1/32", (2000, 2047), 10),
    ]  # fmt: skip
    assert len(said([block(a), block("100.64.0.2:1024-2047")])) == 2


def test_a_shared_address_as_a_whole_and_by_ports():
    ports, whole = "100.64.0.1:1024-2047", "100.64.0.1"
    assert said([block(ports, 10), block(whole, 10)]) == [("100.64.0.1/32", None, 10)]
    assert len(said([block(ports, 20), block(whole, 10)])) == 2, "each has a set of its own"
    assert said([block(ports, 20), block(whole, 10)], ends=False) == [("100.64.0.1/32", None, 10)]


def test_forms_without_ends():
    blocks = [block("2001:db8::/56", 9), block("2001:db8:0:1::/64", 99), block("100.64.0.1:0-99")]
    assert plain.render(blocks, NOW) == "2001:db8::/56\n100.64.0.1:0-99\n"
    assert len(exabgp.render(blocks, NOW).splitlines()) == 2
    assert exabgp.changes(blocks, blocks[1:]).splitlines() == [
        f"withdraw {exabgp.route(blocks[0])}", f"announce {exabgp.route(blocks[1])}",
    ], "what the larger stood for is announced when it ends"  # fmt: skip


PIECES = st.tuples(st.integers(0, 60), st.integers(0, 12), st.integers(1, 9))
NESTED = st.tuples(st.integers(56, 64), st.integers(0, 255), st.integers(1, 9))


@given(st.lists(PIECES, max_size=12))
def test_each_port_ends_when_its_last_block_ends(ranges):
    blocks = [block(f"100.64.0.1:{f}-{f + n}", end) for f, n, end in ranges]
    right: dict[int, int] = {}
    for first, more, end in ranges:
        for port in range(first, first + more + 1):
            right[port] = max(right.get(port, 0), end)
    found: dict[int, int] = {}
    for _, (first, last), end in said(blocks):
        for port in range(first, last + 1):
            assert port not in found, "no port twice"
            found[port] = end
    assert found == right


KINDS = st.one_of(
    st.builds("100.64.0.{}:{}-{}".format, st.just(1), st.integers(0, 30), st.integers(30, 60)),
    st.builds(
        lambda at, size: f"100.64.0.1:{at * size}-{at * size + size - 1}",
        st.integers(0, 9), st.sampled_from([5, 8, 16]),
    ),
    st.builds(
        lambda length, at: str(
            ipaddress.ip_network((0x20010DB8 << 96 | at << 64, length), strict=False)
        ),
        st.integers(56, 64), st.integers(0, 255),
    ),
    st.sampled_from(["100.64.0.1", "100.64.0.2", "100.64.0.2:0-1023"]),
)  # fmt: skip


@given(st.lists(KINDS, max_size=14, unique=True), st.randoms(use_true_random=False))
def test_all_that_was_ever_announced_is_known_later(hosts, chance):
    """Whichever were in force, in whatever order they began."""
    blocks = [block(host) for host in hosts]
    known = set(exabgp.announced(blocks))
    for _ in range(5):
        some = chance.sample(blocks, chance.randint(0, len(blocks)))
        assert set(exabgp.routes(some, NOW)) <= known


def test_what_is_withdrawn_to_be_sure_is_little():
    """A thousand neighbours are one flow each; only what overlaps has more."""
    apart = [block(f"100.64.{n}.1:{64 * n}-{64 * n + 63}") for n in range(250)]
    within = [block(f"100.64.0.9:{64 * n}-{64 * n + 63}") for n in range(1000)]
    larger = [block(f"100.64.0.9:{2000 * n}-{2000 * n + 1999}") for n in range(32)]
    assert len(exabgp.announced(apart)) == 250
    assert len(exabgp.announced(within + larger)) < 1200


@given(st.lists(NESTED, max_size=12))
def test_each_prefix_ends_when_its_last_block_ends(prefixes):
    base = int(ipaddress.ip_address("2001:db8::"))
    right: dict[int, int] = {}
    blocks = []
    for length, at, end in prefixes:
        network = ipaddress.ip_network((base + (at << 64), length), strict=False)
        blocks.append(block(str(network), end))
        for subnet in network.subnets(new_prefix=64):
            number = int(subnet.network_address)
            right[number] = max(right.get(number, 0), end)
    found: dict[int, int] = {}
    for source, _, end in said(blocks):
        for subnet in ipaddress.ip_network(source).subnets(new_prefix=64):
            assert int(subnet.network_address) not in found
            found[int(subnet.network_address)] = end
    assert found == right
