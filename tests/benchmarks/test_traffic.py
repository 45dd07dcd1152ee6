"""The laboratory's frames are real ones, and its truth is true."""

import json
import subprocess
import sys

import numpy as np
import pytest

from lab.outputs import feed, finish
from lab.traffic import evaders, families, internet, legitimate
from lab.traffic.packets import blocks, write
from lab.traffic.population import SETTINGS, traffic
from sensor.pipeline import Pipeline
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def world():
    return traffic(seed=3, subscribers=3000, days=1, bots=1, scanners=1)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(world):
    again = traffic(seed=3, subscribers=3000, days=1, bots=1, scanners=1)
    assert np.array_equal(world.connections, again.connections)
    first = next(blocks(world.connections, world.scripts))
    second = next(blocks(again.connections, again.scripts))
    assert np.array_equal(first.data, second.data) and np.array_equal(first.frames, second.frames)
    other = traffic(seed=4, subscribers=3000, days=1, bots=1, scanners=1)
    assert not np.array_equal(world.connections["start"][:99], other.connections["start"][:99])


def test_frames_come_in_the_order_of_time(world):
    last = 0
    for block in blocks(world.connections, world.scripts):
        ts = block.frames["ts"]
        assert ts[0] >= last and (np.diff(ts) >= 0).all()
        last = ts[-1]


@pytest.mark.slow
def test_the_sensor_sees_what_the_truth_says(world):
    """Every connection, who answered, what was taken and refused, and each question for MX."""
    pipeline = Pipeline(SETTINGS)
    for block in blocks(world.connections, world.scripts):
        feed(pipeline, block)
    finish(pipeline)
    facts = world.facts[world.connections["script"]]
    mail = facts["mail"]
    clear = mail & ~facts["secret"]
    counters = pipeline.counters()
    seen = counters["connections"]
    assert seen["attempts"] == mail.sum()
    assert seen["answered"] == (mail & facts["answered"]).sum() == seen["proven"]
    assert seen["transactions_accepted"] == facts["taken"][clear].sum()
    assert seen["transactions_rejected"] == (facts["refused"] & clear).sum()
    asked = (world.connections["script"] == 0).sum()
    assert counters["dns"]["mx_queries"] + counters["dns"]["mx_queries_repeated"] == asked
    assert seen["bytes_missed"] == 0
    odd = {k for k, n in counters["frames"].items() if n} - {"segment", "other_tcp", "udp_dns"}
    assert not odd


def test_wireshark_finds_no_fault(world, tshark, tmp_path):
    path = tmp_path / "world.pcap"
    few = world.connections[:400]
    hoppers = world.connections[world.connections["client_hi"] != 0][:40]
    some = np.concatenate([few, hoppers])
    some = some[np.argsort(some["start"], kind="stable")]
    frames = write(path, blocks(some, world.scripts))
    out = subprocess.run(
        [tshark, "-r", path, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
         "-o", "udp.check_checksum:TRUE", "-Y",
         "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0"
         " || udp.checksum.status == 0 || tcp.analysis.lost_segment"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert out.stdout == "" and frames > 2000


def test_a_capture_of_syns_holds_nothing_else(world):
    pipeline = Pipeline(SETTINGS)
    for block in blocks(world.connections, world.scripts, syns=True):
        feed(pipeline, block)
    counters = pipeline.counters()
    mail = world.facts["mail"][world.connections["script"]]
    assert counters["connections"]["attempts"] == mail.sum()
    assert counters["connections"]["answered"] == counters["dns"]["mx_queries"] == 0


@pytest.mark.slow
def test_the_command_writes_capture_and_truth(tmp_path):
    out = tmp_path / "small.pcap"
    arguments = [out, "--subscribers", "300", "--bots", "1", "--seed", "9"]
    subprocess.run(
        [sys.executable, "-m", "lab.traffic", *map(str, arguments)], check=True, cwd=ROOT
    )
    truth = json.loads(out.with_suffix(".truth.json").read_text())
    names = {one["name"] for one in truth["classes"]}
    assert set(families.FAMILIES) | set(evaders.EVADERS) <= names
    assert all(len(one["hosts"]) == one["subscribers"] for one in truth["classes"])
    hopper = next(one for one in truth["classes"] if one["name"] == "IPv6 hopper")
    assert hopper["hosts"][0].endswith("::/64")
    assert out.stat().st_size > 24


def test_the_classes_make_a_million():
    assert sum(share for _, share in legitimate.CLASSES.values()) == 1_000_000


def test_half_of_all_recipients_are_at_big_providers_and_a_domain_keeps_its_server():
    rng = np.random.default_rng(1)
    domains = internet.draw(rng, 20_000)
    assert 0.48 < (domains < internet.BIG).mean() < 0.52
    own = domains[internet.named(domains, 1, 1000) >= 400]
    own = own[own >= internet.BIG]
    assert np.array_equal(internet.addresses_of(rng, own), internet.addresses_of(rng, own))
    few = internet.addresses_of(rng, np.zeros(1000, np.int64), few=2)
    assert len(np.unique(few)) == 2
