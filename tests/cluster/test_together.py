"""What only all sensors together show, on a real Kafka; and what nobody finds there."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lab import together
from lab.splitting import split
from lab.storm import storm, write
from tests.cluster.test_kafka import Cluster, by_host, replayed
from tests.conftest import ROOT

SENSORS = 8
ZSTD = b"\x28\xb5\x2f\xfd"


def one_of_eight(segment: np.void | None, frame: int) -> tuple[int, ...]:
    """Each connection passes one of eight borders, by turns."""
    assert segment is not None
    out = segment["dport"] == 25
    return (int(segment["sport" if out else "dport"]) % SENSORS,)


def forward_all(cluster: Cluster, paths: list[Path]) -> None:
    """All sensors at once, each to its end."""
    sensors = [
        subprocess.Popen(
            [sys.executable, "-m", "sensor", "forward", "-q", str(path), "--sensor", f"s{n}",
             "-c", str(cluster.config)],
            cwd=ROOT,
        )
        for n, path in enumerate(paths)
    ]  # fmt: skip
    assert [sensor.wait(300) for sensor in sensors] == [0] * len(paths)


@pytest.mark.timeout(300)
def test_a_bot_of_one_syn_a_second_over_eight_sensors_is_found_as_by_one(broker, tmp_path):
    cluster, whole = Cluster(broker, tmp_path), tmp_path / "whole.pcap"
    write(whole, storm(1, 40, 40))  # and each is refused
    paths = split(whole, tmp_path, one_of_eight)
    assert len(paths) == SENSORS
    want = replayed(whole)
    assert any(json.loads(line)["state"] == "raised" for line in want)
    for path in paths:
        assert replayed(path) == []
    forward_all(cluster, paths)
    cluster.correlate()
    records = cluster.committed()
    assert by_host([record.value for record in records]) == by_host(want)
    assert json.loads(records[-1].value)["sensor"] == ",".join(f"s{n}" for n in range(SENSORS))


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("whole machine")
def test_traffic_of_the_laboratory_gives_the_alerts_of_a_replay_however_it_is_split(
    broker, tmp_path, capsys
):
    """In small; ``python -m lab.together`` is of a million packets."""
    whole = tmp_path / "traffic.pcap"
    assert together.capture(whole, 20_000) > 50_000
    assert together.run(whole, tmp_path, broker) == 0, capsys.readouterr().out
    assert "replay: 0 alerts" not in capsys.readouterr().out
