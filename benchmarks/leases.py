"""What it costs to know customers: time, memory, and changes of leases a second.

    python -m benchmarks.leases [--leases N] [--large N] [--changes N] [--packets N] [--page]

The same packets through the pipeline proper without leases and with so many of them, among which
are those of every host in the packets; one after the other, each the best of three. Then the memory
of a table of ``--large`` leases, in a process of its own; and how many changes a second a full one
takes, where each moves an address from one customer to another. Prints Markdown.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.page import part
from lab.generate import START, generate, write
from sensor.base.addresses import MAPPED
from sensor.base.kernel import table
from sensor.base.units import SECOND
from sensor.capture.block import FRAME, Block
from sensor.capture.merge import Captures
from sensor.customers.layout import ADDRESS_BITS, CHANGE, UNFIT
from sensor.pipeline import Pipeline
from sensor.settings import Limits, Settings

RUNS = 3
HOSTS = 10_000
"""In the packets: 10.0.0.0 and on."""
FIRST = 10 << 24
BEFORE = (START - 100) * SECOND
CHUNK = 100_000
KEY_HI = 0xFF << 56
"""By which a customer's key is known from an address; see ``hosts.customer_key``."""
NOTHING = dict.fromkeys(UNFIT, 0)


def leases(
    count: int, since: int, customer: int = 1, first: int = 0, until: int = 0
) -> NDArray[np.void]:
    """Of so many addresses from 10.0.0.0 on, each another customer's (dtype CHANGE)."""
    rows = table(count, CHANGE)
    rows["ts"] = rows["since"] = since
    rows["until"] = until
    rows["lo"] = np.arange(FIRST + first, FIRST + first + count, dtype=np.uint64) | np.uint64(
        MAPPED
    )
    rows["bits"] = ADDRESS_BITS
    rows["who_hi"] = np.uint64(KEY_HI | customer)
    rows["who_lo"] = np.arange(first, first + count, dtype=np.uint64)
    return rows


def lent(count: int, most: int) -> Pipeline:
    """A pipeline that knows so many leases."""
    pipeline = Pipeline(Settings(limits=Limits(max_leases=max(most, 16))))
    begin(pipeline)
    for first in range(0, count, CHUNK):
        pipeline.lend(leases(min(CHUNK, count - first), BEFORE, first=first), NOTHING)
        exhaust(pipeline.catch_up(BEFORE + SECOND + first))
    return pipeline


def begin(pipeline: Pipeline) -> None:
    """Let time begin, which is the packets': one of an address that no lease names."""
    data, offsets = generate(1, hosts=1, only_syns=True)
    frames = table(1, FRAME)
    frames["offset"], frames["captured"], frames["wire"] = offsets[0] + 16, 60, 60
    frames["link"], frames["vlan"], frames["ts"] = 1, -1, BEFORE
    at = int(offsets[0]) + 16 + 26
    data[at : at + 4] = 192, 0, 2, 1
    exhaust(pipeline.feed(Block(data, frames, 1, "memory")))


def exhaust(outputs: Iterator[object]) -> None:
    """Do what is due."""
    for _ in outputs:
        pass


def proper(path: Path, count: int, most: int) -> tuple[float, int]:
    """Seconds of the pipeline, blocks in memory to alerts (the best of RUNS); leases that live."""
    times, live = [], 0
    for _ in range(RUNS):
        pipeline = lent(count, most)
        seconds = 0.0
        for block in Captures([str(path)]):
            start = time.perf_counter()
            exhaust(pipeline.feed(block))
            seconds += time.perf_counter() - start
        times.append(seconds)
        live = pipeline.counters()["customers"]["leases_live"]
    return min(times), live


def memory() -> float:
    """Of this process now, in GiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 2**20


def measure_memory(count: int) -> None:
    """One row: what a table of so many leases takes."""
    exhaust(lent(16, count).catch_up(BEFORE + 2 * SECOND))  # what the program itself takes
    before = memory()
    pipeline = lent(count, count)
    found = pipeline.counters()["customers"]
    took = memory() - before
    print(f"| {found['leases_live']:,} | {found['customers_known']:,} | {took:.2f} | "
          f"{took * 2**30 / count:.0f} |", flush=True)  # fmt: skip


def measure_changes(live: int, changes: int) -> None:
    """One row: an address moves to another customer, and another..., as a live sensor is told."""
    pipeline = lent(live, live)
    told, at, seconds, most = 0, BEFORE + 10 * SECOND, 0.0, 0.0
    before = dict(pipeline.counters()["customers"])
    while told < changes:
        first = told % max(1, live - 4000)
        rows = leases(min(4000, live), at, customer=2 + told // 1000, first=first)
        start = time.perf_counter()
        pipeline.lend(rows, NOTHING)
        exhaust(pipeline.catch_up(at + SECOND))
        took = time.perf_counter() - start
        seconds, most, told, at = seconds + took, max(most, took), told + len(rows), at + SECOND
    after = pipeline.counters()["customers"]
    moved = after["leases_replaced"] - before["leases_replaced"]
    if moved < 0.9 * told:
        raise SystemExit(f"only {moved:,} of {told:,} leases moved: {after}")
    print(f"| {live:,} | {told / seconds:,.0f} | {most * 1000:.1f} |", flush=True)


def tables(options: argparse.Namespace) -> None:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder:
        print("| packets on port 25 | leases | seconds | time against none |")
        print("| ---: | ---: | ---: | ---: |")
        for share in (1.0, 0.02):
            path = Path(folder) / f"{share}.pcap"
            records, _ = generate(options.packets, share, hosts=HOSTS)
            write(path, records)
            del records
            without, _ = proper(path, 0, options.leases)
            with_some, live = proper(path, options.leases, options.leases)
            print(f"| {share:.0%} | none | {without:.2f} | |")
            ratio = with_some / without
            print(f"| {share:.0%} | {live:,} | {with_some:.2f} | {ratio:.2f} x |", flush=True)
            path.unlink()
    print(
        "\n| leases | customers | GiB | bytes a lease |\n| ---: | ---: | ---: | ---: |", flush=True
    )
    alone("--one-memory", options.large)
    print(
        "\n| leases live | moves a second | longest of 4,000, ms |\n| ---: | ---: | ---: |",
        flush=True,
    )
    alone("--one-changes", options.leases, "--changes", str(options.changes))


def alone(*words: str | int) -> None:
    """In a process of its own."""
    command = [sys.executable, "-m", "benchmarks.leases", *map(str, words)]
    print(subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout, end="")


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leases", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=10_000_000)
    parser.add_argument("--changes", type=int, default=1_000_000)
    parser.add_argument("--packets", type=int, default=3_000_000)
    parser.add_argument("--page", action="store_true", help="into docs/performance.md")
    parser.add_argument("--one-memory", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one-changes", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if options.one_memory:
        measure_memory(options.one_memory)
    elif options.one_changes:
        measure_changes(options.one_changes, options.changes)
    else:
        with part("leases", options.page):
            tables(options)


if __name__ == "__main__":
    main()
