"""What found no room: said once in ten minutes, and only then."""

import socket
import struct

import pytest

from lab.conversation import START, SYN, block, frame
from lab.exporters import written
from lab.frames import pcap, write
from lab.outputs import feed
from sensor.pipeline import Pipeline
from sensor.settings import Limits, Settings
from tests.conftest import port25

SECOND = 10**9


def crowd(hosts: int, seconds: int, begin: int = 0) -> list[tuple[int, bytes]]:
    """Hosts that send a SYN every four seconds, to one of five servers in turns."""
    return [
        (
            START + (begin + second) * SECOND + host,
            frame(f"100.64.0.{host}", f"198.51.{second % 5}.25", 4000 + second, 25, second, 0, SYN),
        )
        for second in range(seconds)
        for host in range(second % 4, hosts, 4)
    ]


def test_that_hosts_of_which_nothing_is_proven_wait_for_details_is_said():
    pipeline = Pipeline(Settings(limits=Limits(max_details=16)))
    feed(pipeline, block(crowd(12, 60)))
    assert pipeline.strain() == []
    feed(pipeline, block(crowd(64, 60, begin=60)))
    refused = pipeline.counters()["hosts"]["details_refused"]
    assert refused > 0
    (said,) = pipeline.strain()
    assert said.code == "limits.crowded"
    assert f"{refused:,} times" in said.text and "limits.max_details" in said.text
    feed(pipeline, block(crowd(64, 60, begin=120)))
    assert pipeline.strain() == [], "it was said a minute ago"
    feed(pipeline, block(crowd(64, 60, begin=720)))
    more = pipeline.counters()["hosts"]["details_refused"] - refused
    (said,) = pipeline.strain()
    assert f"{more:,} times" in said.text
    later = Pipeline(pipeline.settings)
    later.restore(pipeline.arrays(), pipeline.facts())
    assert later.strain() == [], "it was said before the restart"


@pytest.mark.parametrize("verb", [("replay", "-q"), ("explain", "100.64.0.1", "-r")])
def test_who_asks_for_a_verdict_hears_of_it(tmp_path, verb):
    capture = write(tmp_path / "crowd.pcap", pcap(crowd(64, 60)))
    config = write(tmp_path / "small.toml", b"[limits]\nmax_details = 16\n")
    run = port25(*verb, capture, "-c", config)
    assert run.returncode == 0
    assert b"found no room for counters by window" in run.stderr


def test_who_reads_flows_hears_of_it(tmp_path):
    """Nothing is ever proven by them."""
    messages = []
    for second in range(60):
        hosts = range(second % 4, 64, 4)
        now = START // SECOND + second
        message = struct.pack(">HHIIIIHH", 5, len(hosts), 0, now, 0, 0, 0, 0)
        for host in hosts:
            message += socket.inet_aton(f"100.64.0.{host}") + socket.inet_aton(
                f"198.51.{second % 5}.25"
            )
            message += bytes(8) + struct.pack(">II", 1, 40) + bytes(8)
            message += struct.pack(">HHBBB", 4000 + second, 25, 0, SYN, 6) + bytes(9)
        messages.append(message)
    config = write(tmp_path / "small.toml", b"[limits]\nmax_details = 16\n")
    run = port25("flows", str(written(messages, tmp_path / "flows.pcap")), "-q", "-c", config)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count(b"found no room for counters by window") == 1, run.stderr
