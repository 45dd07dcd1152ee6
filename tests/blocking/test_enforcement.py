"""What a controller says became of blocks: in force since when, refused, packets stopped."""

import json
import subprocess
import sys
import time

import jsonschema
import msgspec
import pytest

from lab.waiting import wait_for
from sensor.base.units import SECOND
from sensor.blocking.bounds import Bounds
from sensor.blocking.controller import ApplyError, Controller
from sensor.blocking.enforcement import Enforcement, Reports, json_schema, keep, kept
from sensor.blocking.loading import Loader
from sensor.state.folder import StateFolder
from tests.blocking.test_controller import HOUR, NOW, Firewall, block, take
from tests.blocking.test_feeds import inside, space
from tests.conftest import ROOT

__all__ = ["space"]


class Counting(Firewall):
    """Refuses one host; counts for another."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: dict = {}

    def __call__(self, script: str) -> None:
        if "203.0.113.9 " in script:
            raise ApplyError("no room")
        super().__call__(script)
        if "flush" in script or "delete table" in script:
            self.counted = {}


@pytest.fixture
def firewall():
    return Counting()


@pytest.fixture
def controller(firewall):
    return Controller(Bounds((), (), ()), (), 10, firewall, count=lambda: firewall.counted)


def told(reports: Reports, controller: Controller, at: float) -> dict[str, Enforcement]:
    controller.carry_out(NOW + int(at * SECOND))
    return {one.host: one for one in reports.look(controller, NOW + int(at * SECOND))}


def test_in_force_refused_ended(controller, firewall):
    reports = Reports("router")
    assert told(reports, controller, 0) == {}
    take(controller, block())
    take(controller, block("203.0.113.9"))
    first = told(reports, controller, 0.4)
    assert {host: one.state for host, one in first.items()} == {
        "203.0.113.7": "in force", "203.0.113.9": "refused"
    }  # fmt: skip
    mine = first["203.0.113.7"]
    assert (mine.since, mine.delay, mine.dropped) == (NOW + int(0.4 * SECOND), 0.4, 0)
    assert (mine.asked, mine.expires, mine.key) == (NOW, NOW + HOUR, "203.0.113.7@router")
    assert first["203.0.113.9"].why == "no room" and first["203.0.113.9"].delay is None
    for one in first.values():
        jsonschema.validate(json.loads(msgspec.json.encode(one)), json_schema())
    assert "203.0.113.7" not in told(reports, controller, 1), "nothing new"
    firewall.counted = {("203.0.113.7", None): 3}
    assert told(reports, controller, 2)["203.0.113.7"].dropped == 3
    firewall.counted = {("203.0.113.7", None): 4}
    take(controller, block(expires=NOW + 2 * HOUR))
    renewed = told(reports, controller, 3)["203.0.113.7"]
    assert (renewed.dropped, renewed.since, renewed.expires) == (7, mine.since, NOW + 2 * HOUR)
    controller.take(0, b"203.0.113.7", None, NOW)
    ended = told(reports, controller, 4)["203.0.113.7"]
    assert (ended.state, ended.dropped, ended.since) == ("ended", 7, mine.since)
    take(controller, block(since=NOW + HOUR))
    assert told(reports, controller, 5)["203.0.113.7"].dropped == 0, "another block"


def test_a_controller_that_begins_again(controller, firewall, tmp_path):
    before = Reports("router")
    before.look(controller, NOW)
    take(controller, block())
    first = told(before, controller, 0.4)["203.0.113.7"]
    path = StateFolder(tmp_path).enforcement("router")
    keep(path, [msgspec.structs.replace(first, dropped=5)])
    known = Reports("router", kept(tmp_path)["203.0.113.7"])
    again = Controller(Bounds((), (), ()), (), 10, firewall, count=lambda: firewall.counted)
    take(again, block())
    found = told(known, again, 60)["203.0.113.7"]
    assert (found.since, found.delay, found.dropped) == (first.since, 0.4, 5)
    firewall.counted = {("203.0.113.7", None): 2}
    assert told(known, again, 120)["203.0.113.7"].dropped == 7
    found = told(Reports("router"), again, 180)["203.0.113.7"]
    assert (found.since, found.delay) == (NOW + 180 * SECOND, None), "when is not known"


def test_files_that_are_none_are_passed_over(tmp_path):
    state = StateFolder(tmp_path)
    state.enforcement("half").write_bytes(b'[{"schema":')
    state.enforcement("../../other/x").write_bytes(b"[1, 2]")
    assert kept(tmp_path) == {} and len(state.enforcement_files) == 2
    one = Reports("a")._of(block(), NOW, "asked")
    keep(state.enforcement(), [one])
    keep(state.enforcement("a"), [msgspec.structs.replace(one, ts=NOW + 1, why="newer")])
    assert [each.why for each in kept(tmp_path)["203.0.113.7"]] == ["newer"]


SENDING = """
import sys
from scapy.all import Ether, IP, IPv6, TCP, sendp
for layer in (
    IP(src="203.0.113.7", dst="198.51.100.1") / TCP(sport=40000, dport=25),
    IP(src="203.0.113.7", dst="198.51.100.1") / TCP(sport=40000, dport=80),
    IP(src="100.64.0.1", dst="198.51.100.1") / TCP(sport=1500, dport=25),
    IP(src="100.64.0.1", dst="198.51.100.1") / TCP(sport=9000, dport=25),
    IPv6(src="2001:db8:1:1::5", dst="2001:db8:ff::1") / TCP(sport=40000, dport=25),
):
    sendp(Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / layer, iface="out", verbose=0)
"""
COUNTING = "from sensor.service.controlling import count; print(count())"


def test_nftables_counts_what_each_block_stops(space):
    for words in (
        "ip link add in type veth peer name out", "ip link set in address 02:00:00:00:00:01",
        "ip link set in up", "ip link set out up", "ip addr add 198.51.100.254/24 dev in",
        "ip -6 addr add 2001:db8:ff::fe/64 dev in nodad",
        "ip route add 203.0.113.0/24 dev in", "ip route add 100.64.0.0/24 dev in",
        "ip -6 route add 2001:db8:1::/48 dev in",
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
        " net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.in.rp_filter=0",
    ):  # fmt: skip
        inside(space, *words.split())

    def python(text: str) -> str:
        command = ["ip", "netns", "exec", space, sys.executable, "-c", text]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout

    def apply(script: str) -> None:
        inside(space, "nft", "-f", "-", text=script)

    def count() -> dict:
        return eval(python(COUNTING))

    now = time.time_ns()
    loader = Loader(apply, (), count=count)
    hosts = ("203.0.113.7", "203.0.113.8", "100.64.0.1:1024-2047", "2001:db8:1::/56")
    blocks = [block(host, since=now, expires=now + HOUR) for host in hosts]
    assert loader.load(blocks, now) == [] and loader.dropped == {}
    python(SENDING)
    wait_for(lambda: sum(count().values()) == 3, 10, "the packets")
    python(SENDING)
    wait_for(lambda: sum(count().values()) == 6, 10, "the packets")
    assert loader.load(blocks, now) == []
    stopped = {"203.0.113.7": 2, "203.0.113.8": 0, hosts[2]: 2, hosts[3]: 2}
    assert loader.dropped == stopped
    python(SENDING)
    wait_for(lambda: sum(count().values()) == 3, 10, "the packets")
    assert loader.load(blocks[:1], now) == []
    assert loader.dropped == {"203.0.113.7": 3}
