"""``port25 blocklist --format exabgp --follow``, started by ExaBGP 5 and by ExaBGP 4.2."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.waiting import wait_for
from sensor.base.units import SECOND
from sensor.blocking.decision import decision
from sensor.blocking.feed_faults import faults
from sensor.blocking.ledger import Ledger
from sensor.hosts.subscribers import where
from tests.conftest import ROOT

pytestmark = pytest.mark.xdist_group("exabgp")

MANY = 10_000
BEFORE_5 = "4.2.25"
CONFIG = """
process port25 {{
    run {run};
    encoder {encoder};
}}
neighbor 127.0.0.9 {{
    router-id 127.0.0.1;
    local-address 127.0.0.1;
    local-as 65001;
    peer-as 65002;
    passive true;
    family {{ ipv4 flow; ipv6 flow; }}
    {api}
}}
"""
API = "api { processes [ port25 ]; }"


@pytest.fixture(scope="session")
def versions() -> dict[str, list[str]]:
    """Commands that start ExaBGP; 4.2 lives in an environment of its own below build/."""
    return {"5": [str(Path(sys.executable).with_name("exabgp")), "server"], "4": before_5()}


def before_5() -> list[str]:
    """ExaBGP 4.2, installed once; empty where it cannot be had."""
    folder = ROOT / "build" / f"exabgp-{BEFORE_5}"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder / "bin" / "exabgp"
        if not made.exists():
            install = [str(folder / "bin" / "pip"), "install", "-q", "--retries", "1"]
            try:
                subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
                words = [*install, f"exabgp=={BEFORE_5}", "setuptools<80"]
                subprocess.run(words, check=True, timeout=300, capture_output=True)
            except (OSError, subprocess.SubprocessError):
                return []
        return [str(made)]


class ExaBGP:
    """One that runs, and what it logs."""

    def __init__(self, command, folder: Path, *, encoder="text", ack=True, api=API) -> None:
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.log = folder / "log"
        run = folder / "run"
        words = "-m sensor blocklist --format exabgp --follow --state"
        run.write_text(f"#!/bin/sh\ncd {ROOT}\nexec {sys.executable} {words} {self.state}\n")
        run.chmod(0o755)
        config = folder / "exabgp.conf"
        config.write_text(CONFIG.format(run=run, encoder=encoder, api=api))
        names = {"daemon.user": "root", "daemon.drop": "false", "log.level": "INFO",
                 "log.destination": "stdout", "api.ack": str(ack).lower(),
                 "api.cli": "false", "tcp.bind": ""}  # fmt: skip
        environment = os.environ | {f"exabgp.{name}": value for name, value in names.items()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, str(config)], stdout=log, stderr=log, env=environment,
                start_new_session=True,
            )  # fmt: skip

    def said(self, text: str) -> int:
        return self.log.read_text(errors="replace").count(text)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(200)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(300)


@pytest.fixture
def start(versions, folder):
    """Starts ExaBGP of a version with blocks in force; ends it after the test."""
    running = []

    def with_blocks(version: str, hosts: list[str], **options) -> tuple[ExaBGP, Ledger]:
        if not versions[version]:
            pytest.skip(f"ExaBGP {BEFORE_5} cannot be installed below build/")
        (folder / "state").mkdir()
        ledger = Ledger(folder / "state" / "blocking.sqlite")
        put(ledger, hosts)
        running.append(ExaBGP(versions[version], folder, **options))
        return running[-1], ledger

    yield with_blocks
    for one in running:
        one.end()


def put(ledger: Ledger, hosts: list[str]) -> None:
    now = time.time_ns()
    with ledger.db.transaction():
        for host in hosts:
            source, ports = where(host)
            ledger._write(
                decision("block", now, enforced=True, host=host, source=str(source), ports=ports,
                         since=now, expires=now + 3600 * SECOND, alert="a" * 32, reasons=["x"])
            )  # fmt: skip


def release(ledger: Ledger) -> None:
    ledger.release(lambda one: True, time.time_ns(), "x", "mary")


HOSTS = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(MANY)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "many", "options"),
    [
        ("5", MANY, {}),  # more answers than a pipe holds
        ("4", MANY, {}),
        ("5", 2000, {"ack": False}),
        ("4", 2000, {"ack": False}),
        ("5", 2000, {"encoder": "json"}),
        ("4", 2000, {"encoder": "json"}),
    ],
)
def test_ten_thousand_routes_there_and_back(start, version, many, options):
    exabgp, ledger = start(version, HOSTS[:many], **options)
    patience = 120  # of which ten are for the answers that do not come
    wait_for(lambda: exabgp.said("flow added") == many, patience, f"routes: {exabgp.log}")
    release(ledger)
    wait_for(lambda: exabgp.said("flow removed") == many, patience, f"withdrawals: {exabgp.log}")
    put(ledger, ["10.99.99.99"])
    wait_for(lambda: exabgp.said("flow added") == many + 1, 20, "it goes on")
    assert faults(exabgp.state) == []
    told = "exabgp does not answer: what it refuses cannot be known"
    assert exabgp.said(told) == (0 if options.get("ack", True) else 1)
    assert exabgp.process.poll() is None


@pytest.mark.parametrize("version", ["5", "4"])
def test_every_kind_of_route(start, version):
    hosts = ["203.0.113.7", "2001:db8:1::/56", "2001:db8:1:1::/64", "100.64.0.1:0-1023",
             "100.64.0.1:1000-1999", "100.64.0.2", "100.64.0.2:0-1023"]  # fmt: skip
    exabgp, ledger = start(version, hosts)
    wait_for(lambda: exabgp.said("flow added") == 5, 60, f"routes: {exabgp.log}")
    # One before it may have announced what is covered, or cut short, now.
    at_once = exabgp.said("flow removed")
    assert at_once == 3
    release(ledger)
    wait_for(lambda: exabgp.said("flow removed") == at_once + 5, 20, f"gone: {exabgp.log}")
    assert exabgp.said("flow not found") == 0
    assert faults(exabgp.state) == []


@pytest.mark.parametrize("version", ["5", "4"])
@pytest.mark.parametrize("encoder", ["text", "json"])
def test_what_it_refuses_is_told(start, version, encoder):
    """No neighbour takes routes of this process."""
    exabgp, ledger = start(version, HOSTS[:3000], encoder=encoder, api="")
    wait_for(lambda: faults(exabgp.state), 60, f"the fault: {exabgp.log}")
    wait_for(lambda: faults(exabgp.state)[0].refused == 3000, 30, "all of them")
    (fault,) = faults(exabgp.state)
    assert fault.first[0].startswith("announce flow route { match { source 10.0.0.0/32")
    assert exabgp.said("exabgp answers error to: announce flow route") == 10
    release(ledger)
    wait_for(lambda: not faults(exabgp.state), 30, "nothing is wanted, so nothing refused")
    assert exabgp.process.poll() is None


@pytest.mark.parametrize("version", ["5", "4"])
def test_started_before_there_is_a_ledger(versions, folder, start, version):
    if not versions[version]:
        pytest.skip(f"ExaBGP {BEFORE_5} cannot be installed below build/")
    exabgp = ExaBGP(versions[version], folder)
    try:
        wait_for(lambda: exabgp.said("trying again"), 60, f"its complaint: {exabgp.log}")
        put(Ledger(exabgp.state / "blocking.sqlite"), HOSTS[:3])
        wait_for(lambda: exabgp.said("flow added") == 3, 20, "routes")
    finally:
        exabgp.end()


@pytest.mark.parametrize("version", ["5", "4"])
def test_what_ended_while_it_was_dead_is_withdrawn(start, version):
    """ExaBGP starts it again and has kept what it announced."""
    exabgp, ledger = start(version, HOSTS[:3])
    wait_for(lambda: exabgp.said("flow added") == 3, 60, f"routes: {exabgp.log}")
    found = subprocess.run(
        ["pgrep", "-f", f"sensor blocklist.*{exabgp.state}"],
        capture_output=True,
        text=True,
        check=True,
    )
    (number,) = map(int, found.stdout.split())
    os.kill(number, signal.SIGSTOP)
    ledger.release(lambda one: one.host == HOSTS[1], time.time_ns(), "x", "mary")
    os.kill(number, signal.SIGKILL)
    wait_for(lambda: exabgp.said("flow added") == 5, 60, f"those in force: {exabgp.log}")
    (line,) = [x for x in exabgp.log.read_text().splitlines() if "flow removed" in x]
    assert f"{HOSTS[1]}/32" in line
    assert faults(exabgp.state) == []


@pytest.mark.parametrize("version", ["5", "4"])
def test_what_overlapping_blocks_were_cut_to_is_withdrawn(start, version):
    """One of two overlapping blocks ends, and another is covered, while nobody looks."""
    exabgp, ledger = start(
        version, ["100.64.0.1:0-1023", "100.64.0.1:1000-1999", "2001:db8:1:1::/64"]
    )
    wait_for(lambda: exabgp.said("flow added") == 3, 60, f"routes: {exabgp.log}")
    found = subprocess.run(
        ["pgrep", "-f", f"sensor blocklist.*{exabgp.state}"],
        capture_output=True,
        text=True,
        check=True,
    )
    (number,) = map(int, found.stdout.split())
    os.kill(number, signal.SIGSTOP)
    ledger.release(lambda one: one.host == "100.64.0.1:1000-1999", time.time_ns(), "x", "mary")
    put(ledger, ["2001:db8:1::/56"])
    os.kill(number, signal.SIGKILL)
    wait_for(lambda: exabgp.said("flow added") == 5, 60, f"those in force: {exabgp.log}")
    lines = [x for x in exabgp.log.read_text().splitlines() if "flow removed" in x]
    assert any("2001:db8:1:1::/64" in x for x in lines), lines
    cut = ">=1024&<=1999", ">=1024&<=tcp-id-port"
    assert any(text in x for x in lines for text in cut), lines
    assert not any("2001:db8:1::/56" in x or "1023" in x for x in lines), "those in force"
    assert faults(exabgp.state) == []


def test_it_ends_when_its_reader_is_gone(folder):
    ledger = Ledger(folder / "blocking.sqlite")
    put(ledger, HOSTS[:3])
    command = [sys.executable, "-m", "sensor", "blocklist", "--format", "exabgp", "--follow"]
    process = subprocess.Popen(
        [*command, "--state", str(folder)], cwd=ROOT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline().startswith(b"announce")
    process.stdout.close()
    assert process.wait(300) == 1
    assert b"who reads the routes is gone" in process.stderr.read()
