"""One capture split over sensors, on a real Kafka: are the alerts on the topic those of a replay?

    python -m lab.together [CAPTURE] [--packets 1000000]    (Java 17, Maven)

Without a capture, one of the traffic laboratory is made: a provider's subscribers over a day, with
bots of every kind among them. It is split (a) by direction, (b) by flow over three sensors, (c) as
two taps on one line see it, (d) by direction with unsteady clocks 20 ms apart. Each is sent by as
many ``port25 forward`` as there are sensors, and followed by one ``port25 correlate``. Of
(a) to (c) the alerts must be those of a replay, id for id and byte for byte but for the field that
names the sensors; of (d) hosts, states, kinds of evidence and decisions. Exit 1 where they are not.
"""

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from lab import ROOT, port25
from lab.broker import Broker
from lab.splitting import Whose, by_direction, by_flow, doubled, split, wrong_clocks
from lab.traffic.packets import blocks
from lab.traffic.packets import write as write_traffic
from lab.traffic.population import traffic

__all__ = ["WAYS", "Way", "capture", "differing", "seen"]

SETTINGS: Final = """
subscriber_prefixes = ["10.0.0.0/8", "2001:db8::/32"]
[kafka]
bootstrap = ["{bootstrap}"]
alerts_topic = "alerts-{run}"
[cluster]
segments_topic = "segments-{run}"
state_topic = "state-{run}"
group = "group-{run}"
"""
_BOTS: Final = 4
"""Of each family and kind of evader, in a million packets: they have two fifths of them."""
_SUBSCRIBERS: Final = 15_000
_SECONDS: Final = 600
"""For each of the processes."""

Alert = dict[str, Any]


class Way(NamedTuple):
    """How a capture is split, and which clocks sensors have."""

    name: str
    whose: Whose
    clocks: Callable[[], Callable[[int, int], int]] | None = None


WAYS: Final = (
    Way("by direction", by_direction),
    Way("by flow, three sensors", by_flow),
    Way("two taps on one line", doubled),
    Way("by direction, clocks 20 ms apart", by_direction, lambda: wrong_clocks(7)),
)


def capture(path: Path, packets: int, seed: int = 25) -> int:
    """Write one of the traffic laboratory, of about so many packets; how many there are."""
    share = packets / 1e6
    world = traffic(seed, round(_SUBSCRIBERS * share), bots=max(1, round(_BOTS * share)))
    return write_traffic(path, blocks(world.connections, world.scripts))


def seen(alert: Alert) -> tuple[Any, ...]:
    """What clocks change nothing of: host, state, kinds of evidence, decision.

    What was proven, or happened, by the very moment of an alert, within 20 ms, they do change: so
    only lines count that weigh.
    """
    return (
        alert["host"], alert["revision"], alert["state"], alert["severity"],
        alert["block_recommended"], alert["block_code"], alert["proven"] > 0,
        alert["disowned"] > 0,
        tuple(line["code"] for line in alert["evidence"] if line["decibans"]),
    )  # fmt: skip


def differing(way: Way, want: list[Alert], found: list[Alert]) -> list[str]:
    """Hosts whose alerts are not the same, in order; figures count unless clocks were wrong."""
    one, many = (_by_host(alerts, way.clocks is not None) for alerts in (want, found))
    return sorted(host for host in one.keys() | many.keys() if one.get(host) != many.get(host))


def _by_host(alerts: list[Alert], clocks_differ: bool) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for alert in alerts:
        told = {name: value for name, value in alert.items() if name != "sensor"}
        found.setdefault(alert["host"], []).append(seen(alert) if clocks_differ else told)
    return found


def on_topic(broker: Broker, folder: Path, paths: list[Path], run: str) -> list[Alert]:
    """What who reads committed messages finds, once each of ``paths`` was a sensor's."""
    config = folder / f"{run}.toml"
    config.write_text(SETTINGS.format(bootstrap=broker.bootstrap, run=run))
    words = [sys.executable, "-m", "sensor"]
    sensors = [
        subprocess.Popen(
            [*words, "forward", "-q", str(path), "--sensor", f"s{n}", "-c", str(config)], cwd=ROOT
        )
        for n, path in enumerate(paths)
    ]
    for sensor in sensors:
        assert sensor.wait(_SECONDS) == 0
    done = subprocess.run(
        [*words, "correlate", "-c", str(config), "--until-idle", "1"],
        cwd=ROOT, timeout=_SECONDS, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for discard in ("segments_late", "batches_unreadable", "batches_missing", "segments_unwaited"):
        assert discard not in done.stderr, done.stderr
    return [json.loads(r.value) for r in broker.read(f"alerts-{run}", "read_committed")]


def run(whole: Path, folder: Path, broker: Broker) -> int:
    """All ways, and a line for each; in how many alerts were not the same."""
    config = folder / "replay.toml"
    config.write_text(SETTINGS.format(bootstrap=broker.bootstrap, run="replay"))
    lines = port25("replay", "-q", "--json", "-c", str(config), str(whole)).stdout.splitlines()
    want = [json.loads(line) for line in lines]
    hosts = len({alert["host"] for alert in want})
    print(f"replay: {len(want):,} alerts of {hosts:,} hosts\n")
    print("| split | sensors | alerts on the topic | hosts whose alerts differ | s |")
    print("| --- | ---: | ---: | --- | ---: |", flush=True)
    wrong = 0
    for number, way in enumerate(WAYS):
        started = time.monotonic()
        clock = way.clocks() if way.clocks else None
        paths = split(whole, folder / str(number), way.whose, clock)
        found = on_topic(broker, folder, paths, secrets.token_hex(4))
        differ = differing(way, want, found)
        wrong += bool(differ)
        said = ", ".join(differ[:5]) + (" ..." if len(differ) > 5 else "") if differ else "none"
        took = time.monotonic() - started
        print(f"| {way.name} | {len(paths)} | {len(found):,} | {said} | {took:.0f} |", flush=True)
    return wrong


def main() -> int:
    """Exit code."""
    parser = argparse.ArgumentParser(prog="python -m lab.together")
    parser.add_argument("capture", nargs="?", type=Path)
    parser.add_argument("--packets", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="port25-together-") as made:
        folder, whole = Path(made), options.capture
        if whole is None:
            whole = folder / "traffic.pcap"
            print(
                f"{capture(whole, options.packets):,} packets of the traffic laboratory; ", end=""
            )
        broker = Broker(folder / "kafka").start()
        try:
            return int(run(whole, folder, broker) > 0)
        finally:
            broker.kill()


if __name__ == "__main__":
    raise SystemExit(main())
