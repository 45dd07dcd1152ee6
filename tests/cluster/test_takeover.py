"""A process that correlates dies, and another goes on: nothing lost, nothing twice."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from kafka.errors import KafkaError

from lab.splitting import by_direction, split
from lab.storm import one_after_another, write
from lab.waiting import wait_for
from sensor.cluster.share import Share
from sensor.cluster.snapshots import Writing
from sensor.cluster.topics import ensure_state_topic
from sensor.settings import load_settings
from sensor.sinks.kafka.connection import Connection, named
from sensor.state.snapshot import read
from tests.cluster.test_equal import forwarded, replayed, settings_of
from tests.cluster.test_kafka import WHOLE, Cluster, by_host
from tests.cluster.test_kafka import replayed as lines_of_replay
from tests.conftest import PCAPS, ROOT


def heard(share: Share, messages: list, first: int) -> list[dict]:
    """Alerts of batches that come in turn, the first of them as number ``first``."""
    found = []
    for at, several in enumerate(messages, first):
        for message in several:
            if message is not None:
                share.add(message, at * 1000, False)
        found += share.turn()
    return [json.loads(msgspec.json.encode(alert)) for alert in found]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "mx_lookups", "slow_bot"])
def test_a_share_goes_on_from_its_snapshot(name, tmp_path):
    settings, whole = settings_of(name), PCAPS / f"{name}.pcap"
    paths = split(whole, tmp_path, by_direction)
    sensors = [forwarded(settings, f"s{n}", path)[0] for n, path in enumerate(paths)]
    # Batches that are each a part of the capture only: the middle falls between two of them.
    messages = list(itertools.zip_longest(*sensors))
    half = max(1, len(messages) // 2)
    first = Share(settings)
    told = heard(first, messages[:half], 0)
    writing = Writing(first, 17)
    wait_for(lambda: (done := writing.done()) is not None and keep.append(done) is None, 60, "it")
    saved = tmp_path / "state"
    saved.write_bytes(keep.pop())
    arrays, facts = read(saved)
    assert facts["offset"] == 17
    second = Share(settings, first.alerts)
    second.restore(arrays, facts)
    told += heard(second, messages[half:], half)
    told += [json.loads(msgspec.json.encode(alert)) for alert in second.finish()]
    for alert in told:
        alert.pop("sensor")
    assert told == replayed(settings, whole)


keep: list[bytes] = []
NUMBERS = itertools.count()


class Process:
    """``port25 correlate``, as long as it is let live."""

    def __init__(self, cluster: Cluster, name: str, folder: Path, named: bool = True) -> None:
        self.name = name
        self.log = folder / f"{name}-{next(NUMBERS)}.log"
        words = ("--name", name) if named else ()
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sensor", "correlate", "-c", str(cluster.config), *words],
                stdout=out, stderr=out, cwd=ROOT,
            )  # fmt: skip

    def says(self, text: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return text in self.log.read_text()

    def follows(self) -> bool:
        """Whether it ever had a partition."""
        return re.search(r"follows partitions \d", self.log.read_text()) is not None

    def end(self, how: int) -> None:
        os.kill(self.process.pid, how)
        self.process.wait(60)


def forwarding(cluster: Cluster, paths: list[Path], pace: str) -> list[subprocess.Popen[bytes]]:
    """``port25 forward`` of what two sensors see."""
    return [
        subprocess.Popen(
            [sys.executable, "-m", "sensor", "forward", "-q", str(path), "--sensor", name,
             "-c", str(cluster.config), "--pace", pace],
            cwd=ROOT,
        )
        for path, name in zip(paths, ("north", "south"), strict=True)
    ]  # fmt: skip


@pytest.mark.slow
def test_one_that_is_killed_is_replaced_by_another(broker, tmp_path):
    cluster = Cluster(broker, tmp_path, "snapshot = 1\npatience = 20.0")
    paths = split(WHOLE, tmp_path, by_direction)
    one = Process(cluster, "one", tmp_path)
    wait_for(lambda: one.says("follows partitions 0"), 60, "the first")
    sensors = forwarding(cluster, paths, "1.5x")
    wait_for(lambda: len(cluster.committed()) >= 2, 120, "alerts of the first")
    one.end(signal.SIGKILL)
    two = Process(cluster, "two", tmp_path)
    want = lines_of_replay()
    for sensor in sensors:
        assert sensor.wait(300) == 0
    wait_for(lambda: len(cluster.committed()) >= len(want), 120, "alerts of the second")
    two.end(signal.SIGTERM)
    assert by_host([r.value for r in cluster.committed()]) == by_host(want)
    assert "followed from where its log begins" not in two.log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("whole machine")
def test_members_are_killed_added_and_removed(broker, tmp_path):
    first, limits = 'replies = "visible"', "[limits]\nmax_hosts = 4096\nmax_connections = 65536\n"
    more = f"partitions = 3\nsnapshot = 2\npatience = 20.0\n{limits}"
    cluster = Cluster(broker, tmp_path, more, first)
    whole = tmp_path / "whole.pcap"
    write(whole, one_after_another(240, 60, 30))
    want = lines_of_replay(whole, "-c", str(cluster.config))
    assert len(want) >= 240
    living = {name: Process(cluster, name, tmp_path) for name in ("one", "two")}
    logs = [one.log for one in living.values()]
    wait_for(lambda: all(one.says("follows partitions") for one in living.values()), 60, "both")
    sensors = forwarding(cluster, split(whole, tmp_path, by_direction), "1x")
    told = 0

    def go_on() -> None:
        """More is told than before, if not all is told already."""
        nonlocal told
        least = min(told + 1, len(want))
        wait_for(lambda: len(cluster.committed()) >= least, 60, "more alerts")
        told = len(cluster.committed())

    for number, name in enumerate(("one", "two", "one", "two", "one")):
        go_on()
        living[name].end(signal.SIGKILL)
        if number == 2:  # its partitions are another's before it comes back
            three = living["three"] = Process(cluster, "three", tmp_path, named=False)
            logs.append(three.log)
            wait_for(three.follows, 60, "three")
        if number == 3:  # one that ends as it should, at the same time
            living.pop("three").end(signal.SIGTERM)
        living[name] = Process(cluster, name, tmp_path)
        logs.append(living[name].log)
    for sensor in sensors:
        assert sensor.wait(300) == 0
    wait_for(lambda: len(cluster.committed()) >= len(want), 120, "the rest")
    for one in living.values():
        one.end(signal.SIGTERM)
    records = [r.value for r in cluster.committed()]
    assert len(records) == len(want)
    assert by_host(records) == by_host(want)
    assert not any("from where its log begins" in log.read_text() for log in logs)


def test_a_state_topic_with_too_few_partitions_is_said(broker, tmp_path):
    cluster = Cluster(broker, tmp_path, "partitions = 2")
    settings = load_settings(str(cluster.config))
    connection = Connection(named(settings.kafka))
    ensure_state_topic(connection, settings, 1)
    with pytest.raises(KafkaError, match="1 partitions; expected 2, as many as segments-"):
        ensure_state_topic(connection, settings, 2)
