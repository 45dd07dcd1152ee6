"""1 to 8 processes that correlate, by 1 to 64 partitions; a part of ``benchmarks.cluster``.

A sensor's batches are made beforehand, with a word of it every half second of packet time. Then who
correlates starts, on topics that are empty; when all have their partitions the batches are sent as
fast as Kafka takes them. It is over when all partitions are committed to their end.

Kafka and who sends are on the same machine, so what processes do together is that of the cores that
are left; what a packet costs them is processor time, which their number may raise.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.processor import used
from lab import ROOT
from lab.broker import Broker
from lab.generate import write
from lab.sessions import generate
from lab.waiting import wait_for
from sensor.capture.merge import Captures
from sensor.cluster.forwarder import Forwarder
from sensor.cluster.topics import ensure_segments_topic, ensure_state_topic
from sensor.decode.decoder import Decoder
from sensor.settings import load_settings
from sensor.sinks.kafka.connection import Connection, named

SETTINGS = """
replies = "visible"
[kafka]
bootstrap = ["{bootstrap}"]
alerts_topic = "alerts-{run}"
health_topic = "health-{run}"
[cluster]
segments_topic = "segments-{run}"
state_topic = "state-{run}"
group = "group-{run}"
partitions = {partitions}
patience = 0.5
[limits]
max_hosts = 65536
max_connections = 131072
"""
PROCESSES = (1, 2, 4, 8)
PARTITIONS = (1, 8, 64)
WORD = 500_000_000
"""Nanoseconds of packet time between words on how far the sensor is."""
CAPTURE = 30_000_000_000
"""Nanoseconds of packet time until the same sessions begin again."""


class Sent(NamedTuple):
    """What a sensor sends for so many partitions."""

    messages: list[tuple[int, int, bytes]]
    """when, in milliseconds; partition, message"""
    packets: int


class Run(NamedTuple):
    """What so many processes did."""

    seconds: float
    processor: float
    """seconds of it, all of them together"""


def sent(capture: Path, partitions: int, times: int) -> Sent:
    """The sessions of a capture so many times, one after the other."""
    clock = 0
    messages: list[tuple[int, int, bytes]] = []
    with tempfile.NamedTemporaryFile(suffix=".toml", mode="w") as file:
        file.write(SETTINGS.format(bootstrap="127.0.0.1:9", run="x", partitions=partitions))
        file.flush()
        settings = load_settings(file.name)
    decoder = Decoder(settings.ports, settings.duplicate_window, True)

    def send(partition: int, message: bytes) -> None:
        messages.append((clock, partition, message))

    forwarder = Forwarder(settings, "bench", partitions, send, live=True)
    told, packets = 0, 0
    for turn in range(times):
        for block in Captures([str(capture)]):
            block.frames["ts"] += turn * CAPTURE
            newest = int(block.frames["ts"].max())
            forwarder.add(decoder.decode(block), block.data, newest, "")
            packets += len(block.frames)
            if newest - told > WORD:
                told = newest
                clock += 500
                forwarder.flush()
    forwarder.end()
    return Sent(messages, packets)


def run(broker: Broker, folder: Path, given: Sent, processes: int, partitions: int) -> Run:
    """So many processes follow it all."""
    name = f"{processes}-{partitions}"
    config = folder / f"{name}.toml"
    config.write_text(SETTINGS.format(bootstrap=broker.bootstrap, run=name, partitions=partitions))
    settings = load_settings(str(config))
    connection = Connection(named(settings.kafka))
    ensure_state_topic(connection, settings, ensure_segments_topic(connection, settings))
    members, logs = [], []
    for number in range(processes):
        logs.append(folder / f"{name}.{number}.log")
        with logs[-1].open("wb") as out:
            command = [sys.executable, "-m", "sensor", "correlate", "-c", str(config)]
            members.append(subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT))
    try:
        wait_for(lambda: sorted(following(logs)) == list(range(partitions)), 120, "partitions")
        return followed(broker, f"group-{name}", given, members, partitions, f"segments-{name}")
    finally:
        for member in members:
            member.kill()
            member.wait()


def following(logs: list[Path]) -> Iterator[int]:
    """Numbers of the partitions that processes have, by their last word; none if one has none."""
    for log in logs:
        _, said, last = log.read_text().rpartition("follows partitions ")
        words = last.partition("\n")[0]
        if not said or words == "none yet":
            return
        yield from map(int, words.split(","))


def followed(
    broker: Broker,
    group: str,
    given: Sent,
    members: list[subprocess.Popen[bytes]],
    partitions: int,
    topic: str,
) -> Run:
    """Send it, and wait until all is committed."""
    parts = [TopicPartition(topic, number) for number in range(partitions)]
    asked = KafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=group)
    asked.assign(parts)
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all", batch_size=1 << 20)
    pids = [member.pid for member in members]
    before, began = used(pids), time.monotonic()
    base = time.time_ns() // 1_000_000
    for clock, partition, message in given.messages:
        producer.send(topic, message, b"bench", partition=partition, timestamp_ms=base + clock)
    producer.flush()
    ends = asked.end_offsets(parts)

    def done() -> bool:
        assert all(member.poll() is None for member in members)
        return all((asked.committed(part) or 0) >= end for part, end in ends.items() if end)

    wait_for(done, 120, f"{group} at the end")
    took = Run(time.monotonic() - began, used(pids) - before)
    producer.close()
    asked.close()
    return took


def scale(
    sessions: int, times: int, processes: tuple[int, ...], partitions: tuple[int, ...]
) -> None:
    """Print the tables."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        capture = folder / "sessions.pcap"
        write(capture, generate(sessions)[0])
        broker = Broker(folder / "kafka").start()
        try:
            rows = [
                (count, members, given, run(broker, folder, given, members, count))
                for count in partitions
                for given in (sent(capture, count, times),)
                for members in itertools.takewhile(lambda n, most=count: n <= most, processes)
            ]
        finally:
            broker.kill()
    print(
        f"\n{rows[0][2].packets:,} packets, followed with Kafka and who sends on {cores} cores:\n"
    )
    print("| partitions x processes | messages | packets/s together | packets/s, one core |")
    print("| --- | ---: | ---: | ---: |")
    for count, members, given, took in rows:
        together, each = given.packets / took.seconds, given.packets / took.processor
        sizes = f"{count} x {members} | {len(given.messages):,}"
        print(f"| {sizes} | {together:,.0f} | {each:,.0f} |")
