"""Apache Kafka itself: one broker of our own on loopback, and a look at what it holds."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from lab import ROOT
from lab.network import Laboratory
from lab.waiting import wait_for

__all__ = ["Broker", "by_id", "free_ports", "run_in", "start_in"]

BOOTSTRAP_IN = "127.0.0.1:9092"
"""Of a broker in a namespace."""
SCRIPT = str(ROOT / "deploy" / "kafka" / "broker")


def free_ports() -> int:
    """The first of three ports in a row that are free."""
    for base in range(20_000 + os.getpid() % 1000 * 20, 60_000, 3):
        try:
            for port in range(base, base + 3):
                with socket.socket() as sock:
                    sock.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


class Broker:
    """The process, started and killed at will; what it was told stays in its folder."""

    def __init__(self, folder: Path, properties: str = "", words: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.port = free_ports()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.properties = properties.replace("SASL_PORT", str(self.port + 2))
        self.words = words
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder.with_suffix(".log")

    def start(self) -> "Broker":
        more = self.folder.with_suffix(".properties")
        more.write_text(self.properties)
        command = [SCRIPT, str(self.folder), str(self.port), str(more), *self.words]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        wait_for(self._answers, 240, f"Kafka: {self.log}")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                pass
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        except Exception:  # not yet
            return False
        admin.close()
        return True

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    # --- what it holds ----------------------------------------------------------------------------

    def create(self, topic: str, **configs: str) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        named = {name.replace("_", "."): value for name, value in configs.items()}
        admin.create_topics([NewTopic(topic, 3, 1, topic_configs=named)])
        admin.close()

    def leaders(self, topic: str) -> set[int]:
        """Of all partitions of a topic."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        (found,) = admin.describe_topics([topic])
        admin.close()
        return {part["leader_id"] for part in found["partitions"]}

    def read(self, topic: str, isolation: str = "read_uncommitted") -> list[Any]:
        """All records of a topic, partition by partition; none where there is no such topic."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, isolation_level=isolation
        )
        parts = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts)
        if parts:
            consumer.seek_to_beginning(*parts)
        found = []
        until = time.monotonic() + 300
        while any(consumer.position(tp) < end for tp, end in ends.items()):
            assert time.monotonic() < until, topic
            for records in consumer.poll(timeout_ms=500).values():
                found += records
        consumer.close()
        return sorted(found, key=lambda record: (record.partition, record.offset))


def start_in(lab: Laboratory, where: str, folder: Path) -> str:
    """A broker inside a laboratory, for those in the same namespace; where it answers."""
    run_in(lab, where, folder)
    return BOOTSTRAP_IN


def run_in(lab: Laboratory, where: str, folder: Path) -> subprocess.Popen[bytes]:
    """The same, which goes on from what is in ``folder``; its process group."""
    process = lab.start(where, SCRIPT, str(folder / "kafka"), log=folder / "kafka.log")
    asked = (
        f"from kafka import KafkaAdminClient as A; A(bootstrap_servers='{BOOTSTRAP_IN}').close()"
    )

    def answers() -> bool:
        done = lab.run(where, sys.executable, "-c", asked, check=False)
        return done.returncode == 0

    wait_for(answers, 240, f"Kafka: {folder / 'kafka.log'}")
    return process


def by_id(records: list[Any]) -> dict[tuple[str, int], Any]:
    """What a consumer keeps: the first of each id and revision."""
    found: dict[tuple[str, int], Any] = {}
    for record in records:
        headers = {name: value.decode() for name, value in record.headers}
        found.setdefault((headers["id"], int(headers["revision"])), record)
    return found
