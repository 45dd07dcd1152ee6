"""A process that correlates dies, and another goes on: nothing lost, nothing twice."""

import argparse
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from lab.broker import Broker
from lab.splitting import by_direction, split
from lab.storm import one_after_another, write
from lab.waiting import wait_for
from sensor.cluster import snapshots
from sensor.cluster.correlator import Correlator
from sensor.cluster.fencing import end_transaction, transactional_id
from sensor.cluster.share import Share
from sensor.cluster.snapshots import Writing
from sensor.cluster.standing import NAME
from sensor.cluster.topics import ensure_segments_topic, ensure_state_topic
from sensor.commands import correlate
from sensor.settings import Settings, load_settings
from sensor.sinks.kafka.connection import Connection, named
from sensor.sinks.kafka.heart import Heart
from sensor.sinks.kafka.topics import ensure_topics
from sensor.state.snapshot import read
from tests.cluster.test_equal import forwarded, replayed, settings_of
from tests.cluster.test_kafka import WHOLE, Cluster, by_host
from tests.cluster.test_kafka import replayed as lines_of_replay
from tests.conftest import PCAPS, ROOT, needs


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


@pytest.mark.timeout(60)
def test_a_snapshot_whose_child_hangs_is_not_waited_for(monkeypatch):
    def hangs(*_: object) -> int:
        if pid := os.fork():
            return pid
        time.sleep(600)
        os._exit(0)

    monkeypatch.setattr(snapshots, "fork_and_write", hangs)
    monkeypatch.setattr(snapshots, "_LONGEST", 0.2)
    share = Share(settings_of("demo"))
    Writing(share, 17).abandon()
    writing = Writing(share, 17)
    found: list[bytes] = []
    wait_for(lambda: (done := writing.done()) is not None and not found.append(done), 2, "its end")
    assert found == [b""]


keep: list[bytes] = []
NUMBERS = itertools.count()


class Process:
    """``port25 correlate``, as long as it is let live."""

    def __init__(
        self, cluster: Cluster, name: str, folder: Path, named: bool = True, *more: str, **env: str
    ) -> None:
        self.name = name
        self.log = folder / f"{name}-{next(NUMBERS)}.log"
        words = (*(("--name", name) if named else ()), *more)
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sensor", "correlate", "-c", str(cluster.config), *words],
                stdout=out, stderr=out, cwd=ROOT, env=os.environ | env,
            )  # fmt: skip

    def says(self, text: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return text in self.log.read_text()

    def follows(self) -> bool:
        """Whether it ever had a partition."""
        return re.search(r"follows partitions \d", self.log.read_text()) is not None

    def end(self, how: int) -> None:
        os.kill(self.process.pid, how)
        self.process.wait(300)


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


@pytest.mark.timeout(60)
def test_one_that_is_told_to_end_ends_though_the_brokers_fail_while_it_leaves(monkeypatch):
    end = correlate._End()

    def follow(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            raise KafkaTimeoutError("while it leaves")

    monkeypatch.setattr(correlate, "_follow", follow)
    before = signal.signal(signal.SIGTERM, end)
    try:
        nothing = Settings(), Connection(Settings().kafka), argparse.Namespace(), {}
        assert correlate._run(*nothing, end) == 0
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_brokers_that_fall_silent_are_not_waited_for(tmp_path):
    needs("java", "mvn")
    broker = Broker(tmp_path / "kafka").start()
    cluster = Cluster(broker, tmp_path)
    one = Process(cluster, "one", tmp_path)
    wait_for(lambda: one.says("follows partitions 0"), 60, "a partition")
    try:
        broker.signal(signal.SIGSTOP)
        wait_for(lambda: one.says("begins anew"), 60, "patience to end")
        broker.signal(signal.SIGCONT)
        cluster.forward(WHOLE, "north")
        want = lines_of_replay()
        wait_for(lambda: len(cluster.committed()) >= len(want), 120, "alerts")
        assert by_host([r.value for r in cluster.committed()]) == by_host(want)
        one.end(signal.SIGTERM)
    finally:
        one.process.kill()
        broker.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_brokers_that_fall_silent_while_partitions_are_taken_over_are_not_waited_for(
    tmp_path, monkeypatch
):
    needs("java", "mvn")
    broker = Broker(tmp_path / "kafka").start()
    settings = load_settings(str(Cluster(broker, tmp_path).config))
    connection = Connection(named(settings.kafka))
    ensure_state_topic(connection, settings, ensure_segments_topic(connection, settings))
    ensure_topics(connection)
    one = Correlator(connection, settings, print)
    try:
        wait_for(lambda: one.turn() or one.partitions, 60, "a partition")
        monkeypatch.setattr("sensor.cluster.correlator._ANSWER", 2_000)
        broker.signal(signal.SIGSTOP)
        again = [TopicPartition(settings.cluster.segments_topic, 0)]
        one.lose(again)
        one.arrive(again)
        with pytest.raises(KafkaTimeoutError):
            one.take_over()
    finally:
        broker.signal(signal.SIGCONT)
        one.close()
        broker.kill()


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
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk")
def test_a_full_disk_costs_snapshots_and_is_said(broker, tmp_path):
    cluster = Cluster(broker, tmp_path, "snapshot = 1\npatience = 20.0")
    paths = split(WHOLE, tmp_path, by_direction)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)], check=True)
    try:
        one = Process(cluster, "one", tmp_path, TMPDIR=str(disk))
        wait_for(lambda: one.says("follows partitions 0"), 60, "the first")
        sensors = forwarding(cluster, paths, "1.5x")
        wait_for(lambda: len(cluster.committed()) >= 1, 120, "alerts of the first")
        wait_for(lambda: broker.read(f"state-{cluster.run}"), 60, "a snapshot")
        with contextlib.suppress(OSError), (disk / "full").open("wb", buffering=0) as full:
            while True:
                full.write(bytes(4096))
        wait_for(lambda: one.says("no snapshot could be written"), 60, "word of it")
        one.end(signal.SIGKILL)
        two = Process(cluster, "two", tmp_path, TMPDIR=str(disk))
        for sensor in sensors:
            assert sensor.wait(300) == 0
        want = lines_of_replay()
        wait_for(lambda: len(cluster.committed()) >= len(want), 120, "alerts of the second")
        two.end(signal.SIGTERM)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert by_host([r.value for r in cluster.committed()]) == by_host(want)
    for said in ("followed from where its log begins", "begins anew"):
        assert said not in one.log.read_text() + two.log.read_text()


