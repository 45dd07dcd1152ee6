"""Kafka is away, or the disk is full, or the process that speaks with Kafka dies."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import msgspec
import pytest

from lab.alerts import alert
from lab.broker import Broker, by_id
from lab.waiting import wait_for
from sensor.alerts.notice import HEALTH, Health, Notice, json_schema
from sensor.base.database import DatabaseError
from sensor.blocking.ledger import Ledger
from sensor.service.delivery import Delivery
from sensor.settings import parse_settings
from sensor.sinks.outbox import Outbox
from sensor.state.journal import Journal
from tests.conftest import ROOT, needs


class Desk:
    """A journal that is written to here, and the process that passes on what is in it."""

    def __init__(self, folder, bootstrap: str, more: str = "") -> None:
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.told: list[Notice] = []
        text = (
            '[blocking]\nmode = "off"\n[kafka]\nhealth_interval = 1\n'
            f'bootstrap = ["{bootstrap}"]\n{more}'
        )
        self.settings = parse_settings(text)
        self.delivery = Delivery(self.settings, self.state, self.told.append, live=False)
        self.journal = Journal(self.state / "journal.sqlite")
        self.delivery.begin()
        self.written = 0
        self.ended = False

    def write(self, count: int) -> None:
        made = [alert(f"203.0.113.{n % 200}", at=n, opened=n)
                for n in range(self.written, self.written + count)]  # fmt: skip
        for at in range(0, count, 500):
            self.journal.write(made[at : at + 500])
        self.written += count

    def kafka(self, name: str) -> object:
        self.delivery.turn(lambda: {"capture": {"packets_dropped": 0}})
        return self.delivery.counters.get("kafka", {}).get(f"kafka_{name}")

    def stop(self, patience: float) -> int:
        self.ended = True
        return self.delivery.stop(patience)

    def heard(self, text: str) -> bool:
        self.delivery.turn()
        return any(text in one.text for one in self.told)


@pytest.fixture
def start():
    """Makes a desk, and ends it whatever happens."""
    made: list[Desk] = []

    def begin(*words) -> Desk:
        made.append(Desk(*words))
        return made[-1]

    yield begin
    for desk in made:
        if not desk.ended:
            desk.stop(0)


@pytest.fixture
def own(tmp_path):
    needs("java", "mvn")
    made = Broker(tmp_path / "kafka")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


def test_what_waits_is_told_and_drains_in_order(own, tmp_path, start):
    desk = start(tmp_path, own.bootstrap)
    desk.write(3000)
    wait_for(lambda: desk.kafka("state") == "away", 20, "the state")
    wait_for(lambda: desk.kafka("waiting") == 3000, 5, "what waits")
    assert desk.heard("NodeNotReady") or desk.heard("Connection")
    own.start()
    wait_for(lambda: desk.kafka("waiting") == 0, 60, "the outbox to drain")
    assert desk.kafka("state") == "connected"
    own.signal(signal.SIGSTOP)  # a broker that answers no more, though its port is open
    desk.write(1000)
    wait_for(lambda: desk.kafka("state") == "away", 30, "the state")
    own.signal(signal.SIGCONT)
    wait_for(lambda: desk.kafka("waiting") == 0, 90, "the outbox to drain")
    assert desk.kafka("acknowledged") >= 4000
    assert desk.stop(20) == 0
    records = own.read("port25.alerts")
    assert len(by_id(records)) == 4000
    by_key: dict[bytes, list[int]] = {}
    for record in by_id(records).values():
        found = re.search(rb'"ts":(\d+)', record.value)
        assert found
        by_key.setdefault(record.key, []).append(int(found[1]))
    assert all(times == sorted(times) for times in by_key.values())
    health = own.read("port25.sensor-health")
    told = [json.loads(record.value) for record in health]
    for one in told:
        kind = Health if one["schema"] == HEALTH else Notice
        jsonschema.validate(one, json_schema(kind))
    states = [one["counters"]["kafka"]["kafka_state"] for one in told if one["schema"] == HEALTH]
    assert "connected" in states


def test_the_outbox_has_a_ceiling_and_says_what_it_drops(tmp_path, start):
    desk = start(tmp_path, "127.0.0.1:1", "[live]\njournal_megabytes = 1\n")
    for _ in range(4):
        desk.write(500)
    size = desk.journal.db.size
    assert size > 2_000_000
    wait_for(lambda: desk.heard("dropped that Kafka never had"), 90, "the notice")
    wait_for(lambda: desk.journal.db.size <= 1_100_000, 20, "the pruning")
    rows = list(desk.journal.read())
    assert rows[-1].number == 2000, "the newest stay"
    desk.stop(0.5)
    dropped = desk.delivery.counters["blocking"]["outbox_messages_dropped"]
    assert dropped + len(rows) == 2000


def test_what_kafka_has_goes_first(own, tmp_path, start):
    own.start()
    desk = start(tmp_path, own.bootstrap)
    desk.write(2000)
    wait_for(lambda: desk.kafka("acknowledged") == 2000, 120, "the outbox to drain")
    live = msgspec.structs.replace(desk.settings.live, journal_megabytes=1)
    desk.delivery.reload(msgspec.structs.replace(desk.settings, live=live))
    wait_for(lambda: desk.journal.db.size <= 1_100_000, 90, "the pruning")
    desk.stop(5)
    assert desk.delivery.counters["blocking"]["outbox_messages_dropped"] == 0
    assert len(by_id(own.read("port25.alerts"))) == 2000


def test_the_process_that_passes_on_is_started_again(own, tmp_path, start):
    own.start()
    desk = start(tmp_path, own.bootstrap)
    desk.write(10)
    wait_for(lambda: desk.kafka("acknowledged") == 10, 60, "the first")
    for _ in range(2):
        (supervisor,) = children(os.getpid(), desk.delivery.pid)
        (child,) = children(supervisor)
        os.kill(child, signal.SIGKILL)
        desk.told.clear()
        desk.write(10)
        wait_for(lambda: desk.heard("had died"), 20, "the notice")
        wait_for(lambda: desk.kafka("waiting") == 0, 60, "the outbox to drain")
    assert desk.stop(20) == 0
    assert len(by_id(own.read("port25.alerts"))) == 30


def children(parent: int, only: int = 0) -> list[int]:
    said = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True).stdout
    return [pid for pid in map(int, said.split()) if not only or pid == only]


def test_it_ends_with_the_sensor(tmp_path):
    """Even when that is killed."""
    script = f"""
