"""One policy for all: ceilings over all sensors, and one ledger wherever it is kept."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from lab.alerts import T0, alert, closed
from lab.waiting import wait_for
from sensor.alerts.alert import Alert
from sensor.base.door import Door
from sensor.blocking.ledger import Ledger
from sensor.cluster.alert_book import AlertBook
from sensor.cluster.alert_follower import AlertFollower, alert_of
from sensor.settings import load_settings
from sensor.sinks.kafka.alert_source import alert_message
from sensor.sinks.kafka.connection import Connection, named
from sensor.sinks.kafka.topics import ensure_topics
from sensor.state.folder import StateFolder
from tests.cluster.test_kafka import Cluster
from tests.conftest import ROOT

NOW = (time.time_ns() - T0) / 1e9 - 120
"""Seconds after the time of the laboratory's alerts: two minutes ago."""


class Desk(Cluster):
    """Topics, and who decides by them."""

    def __init__(self, broker, folder: Path, blocking: str = "") -> None:
        more = f'[blocking]\nmode = "enforce"\n{blocking}\n[live]\nuser = "root"\n'
        super().__init__(broker, folder, more)
        self.folder = folder
        text = self.config.read_text()
        text = text.replace("[cluster]\n", f'[cluster]\ndecide_topic = "decide-{self.run}"\n')
        self.config.write_text(text)
        self.blocklist, self.health = f"blocklist-{self.run}", f"health-{self.run}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def tell(self, alerts: list[tuple[str, Alert]]) -> None:
        """Alerts of sensors, as sensors or who correlates tell them."""
        settings = load_settings(str(self.config)).kafka
        ensure_topics(Connection(named(settings)))
        producer = KafkaProducer(bootstrap_servers=self.broker.bootstrap, acks="all")
        for sensor, one in alerts:
            message = alert_message(0, msgspec.structs.replace(one, sensor=sensor), settings)
            more = list(message.headers)
            producer.send(message.topic, message.value, message.key, headers=more)
        producer.flush()
        producer.close()

    def decide(self, name: str) -> "Deciding":
        made = Deciding(self, name)
        self.processes.append(made.process)
        return made

    def in_force(self) -> dict[str, dict]:
        """The block list: the last word on each key."""
        last = {record.key.decode(): record.value for record in self.broker.read(self.blocklist)}
        return {key: json.loads(value) for key, value in last.items() if value}

    def notices(self) -> list[dict]:
        told = [record.value for record in self.broker.read(self.health)]
        return [json.loads(one) for one in told if b"port25.notice/1" in one]