PACE = 5
"""So many times as fast as it was."""
AWAY = 60.0
"""Seconds of packet time from which nothing of one sensor comes."""


class Members:
    """Those who correlate, by name; what they have told only grows."""

    def __init__(self, cluster: Cluster, folder: Path, most: int) -> None:
        self.cluster, self.folder, self.most = cluster, folder, most
        self.living: dict[str, Process] = {}
        self.logs: list[Path] = []
        self.told = 0

    def add(self, name: str, named: bool = True) -> Process:
        """Another, or one that was here before."""
        one = self.living[name] = Process(self.cluster, name, self.folder, named)
        self.logs.append(one.log)
        return one

    def kill(self, name: str) -> None:
        """It dies, and comes back."""
        self.living[name].end(signal.SIGKILL)
        self.add(name)

    def go_on(self) -> None:
        """More is told than before, if not all is told already."""
        least = min(self.told + 1, self.most)
        wait_for(lambda: len(self.cluster.committed()) >= least, 60, "more alerts")
        self.told = len(self.cluster.committed())


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("whole machine")
def test_members_die_come_and_go_the_broker_restarts_and_a_sensor_is_away(tmp_path):
    needs("java", "mvn")
    broker = Broker(tmp_path / "kafka").start()
    first, limits = 'replies = "visible"', "[limits]\nmax_hosts = 4096\nmax_connections = 65536\n"
    more = f"partitions = 3\nsnapshot = 2\npatience = 20.0\n{limits}"
    cluster = Cluster(broker, tmp_path, more, first)
    whole = tmp_path / "whole.pcap"
    write(whole, one_after_another(240, 400, 30))
    want = lines_of_replay(whole, "-c", str(cluster.config))
    assert len(want) >= 240
    members = Members(cluster, tmp_path, len(want))
    both = [members.add("one"), members.add("two")]
    wait_for(lambda: all(one.says("follows partitions") for one in both), 60, "both")
    sensors = forwarding(cluster, split(whole, tmp_path, by_direction), f"{PACE}x")
    try:
        members.go_on()
        assert [sensor.poll() for sensor in sensors] == [None, None]
        sensors[1].send_signal(signal.SIGSTOP)
        gone = time.monotonic()
        members.kill("one")
        members.kill("two")
        time.sleep(max(0.0, gone + AWAY / PACE - time.monotonic()))
        sensors[1].send_signal(signal.SIGCONT)
        members.go_on()
        members.kill("one")
        broker.kill()
        broker.start()
        members.go_on()
        members.living["two"].end(signal.SIGKILL)  # its partitions are another's, then it is back
        three = members.add("three", named=False)
        wait_for(three.follows, 60, "three")
        members.add("two")
        members.go_on()
        members.living.pop("three").end(signal.SIGTERM)  # as it should, while another dies
        members.kill("one")
        assert [sensor.wait(300) for sensor in sensors] == [0, 0]
        wait_for(lambda: len(cluster.committed()) >= len(want), 120, "the rest")
        for one in members.living.values():
            one.end(signal.SIGTERM)
        records = [r.value for r in cluster.committed()]
    finally:
        for process in (*sensors, *(one.process for one in members.living.values())):
            process.kill()
        broker.kill()
    assert len(records) == len(want)
    assert by_host(records) == by_host(want)  # of each host in order
    said = "".join(log.read_text() for log in members.logs)
    assert "begins anew from what was committed" in said  # the broker was away
    assert "left behind" not in said
    assert "from where its log begins" not in said


