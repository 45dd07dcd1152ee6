"""Someone forges SYNs in the name of many thousand innocent subscribers."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest

from lab.storm import PCAP, START, syns, write
from lab.waiting import wait_for
from sensor.blocking.ledger import Ledger
from sensor.state.journal import Journal
from tests.conftest import PCAPS, ROOT, port25

GROUPS, HOSTS, SYNS, SECONDS = 100, 1000, 60, 9
UNPROVEN = 8192
FIRST_FRAME = 1_750_000_000
"""Second at which the bots' captures begin."""


@pytest.mark.slow
def test_a_hundred_thousand_framed_subscribers_are_no_block_and_few_alarms(tmp_path):
    config = tmp_path / "port25.toml"
    config.write_text(
        'subscriber_prefixes = ["10.0.0.0/8"]\n'
        '[blocking]\nmode = "enforce"\n'
        "[detectors.fan_out]\nusual = [3, 5, 8, 9, 9]\n"  # 60 in 9 s convict alone
    )
    state = tmp_path / "state"
    command = [
        sys.executable, "-m", "sensor", "replay", "-q", "--json", "-c", str(config),
        "--state", str(state), "-",
    ]  # fmt: skip
    said = tmp_path / "stderr"
    with (
        said.open("wb") as err,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=err, cwd=ROOT
        ) as sensor,
    ):
        assert sensor.stdin is not None
        sensor.stdin.write(PCAP)
        records = syns(HOSTS, SYNS, SECONDS)
        for _ in range(GROUPS):
            sensor.stdin.write(records.tobytes())
            records["src"] += HOSTS
            records["sec"] += SECONDS
        sensor.stdin.close()
        assert sensor.wait(600) == 0, said.read_text()

    journal = Journal(state / "journal.sqlite", True)
    told = [alert for _, alert in journal.read()]
    closed = sum(alert.state == "closed" for alert in told)
    raised = sum(alert.state == "raised" for alert in told)
    assert raised - closed <= UNPROVEN and raised < GROUPS * HOSTS
    assert not any(alert.block_recommended for alert in told)
    ledger = Ledger(state / "blocking.sqlite", read_only=True)
    assert {entry.decision.action for entry in ledger.page()} == {"alarm"}
    (line,) = [one for one in said.read_text().splitlines() if "forged flood" in one]
    assert "10.0.0.0/16" in line and "TTL 64" in line
    assert json.loads(subprocess.run(
        [sys.executable, "-m", "sensor", "blocklist", "--format", "json", "--state", str(state)],
        capture_output=True, check=True, cwd=ROOT,
    ).stdout) == []  # fmt: skip


SMALL = """
replies = "visible"
[limits]
max_hosts = 3000
max_details = 128
max_sketches = 8
max_alerts = 256
max_unproven_alerts = 64
"""


def replayed(folder, *captures) -> tuple[list[dict], str]:
    config = folder / "small.toml"
    config.write_text(SMALL)
    run = port25("replay", "--json", "-c", str(config), *map(str, captures))
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()], run.stderr.decode()


def first(alerts: list[dict], host: str) -> tuple[float, float]:
    """Seconds until ``host`` was found, and until its block was recommended."""
    mine = [one for one in alerts if one["host"] == host]
    found = min(one["ts"] for one in mine)
    blocked = min(one["ts"] for one in mine if one["block_recommended"])
    return found / 1e9 - START, blocked / 1e9 - START


def forged(sources: int, each: int, begin: float, seconds: float) -> np.ndarray:
    """SYNs from ever other sources to servers that do not answer."""
    records = syns(sources, each, seconds)
    when = records["sec"] * 1.0 - START + records["nsec"] / 1e9 + begin
    records["sec"] = START + when.astype(np.int64)
    return records


def later(capture, by: int, path):
    """The same capture so many seconds later."""
    content = bytearray(capture.read_bytes())
    at = 24
    while at < len(content):
        second, _, size, _ = struct.unpack_from("<IIII", content, at)
        struct.pack_into("<I", content, at, second + by)
        at += 16 + size
    path.write_bytes(content)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("sources", "each"), [(6000, 20), (20_000, 2)])
def test_real_bots_are_found_in_a_forged_flood_as_soon_as_without(tmp_path, sources, each):
    """BREAKING: many alerts that hold everything, and ever new sources that push others out."""
    begin = FIRST_FRAME - START
    flood = tmp_path / "flood.pcap"
    write(flood, forged(sources, each, begin, 2600))
    burst = tmp_path / "burst.pcap"
    write(burst, forged(6000, 20, begin + 1, 25))
    bots = {"203.0.113.10": PCAPS / "fast_bot.pcap", "203.0.113.20": PCAPS / "slow_bot.pcap"}
    alone, _ = replayed(tmp_path, *bots.values())
    alerts, said = replayed(tmp_path, flood, burst, *bots.values())
    for host in bots:
        for quiet, noisy in zip(first(alone, host), first(alerts, host), strict=True):
            assert noisy - begin <= (quiet - begin) * 1.1 + 1, (host, quiet, noisy)
    assert said.count("forged flood") == 1, said
    framed = [one for one in alerts if one["host"] not in bots]
    assert not any(one["block_recommended"] for one in framed)
    open_ = {one["id"]: one["state"] != "closed" for one in framed}
    assert sum(open_.values()) <= 64


def test_a_bot_an_hour_after_the_flood_is_found_and_its_alerts_are_closed(tmp_path):
    begin = FIRST_FRAME - START
    flood = tmp_path / "flood.pcap"
    write(flood, forged(6000, 20, begin, 25))
    bot = later(PCAPS / "fast_bot.pcap", 3600, tmp_path / "late.pcap")
    alone, _ = replayed(tmp_path, bot)
    alerts, said = replayed(tmp_path, flood, bot)
    assert first(alerts, "203.0.113.10") == first(alone, "203.0.113.10")
    assert said.count("forged flood") == 1
    last = {one["id"]: one for one in alerts if one["host"] != "203.0.113.10"}
    still = [one for one in last.values() if one["state"] != "closed"]
    assert len(still) <= 64 // 16
    assert any("fell silent in a flood" in one["block_reason"] for one in last.values())


def test_sigterm_ends_a_replay_in_a_flood(tmp_path):
    flood = tmp_path / "flood.pcap"
    write(flood, forged(60_000, 20, 0, 25))
    config = tmp_path / "big.toml"
    config.write_text('replies = "visible"\n')
    command = [
        sys.executable, "-m", "sensor", "replay", "-q", "--json", "-c", str(config), str(flood),
        str(later(flood, 90_000, tmp_path / "later.pcap")),
    ]  # fmt: skip
    with (tmp_path / "out").open("wb") as out:
        sensor = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, cwd=ROOT)
        wait_for(lambda: (tmp_path / "out").stat().st_size > 0, 60, "alerts")
        sensor.terminate()
        code = sensor.wait(300)
    assert code in (0, 130), "it may have come to its end before"
    assert code == 130 or sensor.stderr