import os, sys, time
from pathlib import Path
from sensor.blocking.ledger import Ledger
from sensor.base.database import DatabaseError
from sensor.service.delivery import Delivery
from sensor.settings import Settings
d = Delivery(Settings(), Path({str(tmp_path)!r}), live=False)
d.begin()
print(d.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_for(lambda: children(pid), 10, "the process")
    (child,) = children(pid)
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(Path(f"/proc/{p}").exists() for p in (child, pid)), 10, "its end")


def test_on_a_full_disk_decisions_wait_and_nothing_is_lost(tmp_path, start):
    needs("mount", root=True)
    disk = tmp_path / "state"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        desk = start(tmp_path, "127.0.0.1:1")
        wait_for(lambda: (disk / "outbox.sqlite").exists(), 20)
        ballast = disk / "ballast"
        desk.write(100)
        acknowledged = 100
        with pytest.raises(OSError, match="space"), ballast.open("wb", buffering=0) as out:
            while True:
                out.write(bytes(4096))
        refused = 0
        for _ in range(40):
            try:
                desk.write(10)
                acknowledged += 10
            except Exception:
                refused += 1
        assert refused
        ballast.unlink()
        desk.written = 10_000
        desk.write(10)
        acknowledged += 10
        assert len(list(desk.journal.read())) == acknowledged
        time.sleep(1)
        wait_for(lambda: positions(disk) == desk.journal.last, 20, "the decisions")
        desk.stop(0.5)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def positions(state) -> int:
    try:
        ledger = Ledger(state / "blocking.sqlite", read_only=True)
    except DatabaseError:  # not there yet
        return -1
    try:
        return ledger.position("journal.sqlite")
    finally:
        ledger.close()


def test_positions_and_refusals_are_kept(tmp_path):
    outbox = Outbox(tmp_path / "outbox.sqlite")
    assert outbox.position("kafka", "journal.sqlite") == 0
    outbox.done("kafka", "journal.sqlite", 7, {3: "too large", 5: "too large"})
    outbox.done("kafka", "ledger", 2, {})
    again = Outbox(tmp_path / "outbox.sqlite", read_only=True)
    assert again.position("kafka", "journal.sqlite") == 7
    assert again.position("kafka", "ledger") == 2
    assert [row[2] for row in again.refused()] == [3, 5]


def test_new_settings_are_taken_up(tmp_path, start):
    desk = start(tmp_path, "127.0.0.1:1")
    desk.write(3)
    wait_for(lambda: positions(desk.state) == 3, 10, "the decisions")
    blocking = msgspec.structs.replace(desk.settings.blocking, mode="enforce", max_blocks=2)
    desk.delivery.reload(msgspec.structs.replace(desk.settings, blocking=blocking))
    time.sleep(0.5)
    desk.write(3)
    wait_for(lambda: positions(desk.state) == 6, 10, "the decisions")
    ledger = Ledger(desk.state / "blocking.sqlite", read_only=True)
    assert [e.decision.action for e in ledger.page()] == ["block", "block", "stop", "refuse"]
    wait_for(lambda: desk.heard("stop by port25"), 5, "the call for a person")


def test_when_all_of_it_is_gone_the_sensor_says_so(tmp_path, start):
    desk = start(tmp_path, "127.0.0.1:1")
    wait_for(lambda: children(desk.delivery.pid), 10, "the process")
    (child,) = children(desk.delivery.pid)
    os.kill(desk.delivery.pid, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: desk.heard("is gone; they stay in the journal"), 5, "the notice")
    assert desk.delivery.counters["delivery"]["delivery_gone"] == 1
    desk.write(3)
