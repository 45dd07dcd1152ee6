"""Two sensors and a controller with Kafka itself: nobody undoes what another decided."""

import itertools
import json
import signal
import subprocess
import sys
import time
import uuid

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from lab.alerts import SECOND, T0, alert, closed
from lab.waiting import wait_for
from sensor.alerts.alert import Alert
from sensor.base.database import DatabaseError
from sensor.blocking.desk import Desk
from sensor.blocking.ledger import Ledger
from sensor.service.delivery import Delivery
from sensor.settings import parse_settings
from sensor.state.journal import Journal
from tests.conftest import ROOT, port25

HOST, OTHER = "203.0.113.7", "203.0.113.9"


def now() -> float:
    return (time.time_ns() - T0) / SECOND


class Net:
    """Topics of its own, any number of sensors, one controller."""

    def __init__(self, broker, folder) -> None:
        self.broker, self.folder = broker, folder
        self.run = uuid.uuid4().hex[:8]
        self.blocklist, self.desk = f"blocklist-{self.run}", f"desk-{self.run}"
        self.ends: list = []
        self.count = 0

    def config(self, name: str) -> str:
        return (
            f'subscriber_prefixes = ["203.0.113.0/24"]\n[live]\nuser = "root"\n'
            '[blocking]\nmode = "enforce"\nsubscribers = 10_000\n'
            f'[kafka]\nbootstrap = ["{self.broker.bootstrap}"]\nsensor = "{name}"\n'
            f'alerts_topic = "alerts-{self.run}"\nblocklist_topic = "{self.blocklist}"\n'
            f'health_topic = "health-{self.run}"\ndesk_topic = "{self.desk}"\n'
            f'enforcement_topic = "enforcement-{self.run}"\n'
        )

    def sensor(self, name: str) -> "Sensor":
        made = Sensor(self, name)
        self.ends.append(made.stop)
        return made

    def controller(self) -> "Dry":
        made = Dry(self)
        self.ends.append(made.stop)
        return made

    def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        producer = KafkaProducer(bootstrap_servers=self.broker.bootstrap)
        producer.send(topic, key=key, value=value).get(20)
        producer.close()


class Sensor:
    """A journal that is written to here, and the process that decides and passes on."""

    def __init__(self, net: Net, name: str) -> None:
        self.net, self.name = net, name
        self.state = net.folder / name
        self.state.mkdir(exist_ok=True)
        settings = parse_settings(net.config(name))
        self.delivery = Delivery(settings, self.state, lambda _: None)
        self.journal = Journal(self.state / "journal.sqlite")
        self.delivery.begin()
        self.ended = False

    def see(self, *alerts: Alert) -> None:
        self.journal.write(list(alerts))

    def counted(self, name: str) -> int:
        self.delivery.turn(dict)
        return self.delivery.counters.get("kafka", {}).get(name, 0)

    def in_force(self) -> list[str]:
        try:
            ledger = Ledger(self.state / "blocking.sqlite", read_only=True)
        except DatabaseError:
            return []
        found = sorted(one.host for one in ledger.in_force(time.time_ns()))
        ledger.close()
        return found

    def refusals(self) -> list[str]:
        ledger = Ledger(self.state / "blocking.sqlite", read_only=True)
        found = [e.decision.reasons[0] for e in ledger.page() if e.decision.action == "refuse"]
        ledger.close()
        return found

    def person(self, verb: str, *words: str) -> None:
        more = ("--reason", "cleaned", "--by", "mary", "--state", str(self.state))
        done = port25(verb, *words, *more)
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        if not self.ended:
            self.ended = True
            self.delivery.stop(5)


