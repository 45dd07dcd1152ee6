"""How soon a block goes with its customer: from the lease told to nftables, the old one first."""

import itertools
import json
import re
import sys
import time

import pytest

from lab.leases import known_as
from lab.waiting import BUSY, wait_for
from tests.conftest import ROOT, port25
from tests.live.test_blocking import OFFICE, OFFICE_MAIL, Provider
from tests.live.test_customers import File, Radius

pytestmark = pytest.mark.kafka

ADDRESSES = [f"203.0.113.{n}" for n in range(1, 5)]
BOT = "bot@isp.example"
WATCH = """
import subprocess, sys, time
until = time.monotonic() + float(sys.argv[1])
command = ("nft", "list", "set", "inet", "port25", "blocked4")
while time.monotonic() < until:
    found = subprocess.run(command, capture_output=True, text=True).stdout
    print(time.time(), " ".join(found.split()), flush=True)
    time.sleep(0.02)
"""
TOLD_BY: dict[str, float] = {"file": 0.0, "radius": 1.0}
"""Seconds a source may hold a lease before the sensor has it: FreeRADIUS looks each second."""


class Watched:
    """What nftables has, looked at fifty times a second."""

    def __init__(self, provider, seconds):
        self.log = provider.folder / f"watch-{time.monotonic_ns()}"
        words = (sys.executable, "-c", WATCH, str(seconds))
        provider.lab.start(provider.lab.router, *words, log=self.log, cwd=ROOT)

    def seen(self):
        """Moments, and the addresses blocked at each."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [
            (float(line.partition(" ")[0]), set(re.findall(r"203\.0\.113\.\d+", line)))
            for line in lines
            if line.endswith("\n")
        ]

    def first(self, since, holds):
        return next((at - since for at, had in self.seen() if at > since and holds(had)), None)


def exempt_wherever_he_is(provider, source):
    """At the address he has, and at the next; who gets his old one is not."""
    state = str(provider.sensor.state)
    words = ("--exempt", "3", "--reason", "own test", "--by", "ann", "--state", state)
    done = port25("release", BOT, *words)
    assert done.returncode == 0 and f"exempt {known_as(BOT)}" in done.stdout.decode(), done.stderr
    wait_for(lambda: "203.0.113." not in provider.blocked(), 5, "he is not blocked any more")
    wait_for(lambda: provider.sensor.notices("settings"), 5, "the sensor obeys")
    new = "203.0.113.5"
    provider.lab.address(provider.lab.inside, new)
    source.ends(ADDRESSES[-1], BOT)
    source.begins(new, BOT)
    wait_for(lambda: provider.sensor.alerts()[-1]["host"] == new, 5, "he is told of at the next")
    time.sleep(2)
    assert "203.0.113." not in provider.blocked()
    assert provider.greeting("198.18.9.9", 25, new) == "220"


@pytest.mark.parametrize("kind", [File, Radius], ids=lambda kind: kind.name)
def test_within_a_second_and_never_both(lab, folder, kind, capsys):
    source = kind(lab, folder)
    provider = Provider(lab, folder, ttl=600, more=source.settings)
    office = (sys.executable, "-c", OFFICE_MAIL, OFFICE)  # time passes
    lab.start(lab.inside, *office, log=folder / "office")
    for address in ADDRESSES:
        lab.address(lab.inside, address)
    source.begins(ADDRESSES[0], BOT)
    wait_for(lambda: provider.sensor.metrics()["port25_leases_heard_total"] >= 1, 10, "a lease")
    bot = provider.bot()
    wait_for(lambda: f"{ADDRESSES[0]} " in provider.blocked(), 60, "the block")
    lab.stop(bot)
    figures = []
    for n, (old, new) in enumerate(itertools.pairwise(ADDRESSES)):
        watched = Watched(provider, 60)
        wait_for(watched.seen, 10, "nft")
        told = time.time()
        source.ends(old, BOT)
        source.begins(new, BOT)
        source.begins(old, f"home{n}@isp.example")
        wait_for(lambda: watched.first(told, lambda had: new in had), 5, f"{new} to be blocked")  # noqa: B023
        freed = watched.first(told, lambda had: old not in had)  # noqa: B023
        blocked = watched.first(told, lambda had: new in had)  # noqa: B023
        figures.append((round(freed, 2), round(blocked, 2)))
        assert freed <= blocked
        after = [had for at, had in watched.seen() if at > told]
        assert all(len(had & set(ADDRESSES)) <= 1 for had in after), "one customer, one block"
        assert provider.greeting("198.18.9.9", 25, old) == "220", "who has it now can send"
        assert provider.greeting("198.18.9.9", 25, new) == "ConnectionRefusedError"
    exempt_wherever_he_is(provider, source)
    with capsys.disabled():
        print(f"\n{kind.name}: seconds until freed, blocked: {figures}")
    patience = (1.0 + TOLD_BY[kind.name]) * BUSY
    assert max(blocked for _, blocked in figures) < patience
    made = [json.loads(x) for x in provider.log.read_text().splitlines() if x.startswith("{")]
    assert not any(line.get("refused") for line in made if "blocked" in line)