@pytest.mark.slow
def test_who_waits_for_all_there_is_and_is_killed_tells_nothing_twice(broker, tmp_path):
    """More waits than there is room for: some of it is told before the end."""
    limits = "[limits]\nmax_hosts = 4096\nmax_connections = 65536\n"
    cluster = Cluster(broker, tmp_path, f"held_megabytes = 1\n{limits}", 'replies = "visible"')
    whole = tmp_path / "whole.pcap"
    write(whole, one_after_another(240, 400, 60))
    want = lines_of_replay(whole, "-c", str(cluster.config))
    cluster.forward(whole, "north")
    for _ in range(2):
        one = Process(cluster, "one", tmp_path, True, "--until-idle", "600")
        wait_for(cluster.committed, 60, "alerts before the end")
        time.sleep(1)
        one.end(signal.SIGKILL)
        assert 0 < len(cluster.committed()) < len(want)
    cluster.correlate("--name", "one")
    assert by_host([r.value for r in cluster.committed()]) == by_host(want)


@pytest.mark.slow
def test_who_waits_for_all_there_is_ends_where_others_have_all_partitions(broker, tmp_path):
    cluster = Cluster(broker, tmp_path)
    one = Process(cluster, "one", tmp_path)
    wait_for(one.follows, 60, "the one that has all")
    two = Process(cluster, "two", tmp_path, True, "--until-idle", "2")
    try:
        assert two.process.wait(300) == 0
        one.says("")  # it runs
    finally:
        one.end(signal.SIGTERM)
        two.process.kill()


def test_a_state_topic_with_too_few_partitions_that_must_not_be_given_more_is_said(
    broker, tmp_path
):
    cluster = Cluster(broker, tmp_path, "partitions = 2")
    made = load_settings(str(cluster.config))
    settings = msgspec.structs.replace(
        made, kafka=msgspec.structs.replace(made.kafka, create_topics=False)
    )
    connection = Connection(named(settings.kafka))
    ensure_state_topic(connection, made, 1)
    with pytest.raises(KafkaError, match="1 partitions; expected 2, as many as segments-"):
        ensure_state_topic(connection, settings, 2)


@pytest.mark.slow
def test_segments_that_are_given_more_partitions_have_a_place_for_the_state_of_each(
    broker, tmp_path
):
    cluster = Cluster(broker, tmp_path, "snapshot = 1\npatience = 2.0")
    one = Process(cluster, "one", tmp_path)
    wait_for(lambda: one.says("follows partitions 0"), 60, "the first")
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_partitions({f"segments-{cluster.run}": 3})
    admin.close()
    wait_for(lambda: one.says("follows partitions 0, 1, 2"), 60, "three")
    cluster.forward(WHOLE, "north")
    want = lines_of_replay()

    def kept() -> bool:
        one.says("")  # it runs
        return {record.partition for record in broker.read(f"state-{cluster.run}")} == {0, 1, 2}

    wait_for(kept, 60, "a snapshot of each")
    wait_for(lambda: len(cluster.committed()) >= len(want), 120, "alerts")
    assert by_host([r.value for r in cluster.committed()]) == by_host(want)
    one.end(signal.SIGTERM)


