"""The controller's loop with nftables itself in a namespace, and a topic that is a list."""

import json
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from lab.waiting import wait_for
from sensor.base.units import SECOND
from tests.blocking.test_controller import block
from tests.blocking.test_feeds import inside, space
from tests.conftest import ROOT

__all__ = ["space"]

LOOP = """
import collections, sys, time, types
kafka = types.ModuleType("kafka")
Message = collections.namedtuple("Message", "key value")
Partition = collections.namedtuple("Partition", "topic partition")
class KafkaConsumer:
    def __init__(self, **arguments):
        self.messages = [Message(*map(str.encode, line.split(" ", 1))) for line in sys.stdin]
    def poll(self, timeout_ms):
        time.sleep(timeout_ms / 1000)
        messages, self.messages = self.messages, []
        return {Partition("t", 0): messages}
    subscribe = commit = close = lambda self, *a, **k: None
    assignment = lambda self: {Partition("t", 0)}
    end_offsets = lambda self, assigned: {}
    partitions_for_topic = lambda self, topic: set()
    metrics = lambda self: {"consumer-coordinator-metrics": {"last-heartbeat-seconds-ago": 0.0}}
kafka.KafkaConsumer, kafka.ConsumerRebalanceListener = KafkaConsumer, object
sys.modules["kafka"] = kafka
from sensor.service.signals import collect_signals
from sensor.blocking.bounds import Bounds
from sensor.blocking.controller import Controller
from sensor.service import controlling
connection = types.SimpleNamespace(
    arguments={}, settings=types.SimpleNamespace(blocklist_topic="t", desk_topic="d")
)
held = Controller(Bounds((), (), ()), ("192.0.2.25",), 1000, controlling.load, controlling.shape)
controlling.follow(connection, held, "group", collect_signals())
"""


@pytest.fixture
def run(space, folder):
    """Starts the loop with decisions on the topic; its log."""
    running = []

    def started(*decisions, path: str = ""):
        log = folder / f"log{len(running)}"
        with log.open("wb") as out:
            loop = subprocess.Popen(
                ["ip", "netns", "exec", space, "env", f"PATH={path}/usr/sbin:/usr/bin:/bin",
                 sys.executable, "-c", LOOP],
                stdin=subprocess.PIPE, stdout=out, stderr=out, cwd=ROOT,
            )  # fmt: skip
        running.append(loop)
        text = "".join(f"{d.host} {msgspec.json.encode(d).decode()}\n" for d in decisions)
        assert loop.stdin is not None
        loop.stdin.write(text.encode())
        loop.stdin.close()
        return log

    yield started
    for loop in running:
        loop.send_signal(signal.SIGTERM)
        assert loop.wait(200) == 0


def of_now(host: str):
    now = time.time_ns()
    made = block(host, since=now, expires=now + 3600 * SECOND)
    return msgspec.structs.replace(made, ts=now)


def table(space: str) -> str:
    return inside(space, "nft", "list", "table", "inet", "port25", check=False)


@pytest.mark.parametrize(
    "damage",
    [
        "delete table inet port25",
        "flush ruleset",
        "flush table inet port25",
        "flush chain inet port25 forward",
    ],
)
def test_what_somebody_did_is_undone_within_seconds(space, run, damage):
    log = run(of_now("203.0.113.7"), of_now("2001:db8::/56"), of_now("2001:db8:0:1::/64"))
    wait_for(lambda: '"blocked"' in log.read_text(), 30, f"the block: {log}")
    was = inside(space, "nft", "-s", "-t", "list", "ruleset")
    inside(space, "nft", damage)
    wait_for(lambda: "203.0.113.7" in table(space), 10, f"the block again: {log}")
    wait_for(lambda: inside(space, "nft", "-s", "-t", "list", "ruleset") == was, 10, "its rules")
    assert "2001:db8:0:1::/64" in table(space), "which ends later than what it is within"
    assert log.read_text().count("somebody changed or deleted the table") == 1


def test_a_table_nobody_can_look_at_is_not_one_that_is_gone(space):
    say = "from sensor.service.controlling import shape; print(repr(shape()))"

    def said(path: str) -> str:
        command = ["ip", "netns", "exec", space, "env", f"PATH={path}", "LANG=de_DE.UTF-8"]
        command += [sys.executable, "-c", say]
        return subprocess.check_output(command, text=True, cwd=ROOT, timeout=300).strip()

    assert said("/usr/sbin:/usr/bin:/bin") == "''"
    assert said("/nowhere") == "None"


REFUSING = """#!/bin/sh
text=$(cat)
case "$text" in *"203.0.113.9 "*|*"100.64.0.1 "*) echo "no room for it" >&2; exit 1;; esac
printf '%s\\n' "$text" | /usr/sbin/nft "$@"
"""


def test_what_the_firewall_refuses_is_named_counted_and_the_rest_in_force(space, run, folder):
    nft = folder / "nft"
    nft.write_text(REFUSING)
    nft.chmod(0o755)
    hosts = [f"203.0.113.{n}" for n in range(1, 30)] + ["100.64.0.1:0-1023", "2001:db8:1::/56"]
    log = run(*map(of_now, hosts), path=f"{folder}:")
    wait_for(lambda: "not_loaded" in log.read_text(), 30, f"the refusals: {log}")
    held = table(space)
    for host in hosts:
        refused = host in ("203.0.113.9", "100.64.0.1:0-1023")
        assert (f" {host.partition(':0-')[0]} " in held.replace(",", " ")) != refused, host
    lines = [json.loads(x) for x in log.read_text().splitlines() if x.startswith("{")]
    (told,) = [line for line in lines if "not_loaded" in line]
    assert told["not_loaded"] == 2
    assert set(told["hosts"]) == {"203.0.113.9", "100.64.0.1:0-1023"}
    assert all("no room for it" in why for why in told["hosts"].values())
    counted = next(line for line in lines if "blocked" in line)
    assert counted["blocked"] == 29
    assert counted["refused"] == {"by the firewall": 2}
    assert "203.0.113.9: not blocked, the firewall refuses it" in log.read_text()
