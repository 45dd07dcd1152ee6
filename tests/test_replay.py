"""The whole way, on the fixtures: who is found, who is left alone, and always the same bytes."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from lab.frames import pcap
from lab.outputs import feed, finish
from sensor.alerts.alert import Alert
from sensor.capture import block as block_module
from sensor.capture import pcapfile
from sensor.capture.merge import Captures
from sensor.decode.decoder import Decoder
from sensor.pipeline import Pipeline
from sensor.settings import Settings, load_settings, parse_settings
from tests.conftest import PCAPS, ROOT, port25

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TRUTH = json.loads((PCAPS / "truth.json").read_text())


def run(settings: Settings, *paths: Path, blocks=None) -> tuple[list[Alert], Pipeline]:
    pipeline = Pipeline(settings)
    alerts = []
    for block in blocks or Captures([str(path) for path in paths]):
        alerts += feed(pipeline, block)
    return alerts + finish(pipeline), pipeline


def settings_of(name: str) -> Settings:
    config = PCAPS / f"{name}.toml"
    return load_settings(str(config) if config.exists() else None)


def lines(alerts: list[Alert]) -> bytes:
    return b"".join(msgspec.json.encode(alert) + b"\n" for alert in alerts)


@pytest.mark.parametrize("name", TRUTH)
def test_the_truth_is_found(name):
    alerts, pipeline = run(settings_of(name), PCAPS / f"{name}.pcap")
    hosts = TRUTH[name]["hosts"]
    assert {alert.host for alert in alerts} == {h for h, t in hosts.items() if t["alert"]}
    blocked = {alert.host for alert in alerts if alert.block_recommended}
    assert blocked == {h for h, t in hosts.items() if t["block"]}
    for alert in alerts:
        total = round(sum(line.decibans for line in alert.evidence), 1)
        assert total == alert.score, "the printed sum adds up"
    read = sum(len(block.frames) for block in Captures([str(PCAPS / f"{name}.pcap")]))
    frames = pipeline.counters()["frames"]
    assert sum(frames.values()) == read


def test_an_innocent_whose_address_is_forged_is_never_to_be_blocked():
    alerts, _ = run(Settings(), PCAPS / "spoofed.pcap")
    assert alerts and alerts[0].disowned > 0 and alerts[0].state == "raised"
    assert not any(a.block_recommended for a in alerts)
    assert "SYNs can be forged" in alerts[0].block_reason
    assert {a.severity for a in alerts} == {"medium"}


def test_one_direction_is_never_a_claim_of_failure():
    alerts, _ = run(Settings(), PCAPS / "one_direction.pcap")
    silent = Settings(replies="hidden")
    hidden, _ = run(silent, PCAPS / "one_direction.pcap")
    assert not alerts[0].handshake_proven
    assert "not measurable" in hidden[0].evidence[2].reason


def test_only_syns_show_no_failures():
    """A capture filtered to SYNs tells nothing of answers: no walk, fan-out alone."""
    pipeline = Pipeline(Settings())
    alerts = []
    for block in Captures([str(PCAPS / "fast_bot.pcap")]):
        segments = Decoder(Settings().ports).decode(block)
        syns = np.unique(segments["frame"][segments["tcp_flags"] == 2]) - block.number
        alerts += feed(pipeline, block._replace(frames=block.frames[syns]))
    assert not any(a.replies_visible for a in alerts)
    assert all(a.evidence[2].decibans == 0 for a in alerts)


def test_chunks_files_compression_and_pipes_give_the_same_bytes(tmp_path, monkeypatch):
    path = PCAPS / "demo.pcap"
    expected = lines(run(Settings(), path)[0])
    assert expected.count(b"\n") > 5
    packed = tmp_path / "demo.zst"
    packed.write_bytes(zstd.compress(path.read_bytes()))
    assert lines(run(Settings(), packed)[0]) == expected
    with path.open("rb") as stdin:
        assert port25("replay", "-q", "-", stdin=stdin).stdout == expected
    piped = subprocess.run(
        f"zstd -dc {packed} 2>/dev/null || cat {path}",
        shell=True, capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert port25("replay", "-q", "-", input=piped).stdout == expected

    for size in (1, 7, 1000):

        def slices(size=size):
            for block in Captures([str(path)]):
                for at in range(0, len(block.frames), size):
                    yield block._replace(
                        frames=block.frames[at : at + size], number=block.number + at
                    )

        assert lines(run(Settings(), blocks=slices())[0]) == expected
    monkeypatch.setattr(pcapfile, "CHUNK", 4096)
    assert lines(run(Settings(), path)[0]) == expected
    assert block_module.FRAMES_PER_BLOCK > 1000


def test_files_captured_side_by_side_give_the_alerts_of_one(tmp_path):
    whole = []
    for block in Captures([str(PCAPS / "demo.pcap")]):
        for row in block.frames:
            frame = block.data[row["offset"] : row["offset"] + row["captured"]].tobytes()
            whole.append((int(row["ts"]) + len(whole), frame))  # no two at the same time
    for name, frames in (("whole", whole), ("a", whole[::2]), ("b", whole[1::2])):
        (tmp_path / name).write_bytes(pcap(frames, nano=True))
    merged, _ = run(Settings(), tmp_path / "b", tmp_path / "a")
    assert lines(merged) == lines(run(Settings(), tmp_path / "whole")[0])


def test_a_tiny_buffer_of_events_changes_nothing(monkeypatch):
    from sensor import pipeline

    expected = lines(run(Settings(), PCAPS / "demo.pcap")[0])
    monkeypatch.setattr(pipeline, "_EVENTS", 2)
    assert lines(run(Settings(), PCAPS / "demo.pcap")[0]) == expected


def test_with_no_settings_every_client_is_a_candidate_and_a_server_is_not():
    _, pipeline = run(Settings(), PCAPS / "new_mail_server.pcap")
    assert pipeline.counters()["hosts"]["hosts"] == 1


def test_own_servers_are_no_candidates_and_no_destinations():
    own = Settings(own_mail_servers=("203.0.113.10",))
    alerts, pipeline = run(own, PCAPS / "fast_bot.pcap")
    assert not alerts and pipeline.counters()["connections"]["attempts_by_own_servers"] == 240
    to_own = Settings(own_mail_servers=("198.18.0.0/15",))
    alerts, pipeline = run(to_own, PCAPS / "fast_bot.pcap")
    assert not alerts and pipeline.counters()["connections"]["attempts_to_own_servers"] == 240


def test_hosts_outside_the_prefixes_are_counted_and_left():
    alerts, pipeline = run(Settings(subscriber_prefixes=("192.0.2.0/24",)), PCAPS / "worm.pcap")
    counters = pipeline.counters()["connections"]
    assert not alerts and counters["attempts_from_elsewhere"] == counters["attempts"] == 300


@pytest.mark.parametrize(("until", "alerted"), [("2025-06-15", False), ("2025-06-14", True)])
def test_an_exemption_ends_with_its_last_day(until, alerted):
    toml = f'exempt = [{{ prefix = "203.0.113.10", reason = "test", until = {until} }}]'
    alerts, pipeline = run(parse_settings(toml), PCAPS / "fast_bot.pcap")
    assert bool(alerts) == alerted
    assert bool(pipeline.counters()["connections"]["suppressed_by_exemption"]) != alerted


def test_a_shared_address_is_never_blocked_whole():
    toml = 'subscriber_prefixes = [{ prefix = "100.64.0.0/10", cgn = true }]'
    alerts, _ = run(parse_settings(toml), PCAPS / "cgn.pcap")
    assert alerts and all(a.shared_address and not a.block_recommended for a in alerts)
    assert "look up the customer" in alerts[-1].block_reason


def test_alerts_close_when_the_evidence_has_lapsed():
    later = 1_750_000_000 + 40 * 3600
    pipeline = Pipeline(Settings())
    alerts = []
    for block in Captures([str(PCAPS / "fast_bot.pcap")]):
        alerts += feed(pipeline, block)
    pipeline._last_ts = later * 10**9
    alerts += finish(pipeline)
    assert alerts[-1].state == "closed" and not alerts[-1].block_recommended
    assert len({a.id for a in alerts}) == 1
    assert [a.revision for a in alerts] == list(range(1, len(alerts) + 1))
    assert alerts[-1].ts % (10 * 10**9) == 0, "sweeps are at fixed moments"
    assert pipeline.counters()["alerts"]["alerts_open"] == 0


def test_a_clock_that_steps_back_frames_nobody():
    """An hour of a mail server's traffic replayed over a clock that keeps stepping back."""
    pipeline = Pipeline(Settings())
    alerts = []
    for block in Captures([str(PCAPS / "new_mail_server.pcap")]):
        step = block.frames["ts"] - block.frames["ts"][0]
        block.frames["ts"] = block.frames["ts"] - step // 3600_000_000_00 * 3_500_000_000_00
        alerts += feed(pipeline, block)
    assert pipeline.counters()["time"]["clock_steps_back"] > 5
    assert not alerts


