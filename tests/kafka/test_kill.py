"""Alerts cannot be lost: broker and sensor are killed while thousands are on their way."""

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict

import pytest

from lab.broker import Broker, by_id
from lab.storm import header, storm
from lab.waiting import wait_for
from sensor.state.journal import Journal
from tests.conftest import ROOT, needs, port25

PIECES = 60
KILLS = 3


class Following:
    """``port25 replay --follow`` of a capture that grows, killed and started again."""

    def __init__(self, folder, config) -> None:
        self.capture, self.state = folder / "storm.pcap", folder / "state"
        self.said = folder / "stderr"
        self.command = [
            sys.executable, "-m", "sensor", "replay", "--follow", "-q", "--json", "-c", str(config),
            "--state", str(self.state), str(self.capture),
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.said.open("ab") as err:
            self.process = subprocess.Popen(
                self.command, stdout=subprocess.DEVNULL, stderr=err, cwd=ROOT
            )

    def journaled(self) -> int:
        """Alerts on disk; their numbers skip what was written twice."""
        try:
            journal = Journal(self.state / "journal.sqlite", read_only=True)
        except Exception:  # not yet
            return 0
        try:
            return sum(1 for _ in journal.read())
        finally:
            journal.close()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.mark.slow
@pytest.mark.xdist_group("whole machine")
def test_ten_thousand_alerts_while_broker_and_sensor_are_killed(tmp_path, capsys):
    needs("java", "mvn")
    broker = Broker(tmp_path / "kafka")
    broker.start()
    config = tmp_path / "port25.toml"
    config.write_text(f'[kafka]\nbootstrap = ["{broker.bootstrap}"]\nsensor = "north"\n')
    sensor = Following(tmp_path, config)
    header(sensor.capture)
    sensor.start()
    records = storm(2040, 40, 60, 3)
    deaths = {10: "sensor", 17: "broker", 25: "sensor", 33: "broker", 41: "sensor", 49: "broker"}
    revive = 0
    for number in range(PIECES):
        size = -(-len(records) // PIECES)
        with sensor.capture.open("ab") as out:
            out.write(records[number * size : (number + 1) * size].tobytes())
        time.sleep(0.3)
        if deaths.get(number) == "sensor":
            sensor.kill()
            sensor.start()
        if deaths.get(number) == "broker":
            broker.kill()
            revive = number + 4  # the sensor goes on meanwhile
        if number == revive and number:
            broker.start()
    assert list(deaths.values()).count("broker") == list(deaths.values()).count("sensor") == KILLS
    words = ("replay", "-q", "--json", "-c", str(config), str(sensor.capture))
    replayed = port25(*words, check=True).stdout.splitlines()
    wait_for(lambda: sensor.journaled() >= len(replayed), 400, "the last piece")
    for _ in range(5):  # on a busy machine a broker may need longer than the sensor has patience
        time.sleep(3)
        sensor.process.send_signal(signal.SIGTERM)
        if (code := sensor.process.wait(300)) == 0:
            break
        assert "they are sent when it is run again" in sensor.said.read_text().splitlines()[-1]
        sensor.start()
    assert code == 0, sensor.said.read_text()

    journal = Journal(sensor.state / "journal.sqlite", read_only=True)
    kept = {(a.id, a.revision): a for _, a in journal.read()}
    sent = broker.read("port25.alerts")
    broker.kill()
    once = by_id(sent)
    with capsys.disabled():
        print(
            f"\n{len(replayed):,} alerts replayed, {len(kept):,} in the journal, {len(sent):,} in"
            f" the topic, {len(once):,} of them different; broker and sensor killed {KILLS}"
            " times each"
        )
    assert len(replayed) >= 10_000
    values = {record.value for record in once.values()}
    # Numbers first: where ten thousand lines differ, pytest's own comparison takes an hour.
    assert len(once) == len(values) == len(replayed) == len(kept)
    missing = set(replayed) - values
    assert not missing, (len(missing), min(missing))
    assert not kept.keys() ^ once.keys()
    order = defaultdict(list)
    for record in once.values():
        told = json.loads(record.value)
        order[record.key].append((told["ts"], told["revision"]))
    assert len(order) == 2040
    assert all(events == sorted(events) for events in order.values())
