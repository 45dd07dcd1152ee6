"""Lists of every kind, after every kind of change, as the real programs load them."""

import ipaddress
import itertools
import random
import subprocess

import pytest

from sensor.blocking.decision import Decision
from sensor.blocking.feeds import ipset, nftables, rbldnsd
from sensor.blocking.loading import ApplyError, Loader
from tests.blocking.test_feeds import NOW, OWN, block, inside, members, space

__all__ = ["space"]

WAS = [block("2001:db8:1:100::/64"), block("2001:db8:1:200::/56", 60), block("203.0.113.7")]
IS = [block("2001:db8:1:100::/56", 60), block("2001:db8:1:200::/64"), block("203.0.113.8")]
BY_1024 = [block(f"100.64.0.1:{first}-{first + 1023}") for first in range(0, 65536, 1024)]
BY_2000 = [block("100.64.0.1:0-1999", 60), block("100.64.0.1:4000-5999", 7200)]
WHOLE = [block("100.64.0.1"), block("100.64.0.2")]
NESTED = [
    block(host, end)
    for end, host in enumerate(("2001:db8::/48", "2001:db8::/52", "2001:db8::/64", "2001:db8::/128",
                                "2001:db8::ffff/128", "2001:db8:0:ffff::/64"), 30)
]  # fmt: skip
KINDS: dict[str, list[Decision]] = {
    "none": [],
    "a delegated of 64, then of 56": WAS + IS,
    "the same before": WAS,
    "prefixes of six lengths, the longer the later": NESTED,
    "1024 ports, then 2000": BY_1024 + BY_2000,
    "the same after": BY_2000,
    "shared as a whole, and by ports": [*BY_1024[:3], *WHOLE, *BY_2000],
    "the same twice": [*WAS, *WAS, *BY_2000, *BY_2000],
    "many": [block(f"10.{n >> 8}.{n & 255}.1:{p}-{p + 1023}") for n in range(40)
             for p in (0, 1024)],
}  # fmt: skip


def tcp_from(space: str, host: str, port: int, path: str = "blocked4_ports") -> bool:
    """Whether a set of the table holds an address and port."""
    element = f"{{ {host} . {port} }}" if path == "blocked4_ports" else f"{{ {host} }}"
    command = ["ip", "netns", "exec", space, "nft", "get", "element", "inet", "port25", path]
    return subprocess.run([*command, element], capture_output=True).returncode == 0


def held(space: str, blocks: list[Decision]) -> None:
    """Every block of a list is in the table, first address and last, first port and last."""
    found = members(space)
    if not blocks:
        assert found["blocked4"] == found["blocked6"] == found["blocked4_ports"] == []
    for one in blocks:
        network = ipaddress.ip_network(one.source)
        whole = tcp_from(
            space, str(network[0]), 0, "blocked6" if network.version == 6 else "blocked4"
        )
        if one.ports and not whole:
            assert all(tcp_from(space, str(network[0]), port) for port in one.ports), one.host
        elif not one.ports:
            assert whole, one.host
            assert network.version == 4 or tcp_from(space, str(network[-1]), 0, "blocked6"), (
                one.host
            )


@pytest.mark.parametrize("kind", KINDS)
def test_nftables_takes_every_kind_from_empty(space, kind):
    inside(space, "nft", "-f", "-", text=nftables.render(KINDS[kind], NOW, OWN))
    held(space, KINDS[kind])


def test_nftables_takes_every_kind_after_every_other(space):
    inside(space, "nft", "-f", "-", text=nftables.render([], NOW, OWN))
    for before, after in itertools.permutations(KINDS, 2):
        inside(space, "nft", "-f", "-", text=nftables.elements(KINDS[before], NOW))
        inside(space, "nft", "-f", "-", text=nftables.elements(KINDS[after], NOW))
        inside(space, "nft", "-f", "-", text=nftables.render(KINDS[before], NOW, OWN))
    held(space, KINDS[before])


def test_who_is_covered_by_two_is_blocked_until_the_later_end(space):
    inside(space, "nft", "-f", "-", text=nftables.render([*BY_1024[:3], *BY_2000], NOW))
    timeouts = {
        tuple(e["val"]["concat"][1]["range"]): e["timeout"]
        for e in members(space)["blocked4_ports"]
    }
    assert timeouts == {
        (0, 1023): 3600, (1024, 2047): 3600, (2048, 3071): 3600, (4000, 5999): 7200,
    }  # fmt: skip