class Dry:
    """``port25 controller --dry-run``: what it would give to the firewall."""

    def __init__(self, net: Net) -> None:
        net.count += 1
        config = net.folder / "controller.toml"
        config.write_text(net.config("router"))
        self.log = net.folder / f"controller-{net.count}"
        command = (sys.executable, "-m", "sensor", "controller", "-c", str(config), "--dry-run")
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--group", f"{net.run}-{net.count}"], stdout=out, stderr=out, cwd=ROOT
            )
        wait_for(lambda: self.lines(), 60, f"the controller: {self.log}")

    def lines(self) -> list[dict]:
        read = [x for x in self.log.read_text().splitlines() if x.startswith("{") and '":' in x]
        return [line for x in read if "blocked" in (line := json.loads(x))]

    def blocked(self) -> list[str]:
        """Of the newest script."""
        scripts = self.log.read_text().split('{"schema":"port25.controller/1"')
        done = [s for s in scripts[:-1] if "blocked4" in s]
        return sorted(host for host in (HOST, OTHER) if f"{host} timeout" in done[-1])

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(300) == 0


@pytest.fixture
def net(broker, tmp_path):
    made = Net(broker, tmp_path)
    yield made
    for end in reversed(made.ends):
        end()


def until(found, wanted, what: str) -> None:
    wait_for(lambda: found() == wanted, 40, f"{what}: {wanted}")


def test_each_takes_only_its_own_and_persons_speak_for_all(net):
    a, b = net.sensor("north"), net.sensor("south")
    controller = net.controller()
    start = now()
    a.see(alert(at=start, opened=start))
    b.see(alert(at=start + 0.1, opened=start + 0.1))
    until(a.in_force, [HOST], "the block of north")
    until(b.in_force, [HOST], "the block of south")
    wait_for(lambda: len(net.broker.read(net.blocklist)) >= 2, 40, "both records")
    until(controller.blocked, [HOST], "the block")
    records = net.broker.read(net.blocklist)
    assert {r.key for r in records} == {b"203.0.113.7@north", b"203.0.113.7@south"}
    assert len({r.partition for r in records}) == 1, "one subscriber, one partition"
    for record in records:
        headers = {name: value.decode() for name, value in record.headers}
        assert headers["host"] == HOST
        assert headers["sensor"] == json.loads(record.value)["sensor"]
        assert record.key.decode() == f"{HOST}@{headers['sensor']}"

    b.see(closed(at=now(), opened=start + 0.1))
    until(b.in_force, [], "the end of the block of south")
    wait_for(lambda: len(net.broker.read(net.blocklist)) >= 3, 40, "the tombstone")
    time.sleep(1)
    assert controller.blocked() == [HOST] == a.in_force(), "north's is in force still"

    later = now()
    b.see(alert(at=later, opened=later))
    until(b.in_force, [HOST], "another block of south")
    a.person("release", HOST)
    until(b.in_force, [], "the release, at the other sensor")
    until(controller.blocked, [], "the release, at the controller")
    b.see(alert(at=now(), opened=later, state="refreshed", revision=2))
    until(b.refusals, ["mary released it: cleaned"], "what south refuses")
    assert a.in_force() == b.in_force() == controller.blocked() == []

    again = net.controller()
    until(again.blocked, [], "a controller that starts anew")
    b.stop()
    b = net.sensor("south")
    wait_for(lambda: b.counted("desk_heard") == 1, 40, "what south hears anew")
    assert b.in_force() == []