class Deciding:
    """``port25 decide`` in a folder of its own."""

    def __init__(self, desk: Desk, name: str) -> None:
        self.state, self.log = desk.folder / name, desk.folder / f"{name}.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sensor", "decide", "-c", str(desk.config),
                 "--state", str(self.state)],
                stdout=out, stderr=out, cwd=ROOT,
            )  # fmt: skip

    def says(self, text: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return text in self.log.read_text()

    def end(self, how: int) -> int:
        self.process.send_signal(how)
        return self.process.wait(300)


@pytest.fixture
def desk(broker, tmp_path):
    made: list[Desk] = []

    def begin(blocking: str = "") -> Desk:
        made.append(Desk(broker, tmp_path, blocking))
        return made[-1]

    yield begin
    for process in made[0].processes if made else ():
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_subscribers_forged_on_one_sensor_hit_the_ceilings_over_all(desk):
    desk = desk("max_blocks = 40\nmax_per_minute = 1000\nmax_share = 0.5\nflood = 20000")
    one = desk.decide("one")
    # Two sensors have some real bots; then one is made to believe in ten thousand.
    real = [(name, alert(f"203.0.113.{n}", NOW + n, NOW + n))
            for n in range(10) for name in (("north", "south")[n % 2],)]  # fmt: skip
    desk.tell(real)
    wait_for(lambda: len(desk.in_force()) == 10, 60, "the first blocks")
    forged = [("west", alert(f"10.{n // 250}.{n % 250}.7", NOW + 20 + n / 1000, NOW + 20))
              for n in range(10_000)]  # fmt: skip
    desk.tell(forged)
    more = [("south", alert("203.0.113.200", NOW + 31, NOW + 31))]
    desk.tell(more)
    wait_for(lambda: any("stop" in n["text"] for n in desk.notices()), 120, "the stop")
    found = desk.in_force()
    assert len(found) <= 40
    assert {f"203.0.113.{n}@port25-decide" for n in range(10)} <= found.keys()
    assert all(one["sensor"] == "port25-decide" for one in found.values())
    wait_for(lambda: refused(one, "203.0.113.200"), 120, "the last alert to be decided on")
    assert one.end(signal.SIGTERM) == 0
    # Nothing is told twice on the topic of alerts: it is where they came from.
    assert len(desk.broker.read(desk.alerts)) == len(real) + len(forged) + len(more)


def refused(one: Deciding, host: str) -> bool:
    """Whether its ledger says that a host was not blocked."""
    ledger = Ledger(one.state / "blocking.sqlite", read_only=True)
    try:
        asked = "SELECT 1 FROM decisions WHERE host = ? AND action = 'refuse'"
        return bool(ledger.db.rows(asked, host))
    finally:
        ledger.close()


def test_another_takes_over_with_nothing_but_the_topics(desk):
    desk = desk("max_blocks = 3")
    first = [("north", alert(f"203.0.113.{n}", NOW + n, NOW + n)) for n in range(6)]
    first.append(("north", closed("203.0.113.1", NOW + 10, NOW + 1)))
    one = desk.decide("one")
    desk.tell(first)
    wait_for(lambda: len(desk.in_force()) >= 2, 60, "the first blocks")
    two = desk.decide("two")
    wait_for(lambda: two.says("stands by"), 60, "the second")
    time.sleep(3)
    assert not two.says("decides;")
    before = desk.in_force()
    one.end(signal.SIGKILL)
    wait_for(lambda: two.says("decides; 7 alerts were new"), 60, "the second to decide")
    desk.tell([("south", alert("203.0.113.77", NOW + 60, NOW + 60))])
    wait_for(lambda: refused(two, "203.0.113.77") or len(desk.in_force()) > len(before), 60, "it")
    after = desk.in_force()
    assert before.items() <= after.items()
    assert len(after) <= 3
    assert two.end(signal.SIGTERM) == 0


def test_why_a_message_is_left_out_is_said_once_for_each_topic(desk):
    desk = desk()
    one = desk.decide("one")
    producer = KafkaProducer(**Connection(named(load_settings(str(desk.config)).kafka)).arguments)
    for _ in range(2):
        producer.send(desk.alerts, msgspec.json.encode(alert("0.0.0.0/0", NOW, NOW)), partition=0)
        producer.send(desk.health, b"\xff", partition=0)
    producer.close()
    desk.tell([("north", alert("203.0.113.7", NOW, NOW))])

    def refusals() -> list[str]:
        return [said["text"] for said in desk.notices() if said["kind"] == "reader"]

    wait_for(lambda: len(refusals()) == 2 and desk.in_force(), 60, "two refusals and a block")
    assert [text.partition(":")[0] for text in sorted(refusals())] == [
        "alerts_unreadable",
        "fleet_unreadable",
    ]
    assert one.says("no subscriber: 0.0.0.0/0 (alert_follower.py")
    assert one.end(signal.SIGTERM) == 0
    assert len(refusals()) == 2


def test_an_alert_of_a_schema_to_come_is_none():
    good = json.loads(msgspec.json.encode(alert("203.0.113.7", NOW, NOW)))
    with pytest.raises(ValueError, match="schema"):
        alert_of(json.dumps(good | {"schema": "port25.alert/2"}).encode())


@pytest.mark.parametrize("field", ["ts", "opened", "revision"])
@pytest.mark.parametrize("value", [-1, 1 << 63, (1 << 64) - 1, 10**30])
def test_an_alert_that_no_journal_could_hold_is_none(field, value):
    good = json.loads(msgspec.json.encode(alert("203.0.113.7", NOW, NOW)))
    assert alert_of(json.dumps(good).encode()).host == "203.0.113.7"
    with pytest.raises(ValueError, match=str(value)):
        alert_of(json.dumps(good | {field: value}).encode())


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("203.0.113.7", True),
        ("203.0.113.7:1024-2047", True),
        ("2001:db8:1:2::/64", True),
        ("2001:db8::1", True),
        ("c-0123456789abcdef01234567", True),
        ("", False),
        ("0.0.0.0/0", False),
        ("203.0.113.0/24", False),
        ("::/0", False),
        ("203.0.113.7:7-5", False),
        ("203.0.113.7:0-99999", False),
        ("203.0.113.7:x", False),
        ("\x1b[31m", False),
        ("x" * 5000, False),
    ],
)
def test_an_alert_of_who_is_no_subscriber_is_none(host, is_one):
    said = json.loads(msgspec.json.encode(alert("203.0.113.7", NOW, NOW))) | {"host": host}
    with contextlib.nullcontext() if is_one else pytest.raises(ValueError):
        assert alert_of(json.dumps(said).encode()).host == host