@pytest.mark.parametrize("own", [(), OWN, ("192.0.2.0/24", "192.0.2.25", "2001:db8::/32",
                                           "2001:db8::1")])  # fmt: skip
def test_own_servers_that_overlap(space, own):
    inside(space, "nft", "-f", "-", text=nftables.render(WAS, NOW, own))
    inside(space, "nft", "-f", "-", text=nftables.trial(own))
    assert "trial" not in inside(space, "nft", "list", "ruleset")


def test_ipset_takes_every_kind_after_every_other(space):
    for before, after in itertools.permutations(KINDS, 2):
        for kind in (before, after):
            inside(space, "ipset", "restore", text=ipset.render(KINDS[kind], NOW))
    names = inside(space, "ipset", "list", "-name").split()
    assert sorted(names) == ["port25-v4", "port25-v4-ports", "port25-v6"]


def test_ipset_takes_more_and_less_than_a_set_of_its_own_making_holds(space):
    """33 blocks of 1024 ports and more asked for another ceiling than a shorter list."""
    lists = {n: [block(f"100.64.{n_ >> 6}.{n_ & 63}:1024-2047") for n_ in range(n)]
             for n in (0, 30, 33, 60, 200)}  # fmt: skip
    order = [a for pair in itertools.permutations(lists, 2) for a in pair]
    for n in order:
        inside(space, "ipset", "restore", text=ipset.render(lists[n], NOW))
        said = inside(space, "ipset", "-t", "list", "port25-v4-ports")
        assert f"entries: {n * 1024}\n" in said


def test_ipset_replaces_a_list_that_rules_use(space):
    inside(space, "ipset", "restore", text=ipset.render(WAS, NOW))
    inside(space, "ipset", "create", "rules", "list:set")
    inside(space, "ipset", "add", "rules", "port25-v4")
    inside(space, "ipset", "restore", text=ipset.render(BY_1024 + IS, NOW))
    assert "203.0.113.8" in inside(space, "ipset", "list", "port25-v4")


def test_ipset_after_a_list_that_was_cut_off(space):
    text = ipset.render(BY_1024, NOW)
    inside(space, "ipset", "restore", text=text[: text.index("swap")] + "nonsense\n", check=False)
    inside(space, "ipset", "restore", text=ipset.render(WAS, NOW))
    assert "203.0.113.7" in inside(space, "ipset", "list", "port25-v4")


