"""A process that correlates dies, and another goes on: nothing lost, nothing twice."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from lab.splitting import by_direction, split
from lab.waiting import wait_for
from sensor.cluster.share import Share
from sensor.cluster.snapshots import Writing
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


class Process:
    """``port25 correlate``, as long as it is let live."""

    def __init__(self, cluster: Cluster, name: str, folder: Path) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sensor", "correlate", "-c", str(cluster.config),
                 "--name", name],
                stdout=out, stderr=out, cwd=ROOT,
            )  # fmt: skip

    def says(self, text: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return text in self.log.read_text()

    def end(self, how: int) -> None:
        os.kill(self.process.pid, how)
        self.process.wait(60)


def test_one_that_is_killed_is_replaced_by_another(broker, tmp_path):
    more = f'state_topic = "state-{os.getpid()}"\nsnapshot = 1\npatience = 20.0'
    cluster = Cluster(broker, tmp_path, more)
    paths = split(WHOLE, tmp_path, by_direction)
    one = Process(cluster, "one", tmp_path)
    wait_for(lambda: one.says("follows partitions 0"), 60, "the first")
    sensors = [
        subprocess.Popen(
            [sys.executable, "-m", "sensor", "forward", str(path), "--sensor", name,
             "-c", str(cluster.config), "--pace", "1.5x"],
            cwd=ROOT,
        )
        for path, name in zip(paths, ("north", "south"), strict=True)
    ]  # fmt: skip
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
