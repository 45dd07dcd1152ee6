"""What a person types, and what it answers."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from lab.alerts import alert
from lab.waiting import wait_for
from sensor.blocking.bounds import Bounds
from sensor.blocking.ledger import Ledger
from sensor.blocking.policy import Policy
from sensor.blocking.settings import BlockingSettings
from sensor.state.journal import Journal, Row
from tests.conftest import ROOT, port25


def fresh(host: str, **fields):
    """An alert of this minute."""
    ts = time.time() - 1_700_000_000
    return alert(host, at=ts, opened=ts, **fields)


@pytest.fixture
def state(tmp_path):
    """Three blocks in force, and the journal they came from."""
    alerts = [fresh(host) for host in ("203.0.113.7", "2001:db8:1:100::/56", "203.0.113.8")]
    Journal(tmp_path / "journal.sqlite").write(alerts)
    policy = Policy(BlockingSettings(mode="enforce"), Bounds((), (), ()))
    ledger = Ledger(tmp_path / "blocking.sqlite")
    ledger.take("journal.sqlite", [Row(n + 1, a) for n, a in enumerate(alerts)], policy)
    return tmp_path


def said(*words: str, state, code: int = 0) -> str:
    done = port25(*words, "--state", str(state))
    assert done.returncode == code, done.stderr
    return (done.stdout if code == 0 else done.stderr).decode()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("plain", "203.0.113.7\n203.0.113.8\n"),
        ("csv", "block,203.0.113.7,203.0.113.7/32,,,"),
        ("nftables", "add element inet port25 blocked4 { 203.0.113.7 timeout 3"),
        ("ipset", "add port25-v4-new 203.0.113.7 timeout 3"),
        ("exabgp", "announce flow route { match { source 203.0.113.7/32; protocol tcp;"),
        ("rbldnsd", "203.0.113.7 :127.0.0.2:"),
        ("http", "203.0.113.7\n203.0.113.8\n"),
    ],
)
def test_every_form(state, form, text):
    out = said("blocklist", "--format", form, state=state)
    assert text in out or all(line in out for line in text.splitlines())
    assert "2001:db8:1:100::/56" in out


def test_release_by_an_address_of_the_subscriber(state):
    words = ("--reason", "called us", "--by", "mary")
    assert "released 2001:db8:1:100::/56" in said(
        "release", "2001:db8:1:1ff::5", *words, state=state
    )
    assert said("blocklist", state=state) == "203.0.113.7\n203.0.113.8\n"
    assert "no block of 192.0.2.1" in said("release", "192.0.2.1", *words, state=state, code=1)
    assert "name a HOST" in said("release", *words, state=state, code=2)
    assert "name a HOST" in said("release", "192.0.2.1", "--all", *words, state=state, code=2)
    assert said("release", "--all", *words, state=state).count("released") == 2
    assert said("blocklist", "--format", "json", state=state) == "[]\n"
    log = [json.loads(line) for line in said("decisions", state=state).splitlines()]
    assert [one["action"] for one in log] == ["block"] * 3 + ["release"] * 3
    assert (log[-1]["by"], log[-1]["reasons"]) == ("mary", ["called us"])
    (own,) = said("decisions", "--host", "203.0.113.8", state=state).splitlines()[:1]
    assert json.loads(own)["host"] == "203.0.113.8"


def test_a_file_is_whole_at_any_time_and_follows(state):
    target = state / "list"
    command = [
        sys.executable, "-m", "sensor", "blocklist", "--follow", "-o", str(target),
        "--state", str(state),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_for(target.exists, 20)
        assert len(target.read_text().splitlines()) == 3
        said("release", "203.0.113.7", "--reason", "x", state=state)
        wait_for(lambda: len(target.read_text().splitlines()) == 2, 10)
        assert [p.name for p in state.iterdir() if p.name.startswith(".list")] == []
    finally:
        process.terminate()
        process.wait(300)


def test_exabgp_is_told_what_changes(state):
    command = [
        sys.executable, "-m", "sensor", "blocklist", "--follow", "--format", "exabgp",
        "--state", str(state),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(3)]
        assert all(line.startswith("announce flow route") for line in first)
        said("release", "203.0.113.7", "--reason", "x", state=state)
        assert process.stdout.readline().startswith(
            "withdraw flow route { match { source 203.0.113.7/32;"
        )
    finally:
        process.terminate()
        process.wait(300)


def test_blocking_that_stopped_goes_on(state):
    assert "had not stopped" in said("resume", "--reason", "x", state=state, code=1)
    ledger = Ledger(state / "blocking.sqlite")
    policy = Policy(BlockingSettings(mode="enforce", max_blocks=3), Bounds((), (), ()))
    ledger.take("journal.sqlite", [Row(4, fresh("203.0.113.9"))], policy)
    assert ledger.stopped(enforced=True)
    assert "goes on" in said("resume", "--reason", "looked at", state=state)
    assert not ledger.stopped(enforced=True)


def test_what_can_go_wrong(state, tmp_path_factory):
    nowhere = tmp_path_factory.mktemp("nothing")
    assert "no ledger" in said("decisions", state=nowhere, code=1)
    assert "no sensor ran here" in said("blocklist", state=nowhere, code=1)
    assert "--at" in said("blocklist", "--at", "yesterday", state=state, code=2)
    assert "--follow: needs -o" in said("blocklist", "--follow", state=state, code=2)

    for beside in state.glob("blocking.sqlite-*"):
        beside.unlink()
    (state / "blocking.sqlite").write_bytes(b"no database" * 100)
    for verb in (("decisions",), ("release", "--all", "--reason", "x")):
        assert re.search("not a database", said(*verb, state=state, code=1))


def test_a_report_of_an_alert(state):
    id_ = next(iter(Journal(state / "journal.sqlite", True).read())).alert.id
    words = ("--organisation", "Example Net", "--contact", "abuse@isp.example")
    made = json.loads(said("report", id_[:10], *words, state=state))
    assert made["source_identifier"] == "203.0.113.7"
    assert "--contact" in said("report", id_, *words[:3], "nobody", state=state, code=2)
    assert "no alert" in said("report", "ffff", *words, state=state, code=1)


def test_hostile_reasons_are_harmless_on_a_terminal(state):
    evil = "\x1b]0;owned\x07\x1b[31m\u202egnp.exe"
    said("release", "203.0.113.7", "--reason", evil, "--by", evil, state=state)
    command = [sys.executable, "-m", "sensor", "decisions", "--state", str(state)]
    import pty

    master, slave = pty.openpty()
    subprocess.run(command, stdout=slave, stderr=slave, cwd=ROOT, check=True, timeout=600)
    os.close(slave)
    shown = os.read(master, 1 << 16).decode(errors="replace")
    assert "\x1b]0;" not in shown
    assert "\x1b[31m" not in shown
    assert "\u202e" not in shown
    assert "owned" in shown


FEED = '''
"""Blocks as lines of /etc/hosts.deny."""

LOOKUPS = False


def render(blocks, ts, own=()):
    return "".join(f"ALL: {one.source}\\n" for one in blocks)
'''


def test_a_feed_is_one_file(state, tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    for room in ("sensor", "detectors"):
        shutil.copytree(ROOT / room, tree / room)
    (tree / "sensor" / "blocking" / "feeds" / "denyhosts.py").write_text(FEED)
    command = [sys.executable, "-m", "sensor", "blocklist", "--state", str(state)]
    run = subprocess.run(
        [*command, "--format", "denyhosts"], cwd=tree, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == [
        "ALL: 203.0.113.7/32", "ALL: 2001:db8:1:100::/56", "ALL: 203.0.113.8/32"
    ]  # fmt: skip
    helped = subprocess.run([*command, "--help"], cwd=tree, capture_output=True, text=True)
    assert "csv,denyhosts,exabgp" in helped.stdout