def test_an_exemption_reaches_the_other_sensor_and_the_controller(net):
    a, b = net.sensor("north"), net.sensor("south")
    controller = net.controller()
    start = now()
    b.see(alert(at=start, opened=start), alert(OTHER, at=start, opened=start))
    until(controller.blocked, [HOST, OTHER], "both blocks")
    desk = Desk(a.state / "desk.sqlite")
    desk.exempt(HOST, 30, time.time_ns(), "mary", "own server")
    until(b.in_force, [OTHER], "what is left of south")
    until(controller.blocked, [OTHER], "what is left at the controller")
    heard = Desk(b.state / "desk.sqlite", read_only=True)
    assert [(one.host, one.by) for one in heard.in_force(time.time_ns())] == [
        (HOST, "mary at north")
    ]
    b.see(alert(at=now(), opened=start, state="refreshed", revision=2))
    wait_for(lambda: any("exempt" in why for why in b.refusals()), 20, "the refusal")
    time.sleep(1)
    desk.lift(HOST, time.time_ns())
    wait_for(lambda: not heard.in_force(time.time_ns()), 40, "the end of the exemption")
    revisions = itertools.count(3)

    def in_force() -> list[str]:
        b.see(alert(at=now(), opened=start, state="refreshed", revision=next(revisions)))
        time.sleep(0.5)
        return b.in_force()

    until(in_force, [HOST, OTHER], "the blocks of south, told of again and again")
    until(controller.blocked, [HOST, OTHER], "the blocks")


def test_records_of_before_and_records_of_nobody(net):
    a = net.sensor("north")
    controller = net.controller()
    start = now()
    a.see(alert(OTHER, at=start, opened=start))
    until(controller.blocked, [OTHER], "the block")
    (record,) = net.broker.read(net.blocklist)
    old = {k: v for k, v in json.loads(record.value).items()
           if k not in ("sensor", "held_until", "desk")}  # fmt: skip
    old |= {"host": HOST, "source": f"{HOST}/32"}
    net.send(net.blocklist, HOST.encode(), json.dumps(old).encode())
    until(controller.blocked, [HOST, OTHER], "a record without a sensor")
    a.see(alert(at=now(), opened=start))
    until(a.in_force, [HOST, OTHER], "the block of north beside it")
    net.send(net.blocklist, HOST.encode(), None)
    wait_for(lambda: len(net.broker.read(net.blocklist)) == 4, 20, "the records")
    time.sleep(1)
    assert controller.blocked() == [HOST, OTHER], "north's is in force still"

    forever = json.loads(record.value) | {"ts": 2**61, "expires": 2**61 + SECOND}
    for topic, key, value in (
        (net.blocklist, b"203.0.113.9@south", record.value),
        (net.blocklist, b"\xff@\x1b[2J", b"\xff"),
        (net.blocklist, b"203.0.113.9@north2", b"[" * 60_000),
        (net.blocklist, b"203.0.113.9@", msgspec.json.encode(forever)),
        (net.desk, b"release/203.0.113.9@evil", b"no json"),
        (net.desk, b"release/203.0.113.9@evil", b'{"schema": "port25.desk/9"}'),
        (net.desk, b"\x00", b"x" * 200_000),
        (net.desk, b"release/203.0.113.9@evil", None),
    ):
        net.send(topic, key, value)
    wait_for(lambda: a.counted("desk_refused") == 3, 40, "what north refuses")
    wait_for(lambda: controller.log.read_text().count('"refused":"') >= 7, 40, "the refusals")
    assert controller.process.poll() is None
    assert controller.blocked() == [HOST, OTHER] == a.in_force()


def test_block_list_and_desk_that_somebody_deleted_are_whole_again(net):
    """Who makes blocks tells all in force anew; who carries them out reads from the beginning."""
    a = net.sensor("north")
    controller = net.controller()
    start = now()
    a.see(alert(at=start, opened=start))
    until(controller.blocked, [HOST], "the block")
    admin = KafkaAdminClient(bootstrap_servers=net.broker.bootstrap)
    admin.delete_topics([net.blocklist, net.desk])
    a.see(alert(OTHER, at=now(), opened=start))
    wait_for(lambda: {net.blocklist, net.desk} <= set(admin.list_topics()), 90, "topics again")
    admin.close()
    wait_for(lambda: controller.blocked() == [HOST, OTHER], 150, "both blocks")
    a.person("release", OTHER)
    wait_for(lambda: controller.blocked() == [HOST], 60, "the release")
    wait_for(lambda: len(net.broker.read(net.blocklist)) >= 3, 60, "the blocks and the release")
