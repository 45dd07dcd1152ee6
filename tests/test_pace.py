"""A capture replayed in its own time gives the same alerts, no sooner than they are due."""

import io
import os
import signal
import subprocess
import time

import pytest
import requests

from sensor.capture.merge import Captures
from sensor.capture.pace import factor, paced
from tests.conftest import PCAPS, ROOT, port25


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize("times", [1.0, 60.0])
def test_no_frame_comes_before_its_time_and_none_is_lost(times):
    clock = Clock()
    path = str(PCAPS / "demo.pcap")
    whole = sum(len(b.frames) for b in Captures([path]))
    first, seen, number = 0.0, 0, 1
    for block in paced(Captures([path]), times, clock, clock.sleep):
        ts = block.frames["ts"] / 1e9
        first = first or ts[0]
        assert (ts[-1] - first) / times <= clock.now - 100.0 + 0.11
        assert block.number == number
        number += len(block.frames)
        seen += len(block.frames)
    assert seen == whole
    assert clock.now - 100.0 == pytest.approx((ts[-1] - first) / times, abs=0.2)


def test_the_same_alerts_as_at_once():
    fast = port25("replay", "-q", "--pace", "2000x", str(PCAPS / "demo.pcap"), check=True)
    assert fast.stdout == port25("replay", "-q", str(PCAPS / "demo.pcap"), check=True).stdout


@pytest.mark.parametrize("text", ["0", "-1", "x", "fast", "nan", "1e9"])
def test_a_pace_that_is_none_is_refused(text):
    assert port25("replay", f"--pace={text}", "x.pcap").returncode == 2
    with pytest.raises(ValueError):
        factor(text)


@pytest.mark.slow
def test_the_live_demo_shows_alerts_while_it_runs():
    run = subprocess.Popen(
        ["deploy/demo-live", "watch", "--plain"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        cwd=ROOT, env={"PACE": "200x", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    said = io.BytesIO()
    for line in run.stdout:
        said.write(line)
        if b"203.0.113.20" in line and b"raised" in line:
            run.stdin.write(b"hosts\nquit\n")
            run.stdin.close()
            break
    said.write(run.stdout.read())
    assert run.wait(300) == 0
    assert b"No more hosts" in said.getvalue()


@pytest.mark.slow
def test_the_live_demo_in_a_browser():
    with subprocess.Popen(
        ["deploy/demo-live", "web", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, cwd=ROOT,
        env={"PACE": "200x", "PATH": "/usr/bin:/bin"}, start_new_session=True,
    ) as run:  # fmt: skip
        assert b"Open this address" in run.stdout.readline()
        session = requests.Session()
        address = run.stdout.readline().decode().strip()
        assert session.get(address).ok
        base = address.split("?")[0]
        end = time.monotonic() + 300
        while not session.get(f"{base}api/v1/alerts?text=203.0.113.20").json()["alerts"]:
            assert time.monotonic() < end
            time.sleep(0.2)
        os.killpg(run.pid, signal.SIGINT)
        run.wait(300)
