"""``port25 live --forward`` in a laboratory, with a Kafka that goes away and comes back."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import ROOT, mail_servers
from lab.broker import BOOTSTRAP_IN, run_in
from lab.network import Laboratory
from lab.sensing import Sensor
from lab.waiting import wait_for
from tests.conftest import needs, port25

SETTINGS = f"""
[kafka]
bootstrap = ["{BOOTSTRAP_IN}"]
sensor = "north"
health_interval = 1
[cluster]
spool_megabytes = 64
[live]
ring = 2
"""
READ = f"""
from kafka import KafkaConsumer, TopicPartition
import sys, time
topic = sys.argv[1]
consumer = KafkaConsumer(bootstrap_servers="{BOOTSTRAP_IN}", isolation_level="read_committed")
parts = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
consumer.assign(parts)
ends = consumer.end_offsets(parts)
consumer.seek_to_beginning(*parts)
until = time.monotonic() + 300
while any(consumer.position(part) < end for part, end in ends.items()):
    assert time.monotonic() < until, topic
    for records in consumer.poll(500).values():
        for record in records:
            print(record.value.decode())
"""


class Border:
    """A sensor that forwards, a bot that it sees, and Kafka beside it."""

    def __init__(self, lab: Laboratory, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.broker: subprocess.Popen[bytes] | None = None
        self.sensor = Sensor(lab, folder / "sensor", SETTINGS, "--forward", "--json")
        self.recorded: list[Path] = []

    def begin(self) -> None:
        """The sensor, from now on, and a file of all that it captures."""
        self.recorded.append(self.folder / f"recorded-{len(self.recorded)}.pcapng")
        self.sensor.words = ("--forward", "--json", "-w", str(self.recorded[-1]))
        self.sensor.start()

    def start_broker(self) -> None:
        self.broker = run_in(self.lab, self.lab.watch, self.folder)

    def kill_broker(self) -> None:
        assert self.broker is not None
        os.killpg(self.broker.pid, signal.SIGKILL)
        self.broker.wait()

    def count(self, name: str) -> float:
        return self.sensor.metrics()[f"port25_{name}"]

    def grows(self, name: str, by: float, seconds: float = 30) -> None:
        least = self.count(name) + by
        wait_for(lambda: self.count(name) >= least, seconds, f"{name} to be {least}")

    def on_topic(self, topic: str) -> list[dict]:
        done = self.lab.run(self.lab.watch, sys.executable, "-c", READ, topic, cwd=ROOT)
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(800)
@pytest.mark.xdist_group("whole machine")
def test_brokers_go_away_and_come_back_and_nothing_is_lost(folder):
    needs("java", "mvn", "ip", "ethtool", "nft", "tcpdump", "postfix", root=True)
    with Laboratory() as lab:
        border = Border(lab, folder)
        border.start_broker()
        mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
        words = (sys.executable, "-m", "lab.subscribers", "bot", "1000000", "4", "203.0.113.1")
        lab.start(lab.inside, *words, log=folder / "bot", cwd=ROOT)
        border.begin()
        border.grows("segments_forwarded_total", 50)
        border.grows("batches_acknowledged_total", 4)
        # Away for a while, and back: what was on disk goes out in order.
        border.kill_broker()
        wait_for(lambda: border.count("forwarding_away") == 1, 60, "the sensor to notice")
        border.grows("segments_forwarded_total", 50, 60)
        border.grows("spool_batches", 2, 60)
        border.start_broker()
        wait_for(lambda: border.count("spool_batches") == 0, 60, "the spool to drain")
        assert border.count("forwarding_away") == 0
        border.grows("batches_acknowledged_total", 4)
        # Away again, and meanwhile the sensor is stopped and started.
        border.kill_broker()
        wait_for(lambda: border.count("forwarding_away") == 1, 60, "the sensor to notice again")
        border.grows("segments_forwarded_total", 50, 60)
        assert border.sensor.stop() == 0
        assert any("for the next start" in text for text in border.sensor.notices("cluster"))
        border.begin()
        border.grows("segments_forwarded_total", 50)
        border.start_broker()
        wait_for(lambda: border.count("spool_batches") == 0, 60, "the spool to drain again")
        border.grows("batches_acknowledged_total", 4)
        for name in ("spool_batches_dropped", "spool_records_damaged"):
            assert border.count(f"{name}_total") == 0
        assert border.sensor.stop() == 0
        said = " ".join(border.sensor.notices("cluster"))
        assert "go to disk" in said
        assert "takes segments again" in said

        correlate = (sys.executable, "-m", "sensor", "correlate", "-c", str(border.sensor.config))
        done = lab.run(lab.watch, *correlate, "--until-idle", "2", cwd=ROOT)
        for counter in ("batches_missing", "segments_late", "batches_unreadable"):
            assert counter not in done.stderr, done.stderr
        found = border.on_topic("port25.alerts")
        health = border.on_topic("port25.sensor-health")
    replay = ("replay", "-q", "--json", *map(str, border.recorded))
    want = [json.loads(line) for line in port25(*replay, check=True).stdout.splitlines()]
    assert want
    assert all(alert.pop("sensor") == "north" for alert in found)
    assert found == want
    words = [one["counters"]["cluster"] for one in health if "counters" in one]
    counted = [one for one in words if "segments_forwarded" in one]  # correlators count others
    assert counted[-1]["segments_forwarded"] > 50