def joined(settings: Settings, connection: Connection, name: str) -> KafkaConsumer:
    """A member of the group that has partitions; one without a heartbeat begins anew."""
    topic, group = settings.cluster.segments_topic, settings.cluster.group
    until = time.monotonic() + 300
    while True:
        member = KafkaConsumer(topic, **connection.arguments, client_id=name, group_id=group)
        heart = Heart(member)
        try:
            while not member.assignment():
                member.poll(100)
                heart.check(20)
                assert time.monotonic() < until, "a member was given no partition"
        except KafkaTimeoutError:
            member.close()
        else:
            return member


@pytest.mark.parametrize("alive", [False, True], ids=["dead", "alive"])
def test_what_one_that_died_had_begun_to_tell_is_ended_at_once(broker, tmp_path, alive):
    cluster = Cluster(broker, tmp_path)
    settings = load_settings(str(cluster.config))
    connection = Connection(named(settings.kafka))
    ensure_segments_topic(connection, settings)
    ensure_topics(connection)
    minutes = {"transaction_timeout_ms": 600_000}
    other = KafkaProducer(
        **connection.arguments, transactional_id=transactional_id(settings, "other"), **minutes
    )
    other.init_transactions()
    other.begin_transaction()
    other.send(cluster.alerts, b"half of it", partition=0).get(60)
    member = joined(settings, connection, NAME + ("other" if alive else "third"))
    said = []
    assert end_transaction(connection, settings, "other", said.append) is not alive
    assert said == []
    reader = KafkaConsumer(**connection.arguments, isolation_level="read_committed")
    part = TopicPartition(cluster.alerts, 0)

    def open_no_more() -> bool:
        return reader.end_offsets([part])[part] == 2  # the message, and that it counts, or not

    if alive:
        assert not open_no_more()
        other.commit_transaction()
        wait_for(open_no_more, 20, "the end of it")
    else:
        wait_for(open_no_more, 20, "the end of it")
        with pytest.raises(KafkaError):
            other.commit_transaction()
    assert len(cluster.committed()) == alive
    for one in (member, reader, other):
        one.close()


@pytest.mark.slow
def test_a_topic_of_segments_that_is_made_again_is_followed_from_its_beginning(broker, tmp_path):
    cluster = Cluster(broker, tmp_path, "snapshot = 1")
    topic, other = f"segments-{cluster.run}", PCAPS / "slow_bot.pcap"
    one = Process(cluster, "one", tmp_path)
    wait_for(lambda: one.says("follows partitions 0"), 60, "the first")
    cluster.forward(WHOLE, "north")
    want = lines_of_replay()
    wait_for(lambda: len(cluster.committed()) == len(want), 60, "alerts of the old one")
    wait_for(lambda: broker.read(f"state-{cluster.run}"), 60, "a snapshot")
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.delete_topics([topic])
    wait_for(lambda: topic not in admin.list_topics(), 60, "no topic")
    admin.close()
    cluster.forward(other, "north")
    want += lines_of_replay(other)
    wait_for(lambda: len(cluster.committed()) >= len(want), 120, "alerts of the new one")
    # What it said depends on what brokers had forgotten by then.
    one.end(signal.SIGTERM)
    assert by_host([r.value for r in cluster.committed()]) == by_host(want)


@pytest.mark.slow
def test_who_comes_back_by_name_to_a_topic_made_again_is_given_its_partitions(broker, tmp_path):
    cluster = Cluster(broker, tmp_path)
    group = f"group-{cluster.run}"
    one = Process(cluster, "one", tmp_path)
    wait_for(one.follows, 60, "the first")
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)

    def has(count: int) -> bool:
        found = admin.describe_groups([group])[group]
        given = [m["member_assignment"]["assigned_partitions"] for m in found["members"]]
        return found["group_state"] == "Stable" and [len(parts) for parts in given] == [count]

    wait_for(lambda: has(1), 60, "a group that follows")
    admin.delete_topics([f"segments-{cluster.run}"])
    wait_for(lambda: has(0), 60, "a group that has nothing to follow")
    one.end(signal.SIGKILL)  # to the brokers it is a member for ten seconds more
    admin.close()
    again = Process(cluster, "one", tmp_path)
    wait_for(again.follows, 60, "the second")
    again.end(signal.SIGTERM)
