"""Who decides for all goes on by a word said at another folder, and so does who takes over."""

import signal
import subprocess
import sys
import time

import pytest

from lab.alerts import T0, alert
from lab.waiting import wait_for
from sensor.base.database import DatabaseError
from sensor.blocking.ledger import Ledger
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.cluster.test_decide import NOW, Desk, refused
from tests.conftest import ROOT, port25


@pytest.fixture
def desk(broker, tmp_path):
    made = Desk(broker, tmp_path, "max_blocks = 3\nmax_share = 0.5\nquiet = 0")
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def stopped(state):
    """Whether blocking has stopped; None: its book cannot be opened at this moment."""
    try:
        ledger = Ledger(state / "blocking.sqlite", read_only=True)
    except DatabaseError:
        return None
    try:
        return ledger.stopped(True)
    finally:
        ledger.close()


def test_a_word_at_a_sensors_folder_reaches_who_decides_and_who_takes_over(desk, tmp_path):
    # A sensor's folder, passed on by what every sensor starts for it.
    north = tmp_path / "north"
    north.mkdir()
    settings = tmp_path / "north.toml"
    settings.write_text(desk.config.read_text().replace("[kafka]\n", '[kafka]\nsensor = "north"\n'))
    Journal(StateFolder(north).journal).close()
    command = [sys.executable, "-m", "sensor.service.deliverer", str(north), "-c", str(settings)]
    desk.processes.append(subprocess.Popen(command, cwd=ROOT))
    one = desk.decide("one")
    wait_for(lambda: one.says("decides;"), 60, "the election")
    desk.tell([("north", alert(f"203.0.113.{n}", NOW + n, NOW + n)) for n in range(5)])
    wait_for(lambda: stopped(one.state), 60, "the stop")
    said = ["--reason", "looked at", "--by", "mary", "--state", str(north)]
    assert port25("resume", *said).returncode == 1, "here nothing has stopped"
    done = port25("resume", "--of", "port25-decide", *said)
    assert done.returncode == 0 and b"port25-decide is told" in done.stdout
    wait_for(lambda: stopped(one.state) is False, 60, "blocking to go on")
    # An alert after the word: the ceiling stands, so it stops again.
    now = (time.time_ns() - T0) / 1e9
    desk.tell([("south", alert("203.0.113.77", now, now))])
    wait_for(lambda: stopped(one.state) and refused(one, "203.0.113.77"), 60, "another stop")
    before = Ledger(one.state / "blocking.sqlite", read_only=True)
    acts = [(e.decision.action, e.decision.host) for e in before.page()]
    assert [act for act, _ in acts if act in ("stop", "resume")] == ["stop", "resume", "stop"]
    assert one.end(signal.SIGKILL) < 0
    two = desk.decide("two")
    wait_for(lambda: two.says("decides; 6 alerts were new"), 60, "the other")
    wait_for(lambda: stopped(two.state) and refused(two, "203.0.113.77"), 60, "the same")
    anew = Ledger(two.state / "blocking.sqlite", read_only=True)
    assert [(e.decision.action, e.decision.host) for e in anew.page()] == acts
    assert two.end(signal.SIGTERM) == 0
