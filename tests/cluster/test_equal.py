"""However a capture is split over sensors, alerts are those of one that saw it all."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from lab.splitting import by_direction, by_flow, doubled, split, wrong_clocks
from sensor.capture.merge import Captures
from sensor.cluster.forwarder import Forwarder
from sensor.cluster.share import Share
from sensor.decode.decoder import Decoder
from sensor.pipeline import Pipeline
from sensor.settings import Settings, load_settings
from tests.conftest import PCAPS

CAPTURES = sorted(path.stem for path in PCAPS.glob("*.pcap"))


def settings_of(name: str) -> Settings:
    beside = PCAPS / f"{name}.toml"
    return load_settings(str(beside) if beside.exists() else None)


def replayed(settings: Settings, *captures: Path) -> list[dict]:
    """The alerts of a replay."""
    found = []
    for output in Pipeline(settings).run(Captures([str(path) for path in captures])):
        found += output.alerts
    return [json.loads(msgspec.json.encode(alert)) for alert in found]


def forwarded(
    settings: Settings, name: str, capture: Path, partitions: int = 1
) -> list[list[bytes]]:
    """The messages a sensor sends, by partition."""
    sent: list[list[bytes]] = [[] for _ in range(partitions)]
    forwarder = Forwarder(settings, name, partitions, lambda p, m: sent[p].append(m))
    decoder = Decoder(settings.ports, settings.duplicate_window, settings.reads_dns)
    for block in Captures([str(capture)]):
        newest = int(block.frames["ts"].max())
        forwarder.add(decoder.decode(block), block.data, newest, str(capture))
        forwarder.flush()
    forwarder.end()
    return sent


def correlated(settings: Settings, captures: Sequence[Path], waiting: bool = True) -> list[dict]:
    """The alerts of the sensors together; without ``waiting``, as their batches come in turn."""
    sensors = [forwarded(settings, f"s{n}", path)[0] for n, path in enumerate(captures)]
    share = Share(settings)
    turns = itertools.zip_longest(*sensors)
    found = []
    for at, messages in enumerate(turns):
        for message in messages:
            if message is not None:
                share.add(message, at * 1000, waiting)
        found += share.turn()
    found += share.finish()
    assert share.counters()["segments_late"] == 0
    assert share.counters()["batches_unreadable"] == 0
    told = [json.loads(msgspec.json.encode(alert)) for alert in found]
    for alert in told:
        assert set(alert.pop("sensor").split(",")) <= {f"s{n}" for n in range(len(captures))}
    return told


@pytest.mark.slow
@pytest.mark.parametrize("waiting", [True, False], ids=["at_once", "in_turn"])
@pytest.mark.parametrize("whose", [by_direction, by_flow, doubled])
@pytest.mark.parametrize("name", CAPTURES)
def test_alerts_are_those_of_one_sensor(name, whose, waiting, tmp_path):
    settings, whole = settings_of(name), PCAPS / f"{name}.pcap"
    parts = split(whole, tmp_path, whose)
    assert correlated(settings, parts, waiting) == replayed(settings, whole)


def seen(alerts: list[dict]) -> list[tuple]:
    """What clocks change nothing of: hosts, states, kinds of evidence, decisions.

    What was proven, or happened, by the very moment of an alert, within 20 ms, they do change: so
    only lines count that weigh.
    """
    return sorted(
        (
            one["host"], one["revision"], one["state"], one["severity"], one["block_recommended"],
            one["block_code"], one["proven"] > 0, one["disowned"] > 0,
            tuple(line["code"] for line in one["evidence"] if line["decibans"]),
        )
        for one in alerts
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("off", [0.02, -0.02], ids=["behind", "ahead"])
@pytest.mark.parametrize("name", CAPTURES)
def test_clocks_that_differ_change_nothing(name, off, tmp_path):
    settings, whole = settings_of(name), PCAPS / f"{name}.pcap"
    parts = split(whole, tmp_path, by_direction, wrong_clocks(7, off))
    assert seen(correlated(settings, parts)) == seen(replayed(settings, whole))