def test_the_watched_host_is_explained_at_its_worst():
    pipeline = Pipeline(Settings(), watch="203.0.113.30")
    watched, best = [], 0
    for output in pipeline.run(Captures([str(PCAPS / "demo.pcap")])):
        watched += [output.watched.score] if output.watched else []
        best = max([best, *(a.score for a in output.alerts if a.host == "203.0.113.30")])
    assert watched == sorted(set(watched)), "each higher than those before"
    assert watched[-1] / 10 >= best
    watching = lines(run(Settings(), PCAPS / "demo.pcap")[0])
    assert watching.count(b"203.0.113.30") > 0


@pytest.mark.slow
def test_fixtures_are_what_their_scripts_make(tmp_path):
    pytest.importorskip("scapy", reason="scapy is not installed")
    subprocess.run([sys.executable, "pcaps/scenarios.py", tmp_path], cwd=ROOT, check=True)
    for made in tmp_path.iterdir():
        assert made.read_bytes() == (PCAPS / made.name).read_bytes(), made.name


def test_alerts_that_a_state_folder_holds_already_are_counted_and_not_told_again(tmp_path):
    words = "replay", "-q", "--state", str(tmp_path), str(PCAPS / "slow_bot.pcap")
    told = port25(*words, check=True)
    alerts = len(told.stdout.splitlines())
    assert alerts and told.stderr == b""
    again = port25(*words, check=True)
    assert again.stdout == b""
    said = f"{alerts} alerts were in the journal of {tmp_path} before: not told again"
    assert said in again.stderr.decode()
