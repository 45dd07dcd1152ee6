"""Nothing of a mail is on any topic, wherever in a dialogue it was, also cut by segments."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from lab.broker import Broker
from lab.conversation import CLIENT, Conversation
from lab.frames import pcap
from lab.splitting import by_direction, split
from lab.waiting import wait_for
from sensor.cluster.batch import decode
from sensor.state.snapshot import read
from tests.cluster.test_decide import Desk
from tests.cluster.test_takeover import Process
from tests.cluster.test_together import forward_all
from tests.conftest import needs

ZSTD = b"\x28\xb5\x2f\xfd"
LIMITS = (
    "[limits]\nmax_hosts = 1024\nmax_details = 64\nmax_connections = 4096\nmax_sessions = 1024\n"
)
"""So that a snapshot is small."""
SECRET = b"Wq7k"
TALK = r"""
S: 220 mx.example ESMTP Wq7kgreeting\r\n
C: EHLO mail.sender.example\r\n
S: 250-mx.example Wq7kwelcome\r\n250-Wq7kcapability\r\n250-AUTH PLAIN\r\n250 SIZE 1000\r\n
C: AUTH PLAIN V3E3aWq7kcredentials\r\n
S: 535 5.7.8 Wq7krefused\r\n
C: AUTH LOGIN\r\n
S: 334 Wq7kchallenge\r\n
C: Wq7kuser\r\n
S: 334 Wq7kchallenge\r\n
C: Wq7kpass|C: word\r\n
S: 535 5.7.8 Wq7krefused\r\n
C: Wq7knothing that is a verb\r\n
S: 500 5.5.1 Wq7kwhat\r\n
C: VRFY Wq7kwhom\r\n
S: 252 2.1.5 Wq7kperhaps\r\n
C: MAIL FROM:<Wq7ksender@sender.example> SIZE=500 AUTH=Wq7kidentity ENVID=Wq7kenvelope\r\n
S: 250 2.1.0 <Wq7ksender@sender.example> ok\r\n
C: RCPT TO:<Wq7kknown@rcpt.example> ORCPT=rfc822;Wq7koriginal\r\n
S: 250 2.1.5 ok\r\n
C: RCPT TO:<Wq7kunkn|C: own@rcpt.example>\r\n
S: 550 5.1.1 <Wq7kunknown@rcpt.example>: no such user Wq7kunknown\r\n
C: DATA\r\n
S: 354 Wq7kgo on\r\n
C: Subject: Wq7ksubject\r\n\r\nDear Wq7kfriend,|C:  your number is Wq7knumber\r\n.\r\n
S: 250 2.0.0 Wq7kqueued\r\n
C: NOOP Wq7kwhy\r\n
S: 250 2.0.0 Wq7kbecause\r\n
C: QUIT\r\n
S: 221 2.0.0 Wq7kbye\r\n
"""
"""What a bot says and hears, secrets in all places; HELO names and domains are none."""
REFUSED = r"""
S: 220 mx.example ESMTP Wq7kgreeting\r\n
C: HELO mail.sender.example\r\n
S: 250 mx.example Wq7kwelcome\r\n
C: MAIL FROM:<Wq7ksender@sender.example>\r\n
S: 250 2.1.0 <Wq7ksender@sender.example> ok\r\n
C: RCPT TO:<Wq7kunknown@rcpt.example>\r\n
S: 550 5.1.1 <Wq7kunknown@rcpt.example>: no such user Wq7kunknown\r\n
"""
"""What makes an alert of it, when it is said often enough."""


def captured(talks: int) -> list[tuple[int, bytes]]:
    """A bot that says it at so many servers, a second apart, until now."""
    frames = []
    begin = time.time_ns() - (talks + 60) * 10**9
    for number in range(talks):
        talk = Conversation(sport=4000 + number, ends=(CLIENT, f"198.18.{number}.25"))
        talk.now = begin + number * 10**9
        frames += talk.open().say(REFUSED if number % 4 else TALK).close().frames
    return sorted(frames)


def everything(bootstrap: str) -> dict[str, list[Any]]:
    """Records of all topics but Kafka's own, also those that were not committed.

    Ends of transactions have offsets, too, which not every consumer steps over: who comes to the
    end, or gets nothing for some seconds, has read all there is.
    """
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_uncommitted", enable_auto_commit=False
    )
    found: dict[str, list[Any]] = {}
    for topic in sorted(name for name in consumer.topics() if not name.startswith("__")):
        found[topic] = []
        for number in sorted(consumer.partitions_for_topic(topic)):
            part = TopicPartition(topic, number)
            consumer.assign([part])
            end = consumer.end_offsets([part])[part]
            consumer.seek_to_beginning(part)
            nothing = 0
            while consumer.position(part) < end and nothing < 10:
                records = consumer.poll(timeout_ms=500).get(part, [])
                nothing = 0 if records else nothing + 1
                found[topic] += records
            assert not end or nothing < 10 or found[topic], f"nothing could be read of {topic}"
    consumer.close()
    return found


def pieces(topics: dict[str, list[Any]], desk: Desk, folder: Path) -> Iterator[tuple[str, bytes]]:
    """All that is on topics, by and by; what is packed in batches and snapshots, too."""
    for name, records in topics.items():
        for record in records:
            yield name, repr((record.key, record.value, record.headers)).encode()
            if name == f"segments-{desk.run}":
                yield name, decode(record.value).packed.tobytes()
    name, file = f"state-{desk.run}", folder / "state"
    whole = b"".join(record.value for record in topics[name] if record.value)
    for snapshot in whole.split(ZSTD)[1:]:
        file.write_bytes(ZSTD + snapshot)
        arrays, _ = read(file)
        for array in arrays.values():
            yield name, array.tobytes()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_of_a_mail_is_on_any_topic(tmp_path):
    needs("java", "mvn")
    own = Broker(tmp_path / "kafka").start()
    running = []
    try:
        desk = Desk(own, tmp_path)
        (key := tmp_path / "key").write_text("of the provider")
        text = desk.config.read_text()
        more = f'[cluster]\nkey_file = "{key}"\nsnapshot = 1\npatience = 5.0\n'
        desk.config.write_text(text.replace("[cluster]\n", more) + LIMITS)
        whole = tmp_path / "whole.pcap"
        whole.write_bytes(pcap(captured(80)))
        assert whole.read_bytes().count(SECRET) > 1000
        running += [Process(desk, "one", tmp_path), desk.decide("decider")]
        wait_for(lambda: running[0].says("follows partitions 0"), 60, "who correlates")
        forward_all(desk, split(whole, tmp_path, by_direction))
        for topic in (f"state-{desk.run}", desk.alerts, desk.health):
            wait_for(lambda topic=topic: len(everything(own.bootstrap)[topic]), 30, topic)
        for one in running:
            one.end(signal.SIGTERM)
        topics = everything(own.bootstrap)
    finally:
        for one in running:
            one.process.kill()
        own.kill()
    # What may be read there is found, so the rest would be.
    known = {
        f"segments-{desk.run}": b"mail.sender.example",
        f"state-{desk.run}": b"mail.sender.example",
        desk.alerts: CLIENT.encode(),
        desk.health: b"port25-decide",
    }
    secret, found = set(), set()
    for name, text in pieces(topics, desk, tmp_path):
        if SECRET.lower() in text.lower():
            secret.add(name)
        if name in known and known[name] in text:
            found.add(name)
    assert secret == set()
    assert found == known.keys()