@pytest.mark.parametrize(
    "value", [b"", b"null", b"\xff", b"{}", b"[" * 200_000, b'{"a":' * 200_000]
)
def test_what_is_no_alert_is_none(value):
    with pytest.raises((msgspec.MsgspecError, RecursionError)):
        alert_of(value)


@pytest.mark.parametrize("order", [1, -1])
def test_thousands_in_two_partitions_are_given_though_one_waits_for_the_other(
    broker, tmp_path, order
):
    """All of one partition is older than all of the other."""
    desk = Desk(broker, tmp_path)
    settings = load_settings(str(desk.config))
    connection = Connection(named(settings.kafka))
    ensure_topics(connection)
    producer = KafkaProducer(**connection.arguments)
    each = 3000
    for part in (0, 1)[::order]:
        for n in range(each):
            value = msgspec.json.encode(alert("203.0.113.7", part * each + n, part * each + n))
            producer.send(settings.kafka.alerts_topic, value, partition=part)
    producer.close()
    follower = AlertFollower(connection, Door("alerts_unreadable"), {})
    found: list[Alert] = []
    wait_for(lambda: found.extend(follower.poll()) or follower.caught_up, 60, "all")
    follower.close()
    assert len(found) == 2 * each
    assert [one.ts for one in found] == sorted(one.ts for one in found)


def test_alerts_are_given_as_they_happened(broker, tmp_path):
    desk = Desk(broker, tmp_path)
    hosts = [f"203.0.113.{n}" for n in range(40)]
    told = [("north", alert(hosts[n % 40], n, n)) for n in range(120)]
    settings = load_settings(str(desk.config))
    desk.tell(told)
    connection = Connection(named(settings.kafka))
    follower = AlertFollower(connection, Door("alerts_unreadable"), {})
    found: list[Alert] = []
    wait_for(lambda: found.extend(follower.poll()) or follower.caught_up, 60, "all")
    assert len(found) == len(told)
    assert [one.ts for one in found] == sorted(one.ts for one in found)
    positions = dict(follower.positions)
    follower.close()
    again = AlertFollower(connection, Door("alerts_unreadable"), positions)
    wait_for(lambda: found.extend(again.poll()) or again.caught_up, 60, "nothing")
    assert len(found) == len(told)
    again.close()


def test_alerts_of_a_topic_that_was_made_again_are_all_taken(broker, tmp_path):
    """More than were read of the old one, so that no offset of then is out of range."""
    desk = Desk(broker, tmp_path)
    settings = load_settings(str(desk.config))
    connection, topic = Connection(named(settings.kafka)), settings.kafka.alerts_topic
    files = StateFolder(tmp_path / "folder")
    files.path.mkdir()
    ensure_topics(connection)

    def taken() -> int:
        book = AlertBook(files, topic)
        follower = book.follow(connection)
        found = [book.take(follower)]
        wait_for(lambda: found.append(book.take(follower)) or follower.caught_up, 60, "all")
        follower.close()
        book.close()
        return sum(found)

    desk.tell([("north", alert("203.0.113.7", n, n)) for n in range(5)])
    assert (taken(), taken()) == (5, 0)
    admin = KafkaAdminClient(**connection.arguments)
    admin.delete_topics([topic])
    wait_for(lambda: topic not in admin.list_topics(), 60, "no topic")
    admin.close()
    ensure_topics(connection)
    desk.tell([("north", alert("203.0.113.7", 100 + n, 100 + n)) for n in range(9)])
    assert (taken(), taken()) == (9, 0)
