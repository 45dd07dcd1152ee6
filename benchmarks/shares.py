"""What several processes could gain a replay, and what they would change in its alerts.

    python -m benchmarks.shares [--packets 1000000] [--subscribers 3000] [--page]

First what reading with decoding, and what following costs a packet, in processor time of a thread:
a replay does each in a thread of its own, so that it takes as long as the dearer of the two. From
that follows what there would be at most with subscribers hashed over the processes of 2, 4 and 8
cores, each of which decodes everything; or where one decodes and the others follow.

Then the captures of the repository, and a day of a simulated provider, once through one pipeline
and once through several, each of which is told its share of subscribers and how late it is: how
many messages are others or lacking, and with how many of them the recommendation to block is.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.page import part
from lab import ROOT, sessions
from lab.generate import generate, write
from lab.traffic.packets import blocks
from lab.traffic.population import SETTINGS, traffic
from sensor.alerts.alert import Alert
from sensor.capture.block import Block
from sensor.capture.merge import Captures
from sensor.decode.segment import watched_ports
from sensor.decode.sharing import share_out
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.tracking.output import Output

RUNS = 3
CORES = (2, 4, 8)
SHARES = (2, 4)
_PREFIX = 64
"""Bits of an IPv6 address that are one subscriber."""


def costs(path: Path) -> tuple[float, float]:
    """Seconds to read and decode a capture, and to follow it; the best run of RUNS."""
    best = (np.inf, np.inf)
    for _ in range(RUNS):
        pipeline = Pipeline(Settings())
        captures = iter(Captures([str(path)]))
        read, whole = 0.0, time.thread_time()
        while True:
            began = time.thread_time()
            block = next(captures, None)
            segments = None if block is None else pipeline.decoder.decode(block)
            read += time.thread_time() - began
            if block is None or segments is None:
                break
            if len(segments):
                _taken(pipeline.follow(segments, block.data))
        _taken(pipeline.finish())
        best = min(best, (read, time.thread_time() - whole - read), key=sum)
    return best


def _taken(outputs: Iterable[Output]) -> None:
    for _ in outputs:
        pass


def gains(packets: int) -> None:
    """The table of costs, and of what follows from them."""
    heads = [f"{n} cores, {how}" for how in ("all decode", "one decodes") for n in CORES]
    print("| | read, decode, ns | follow, ns |", " | ".join(heads), "|")
    print("| --- |", " | ".join(["---:"] * (2 + len(heads))), "|", flush=True)
    made = {
        "all on port 25": lambda: generate(packets)[0],
        "2 % on port 25": lambda: generate(packets, 0.02)[0],
        "whole sessions": lambda: sessions.generate(packets // 20)[0],
        "SYNs of 200,000 hosts": lambda: generate(
            packets, hosts=200_000, bots=0, seed=1, only_syns=True
        )[0],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture.pcap"
        for name, records in made.items():
            write(path, records())
            count = sum(len(block.frames) for block in Captures([str(path)]))
            decode, follow = costs(path)
            now = max(decode, follow)
            at_most = [now / (decode + follow / n) for n in CORES]
            at_most += [now / max(decode, follow / (n - 1)) for n in CORES]
            each = (f"{seconds / count * 1e9:.0f}" for seconds in (decode, follow))
            print(f"| {name} |", " | ".join([*each, *(f"{x:.2f} x" for x in at_most)]), "|")


def share_of(segments: NDArray[np.void], settings: Settings, shares: int) -> NDArray[np.int64]:
    """Which share has each segment's subscriber, by the hash of workers and partitions."""
    found = np.zeros(len(segments), np.int64)
    ports = watched_ports(list(settings.ports))
    share_out(segments, ports, _PREFIX, shares, found)
    return found


Told = dict[tuple[str, int], Alert]
"""Messages by id and revision."""


def messages(captured: Iterable[Block], settings: Settings, shares: int) -> Told:
    """All that is told of a capture whose subscribers are split over so many pipelines."""
    pipelines = [Pipeline(settings) for _ in range(shares)]
    decoder, told = pipelines[0].decoder, {}

    def hear(outputs: Iterable[Output]) -> None:
        told.update({(a.id, a.revision): a for one in outputs for a in one.alerts})

    for block in captured:
        segments = decoder.decode(block)
        share = share_of(segments, settings, shares)
        for number, pipeline in enumerate(pipelines):
            mine = np.ascontiguousarray(segments[share == number])
            if len(mine):
                hear(pipeline.follow(mine, block.data))
            hear(pipeline.catch_up(int(block.frames["ts"].max())))
    for pipeline in pipelines:
        hear(pipeline.finish())
    return told


def differences(subscribers: int) -> None:
    """The table of what is told otherwise, and of what is told with another recommendation."""
    world = traffic(7, subscribers, 1, 2)
    provider = list(blocks(world.connections, world.scripts))
    files = sorted((ROOT / "pcaps").glob("*.pcap"))
    told = {
        file.name: [messages(Captures([str(file)]), Settings(), n) for n in (1, *SHARES)]
        for file in files
    }
    told = {name: runs for name, runs in told.items() if any(run != runs[0] for run in runs)}
    same = len(files) - len(told)
    told[f"a day of {subscribers:,} simulated subscribers"] = [
        messages(provider, SETTINGS, n) for n in (1, *SHARES)
    ]
    heads = [f"{what}, {n} shares" for n in SHARES for what in ("told otherwise", "of them blocks")]
    print("\n| | messages |", " | ".join(heads), "|")
    print("| --- | ---: |", " | ".join(["---:"] * len(heads)), "|")
    for name, (one, *split) in told.items():
        figures = [len(one)]
        for run in split:
            others = {key for key, alert in one.items() if run.get(key) != alert}
            figures += [
                len(others),
                sum(_recommends(one, k) != _recommends(run, k) for k in others),
            ]
        print(f"| {name} |", " | ".join(map(str, figures)), "|")
    print(f"\nThe other {same} captures of the repository say the same.")


def _recommends(told: Told, key: tuple[str, int]) -> bool:
    return key in told and told[key].block_recommended


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--subscribers", type=int, default=3_000)
    parser.add_argument("--page", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    with part("shares", options.page):
        gains(options.packets)
        differences(options.subscribers)


if __name__ == "__main__":
    main()