def test_rbldnsd_takes_every_kind(folder):
    """It is told to check the data, and answers nothing."""
    from tests.conftest import needs

    needs("rbldnsd")
    for n, blocks in enumerate(KINDS.values()):
        zone = folder / f"{n}.zone"
        zone.write_text(rbldnsd.render(blocks, NOW))
        command = ["rbldnsd", "-d", "-n", "-b", "127.0.0.1/5353", f"b.example:combined:{zone}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200)
        told = done.stdout + done.stderr
        assert done.returncode == 0, told
        assert "error" not in told, told
        assert "invalid" not in told, told
        assert "duplicate" not in told, told


class Namespace:
    """nft in a namespace, as the controller runs it."""

    def __init__(self, space: str) -> None:
        self.space = space
        self.scripts: list[str] = []

    def apply(self, script: str) -> None:
        self.scripts.append(script)
        command = ["ip", "netns", "exec", self.space, "nft", "-f", "-"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise ApplyError(f"nft: {done.stderr[:500]}")

    def look(self) -> str:
        return "".join(inside(self.space, *words, check=False) for words in nftables.SHAPE)


@pytest.fixture
def firewall(space):
    return Namespace(space)


@pytest.fixture
def loader(firewall):
    return Loader(firewall.apply, OWN, firewall.look)


DAMAGE = (
    "delete table inet port25",
    "flush ruleset",
    "flush table inet port25",
    "flush chain inet port25 forward",
    "flush chain inet port25 smtp",
    "flush set inet port25 own4",
    "add rule inet port25 smtp accept",
    "insert rule inet port25 smtp tcp dport 25 accept",
    "delete element inet port25 own6 { 2001:db8:ffff::/64 }",
    "flush chain inet port25 smtp; delete set inet port25 blocked4",
    "add chain inet port25 forward { policy drop; }",
)


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_somebody_does_to_the_table_is_seen_and_undone(space, loader, damage):
    loader.load(WAS, NOW)
    was = inside(space, "nft", "-s", "list", "ruleset")
    assert loader.intact()
    inside(space, "nft", damage)
    assert not loader.intact()
    assert loader.load(WAS, NOW) == []
    assert loader.intact()
    assert inside(space, "nft", "-s", "list", "ruleset") == was
    held(space, WAS)


def test_a_table_that_is_gone_before_it_was_looked_at_is_missed(space, firewall):
    def apply(script: str) -> None:
        firewall.apply(script)
        if len(firewall.scripts) == 1:
            inside(space, "nft", "delete table inet port25")

    loader = Loader(apply, OWN, firewall.look)
    loader.load(WAS, NOW)
    assert not loader.intact()
    loader.load(WAS, NOW)
    assert loader.intact()
    held(space, WAS)


def test_a_table_nobody_can_look_at_is_left_alone():
    made: list[str] = []
    seen: list[str | None] = ["as made"]
    loader = Loader(made.append, OWN, lambda: seen[-1])
    loader.load(WAS, NOW)
    seen.append(None)
    assert loader.intact()
    seen.append("")
    assert not loader.intact()


def test_traffic_and_time_are_no_damage(space, loader, firewall):
    for blocks in (KINDS["many"], WAS, [], [block("203.0.113.7", 0.5)]):
        loader.load(blocks, NOW)
        assert loader.intact()
    assert [s.startswith("table") for s in firewall.scripts] == [True, False, False, False]


def test_every_kind_with_the_table_missing(space, loader):
    for blocks in KINDS.values():
        inside(space, "nft", "flush", "ruleset")
        assert loader.load(blocks, NOW) == []
        held(space, blocks)


BAD = [block("203.0.113.0/25"), block("198.51.100.0/24")]
"""Prefixes, which nftables refuses in a set of addresses: no policy makes such blocks."""


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("bad", [BAD[:1], BAD])
def test_what_is_refused_is_named_and_the_rest_is_loaded(space, loader, bad, missing):
    good = [*WAS, *BY_1024, *(block(f"192.0.2.{n}") for n in range(100))]
    if not missing:
        loader.load(WAS, NOW)
    blocks = [*good, *bad]
    random.Random(1).shuffle(blocks)
    newly = loader.load(blocks, NOW)
    assert set(newly) == {one.host for one in bad} == set(loader.refused)
    assert all("nft: " in why for why in loader.refused.values())
    held(space, good)
    assert loader.intact()
    assert loader.load(blocks, NOW) == [], "they are counted once"
    assert set(loader.refused) == {one.host for one in bad}
    assert loader.load(good, NOW) == []
    assert loader.refused == {}, "what is no longer asked for is not refused"


def test_what_was_refused_is_tried_again_after_a_minute(firewall):
    now = [0.0]
    ill = [True]

    def apply(script: str) -> None:
        if ill[0] and "203.0.113.7 " in script:
            raise ApplyError("no room")
        firewall.apply(script)

    loader = Loader(apply, (), firewall.look, lambda: now[0])
    loader.load(WAS, NOW)
    assert loader.refused == {"203.0.113.7": "no room"}
    ill[0] = False
    loader.load(WAS, NOW)
    assert loader.refused == {"203.0.113.7": "no room"}
    now[0] = 61.0
    assert loader.load(WAS, NOW) == []
    assert loader.refused == {}
    held(firewall.space, WAS)


def test_where_nothing_is_taken_nothing_changes_and_little_is_tried(firewall):
    tried = []

    def never(script: str) -> None:
        tried.append(script)
        raise ApplyError("no permission")

    loader = Loader(never, ())
    with pytest.raises(ApplyError, match="no permission"):
        loader.load(KINDS["many"], NOW)
    assert len(tried) < 4
    assert loader.refused == {}


def test_where_every_block_is_refused_the_table_stands_empty(space, loader):
    assert len(loader.load(BAD, NOW)) == 2
    held(space, [])


def test_what_is_never_sorted_out_has_an_end(firewall):
    def apply(script: str) -> None:
        if " timeout " in script:
            raise ApplyError("no timeouts here")

    loader = Loader(apply, ())
    many = [block(f"10.{n >> 8}.{n & 255}.1") for n in range(5000)]
    assert len(loader.load(many, NOW)) == 5000
    assert len(loader.refused) == 5000
