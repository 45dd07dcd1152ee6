"""Sensors, Kafka and who correlates, as processes: what others find on the topic of alerts."""

import json
import uuid
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from scapy.utils import rdpcap, wrpcap

from lab.splitting import by_direction, doubled, split
from sensor.cluster.sending import Sender
from sensor.settings import load_settings
from sensor.sinks.kafka.connection import Connection, named
from tests.conftest import PCAPS, port25

WHOLE = PCAPS / "fast_bot.pcap"


class Cluster:
    """Topics and a group of its own on a broker."""

    def __init__(self, broker, folder: Path, more: str = "", first: str = "") -> None:
        """``more`` settings of [cluster] and of sections behind it; ``first``, of none."""
        run = uuid.uuid4().hex[:8]
        self.broker, self.run = broker, run
        self.alerts = f"alerts-{run}"
        self.config = folder / "cluster.toml"
        self.config.write_text(
            f'{first}\n[kafka]\nbootstrap = ["{broker.bootstrap}"]\n'
            f'alerts_topic = "{self.alerts}"\n'
            f'blocklist_topic = "blocklist-{run}"\nhealth_topic = "health-{run}"\n'
            f'desk_topic = "desk-{run}"\n'
            f'[cluster]\nsegments_topic = "segments-{run}"\nstate_topic = "state-{run}"\n'
            f'group = "group-{run}"\n{more}\n'
        )

    def forward(self, capture: Path, sensor: str):
        done = port25("forward", str(capture), "--sensor", sensor, "-c", str(self.config))
        assert done.returncode == 0, done.stderr
        return done

    def correlate(self, *words: str):
        done = port25("correlate", "-c", str(self.config), "--until-idle", "2", *words, timeout=300)
        assert done.returncode == 0, done.stderr
        return done

    def committed(self) -> list:
        """The alerts, as who reads committed messages only finds them, partition by partition."""
        return self.broker.read(self.alerts, "read_committed")


def without_sensors(line: bytes) -> bytes:
    told = json.loads(line)
    told.pop("sensor", None)
    return json.dumps(told).encode()


def by_host(lines: list[bytes]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for line in lines:
        found.setdefault(json.loads(line)["host"], []).append(without_sensors(line))
    return found


def replayed(capture: Path = WHOLE, *words: str) -> list[bytes]:
    return port25("replay", "-q", "--json", str(capture), *words).stdout.splitlines()


def test_two_directions_give_the_alerts_of_a_replay(broker, tmp_path):
    cluster = Cluster(broker, tmp_path)
    for path, name in zip(split(WHOLE, tmp_path, by_direction), ("north", "south"), strict=True):
        cluster.forward(path, name)
    cluster.correlate()
    records = cluster.committed()
    assert by_host([r.value for r in records]) == by_host(replayed())
    for record in records:
        told = json.loads(record.value)
        headers = {name: value.decode() for name, value in record.headers}
        assert told["sensor"] == headers["sensor"] == "north,south"
        assert headers["id"] == told["id"]
        assert record.key.decode() == told["host"]


def test_who_correlates_again_tells_nothing_twice(broker, tmp_path):
    cluster = Cluster(broker, tmp_path)
    for path, name in zip(split(WHOLE, tmp_path, doubled), ("north", "south"), strict=True):
        cluster.forward(path, name)
    cluster.correlate()
    first = [r.value for r in cluster.committed()]
    again = cluster.correlate()
    assert b"segments_copied" in again.stderr
    assert [r.value for r in cluster.committed()] == first
    assert by_host(first) == by_host(replayed())


def test_shares_of_several_partitions_go_to_any_number(broker, tmp_path):
    cluster = Cluster(broker, tmp_path, "partitions = 4")
    demo = PCAPS / "demo.pcap"
    for path, name in zip(split(demo, tmp_path, by_direction), ("north", "south"), strict=True):
        cluster.forward(path, name)
    cluster.correlate()
    hosts = by_host([r.value for r in cluster.committed()])
    assert hosts.keys() == by_host(replayed(demo)).keys()


def test_without_brokers_it_says_what_is_missing(tmp_path):
    for verb in (["forward", str(WHOLE)], ["correlate"]):
        done = port25(*verb)
        assert done.returncode == 2
        assert b"kafka.bootstrap" in done.stderr


def test_a_sensor_needs_a_name_that_can_be_one(tmp_path):
    done = port25("forward", str(WHOLE), "--sensor", "../x")
    assert done.returncode == 2
    assert b"--sensor" in done.stderr


def deleted_from(broker, topic: str) -> None:
    """All that a topic has had, as its brokers delete it after a day."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap)
    parts = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
    admin.delete_records(consumer.end_offsets(parts))
    consumer.close()
    admin.close()


def test_alerts_of_a_log_whose_beginning_is_gone_are_told(broker, tmp_path):
    """A capture a day: what was told the day before says nothing of how many are left out."""
    cluster = Cluster(broker, tmp_path)
    cluster.forward(WHOLE, "north")
    cluster.correlate()
    first = [r.value for r in cluster.committed()]
    deleted_from(broker, f"segments-{cluster.run}")
    other = PCAPS / "slow_bot.pcap"
    cluster.forward(other, "north")
    cluster.correlate()
    rest = [r.value for r in cluster.committed() if r.value not in first]
    assert by_host(rest) == by_host(replayed(other))
    cluster.correlate()
    assert len(cluster.committed()) == len(first) + len(rest)
    # Another day, and nothing is deleted: what was told since is told once.
    later = rdpcap(str(PCAPS / "worm.pcap"))
    for packet in later:
        packet.time += 2 * 86_400
    wrpcap(str(tmp_path / "later.pcap"), later)
    cluster.forward(tmp_path / "later.pcap", "north")
    cluster.correlate()
    alerts = [json.loads(r.value) for r in cluster.committed()]
    told = [(one["id"], one["revision"]) for one in alerts]
    assert len(told) == len(set(told))
    assert {json.loads(line)["host"] for line in replayed(PCAPS / "worm.pcap")} <= {
        one["host"] for one in alerts
    }


def test_messages_that_are_no_batches_are_said_once_and_hinder_nothing(broker, tmp_path):
    cluster = Cluster(broker, tmp_path)
    topic = f"segments-{cluster.run}"
    broker.create(topic, message_timestamp_type="LogAppendTime")
    broker.create(f"state-{cluster.run}", cleanup_policy="compact")
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    for value in (b"", b"{}\n", b"\xff" * 100, b"[" * 4000 + b"\n", b"x" * 900_000):
        producer.send(topic, value, partition=0)
    producer.close()
    cluster.forward(WHOLE, "north")
    said = cluster.correlate().stderr.decode()
    assert said.count("batches_unreadable: something was left out: BatchError") == 1
    assert "batches_unreadable 5" in said
    assert len(cluster.committed()) == len(replayed())


def test_a_partition_that_is_no_more_is_an_error_of_kafka(broker, tmp_path):
    cluster = Cluster(broker, tmp_path)
    topic = f"segments-{cluster.run}"
    broker.create(topic)
    settings = load_settings(str(cluster.config))
    sender = Sender(Connection(named(settings.kafka)), topic, "north")
    try:
        sender.send(0, b"one that is there")
        sender.flush()
        with pytest.raises(KafkaError, match="Unrecognized partition 7"):
            sender.send(7, b"of a topic that had more")
    finally:
        sender.close()
