"""This sensor beside its peers on the same files, in one run, as ratios.

    python -m benchmarks.bench [--packets N] [--hosts N ...] [--page]

Prints Markdown; with ``--page`` it becomes its part of docs/performance.md. Slow peers read the
first part of the file and are scaled to packets a second. Every row of a table was measured one
after the other on one core; the best of three runs counts.
"""

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.page import part
from lab import sessions
from lab.generate import generate, write
from sensor.capture.block import FRAME, Block
from sensor.capture.merge import Captures
from sensor.pipeline import Pipeline
from sensor.settings import Limits, Settings

RUNS = 3
SLICES = {"dpkt": 200_000, "scapy": 20_000, "tshark": 100_000}


def best(run: Callable[[], object], runs: int = RUNS) -> float:
    """Seconds of the fastest of ``runs``."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def command(*words: str) -> Callable[[], object]:
    """A program run to its end, its output thrown away."""
    return lambda: subprocess.run(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )


def proper(path: Path, **settings: str) -> float:
    """Seconds of the pipeline proper, blocks in memory to scores and alerts; the best of RUNS."""
    times = []
    for _ in range(RUNS):
        pipeline = Pipeline(Settings(**settings))
        seconds = 0.0
        for block in Captures([str(path)]):
            start = time.perf_counter()
            for _ in pipeline.feed(block):
                pass
            seconds += time.perf_counter() - start
        times.append(seconds)
    return min(times)


def with_dpkt(path: Path) -> None:
    """The home-made script: count SYNs to port 25 by source and destination."""
    import dpkt

    contacts: dict[bytes, set[bytes]] = {}
    with path.open("rb") as file:
        for _, raw in dpkt.pcap.Reader(file):
            ip = dpkt.ethernet.Ethernet(raw).data
            tcp = ip.data
            if tcp.dport == 25 and tcp.flags & 18 == 2:
                contacts.setdefault(ip.src, set()).add(ip.dst)


def with_scapy(path: Path) -> None:
    """The same with scapy."""
    from scapy.layers.inet import IP, TCP
    from scapy.utils import PcapReader

    contacts: dict[str, set[str]] = {}
    with PcapReader(str(path)) as packets:
        for packet in packets:
            if TCP in packet and packet[TCP].dport == 25 and packet[TCP].flags == "S":
                contacts.setdefault(packet[IP].src, set()).add(packet[IP].dst)


def compare(folder: Path, packets: int, share: float) -> None:
    """One table: the same file through everybody."""
    path = folder / f"{share}.pcap"
    records, offsets = generate(packets, share)
    write(path, records)
    for name, count in SLICES.items():
        write(folder / name, records[: offsets[min(count, packets)]])
    del records
    rows: list[tuple[str, float, int]] = []
    rows.append(("port25, pipeline proper (blocks in memory)", proper(path), packets))
    headers = proper(path, privacy="headers")
    rows.append(('the same at `privacy = "headers"`: nothing said is read', headers, packets))
    rows.append(("port25 replay, whole process", best(command(*PORT25, str(path))), packets))
    if shutil.which("tcpdump"):
        words = ("tcpdump", "-r", str(path), "-w", "/dev/null", "tcp port 25")
        rows.append(("tcpdump, filter only", best(command(*words)), packets))
    if shutil.which("tshark"):
        part = str(folder / "tshark")
        words = ("tshark", "-r", part, "-n", "-Y", "tcp.port==25", "-T", "fields", "-e", "ip.src")
        rows.append(("tshark, fields", best(command(*words)), min(packets, SLICES["tshark"])))
    for name, run in (("dpkt", with_dpkt), ("scapy", with_scapy)):
        seconds = best(lambda run=run, name=name: run(folder / name))  # type: ignore[misc]
        rows.append((f"{name}, a script that counts SYNs", seconds, min(packets, SLICES[name])))
    print(f"\n**{packets:,} packets, {share:.0%} of them on port 25**\n")
    print("| | seconds | million packets/s | time against tcpdump |\n| --- | ---: | ---: | ---: |")
    reference = next((s / n for name, s, n in rows if name.startswith("tcpdump")), None)
    for name, seconds, count in rows:
        ratio = f"{seconds / count / reference:.2f} x" if reference else ""
        print(f"| {name} | {seconds:.2f} | {count / seconds / 1e6:.3f} | {ratio} |")


def read_sessions(folder: Path, count: int) -> None:
    """One table: whole sessions, reassembled and understood."""
    path = folder / "sessions.pcap"
    records, packets = sessions.generate(count)
    write(path, records)
    del records
    rows = [
        ("port25, pipeline proper (blocks in memory)", proper(path)),
        ("port25 replay, whole process", best(command(*PORT25, str(path)))),
        (
            "port25 sessions, a JSON record each, whole process",
            best(command(sys.executable, "-m", "sensor", "sessions", str(path))),
        ),
    ]
    if shutil.which("tshark"):
        words = ["tshark", "-r", str(path), "-n", "-Y", "smtp", "-T", "fields"]
        for field in ("tcp.stream", "smtp.req.command", "smtp.req.parameter", "smtp.response.code"):
            words += ["-e", field]
        rows.append(("tshark, its SMTP fields, once", best(command(*words), 1)))
    print(f"\n**{count:,} whole sessions, {packets:,} packets**\n")
    print("| | seconds | sessions/s | times tshark's rate |\n| --- | ---: | ---: | ---: |")
    reference = next((seconds for name, seconds in rows if name.startswith("tshark")), None)
    for name, seconds in rows:
        ratio = f"{reference / seconds:.0f} x" if reference else ""
        print(f"| {name} | {seconds:.2f} | {count / seconds:,.0f} | {ratio} |", flush=True)


def _answers(servers: int, kind: int, asked: bool) -> Block:
    """An answer each for so many domains, with its question or unasked."""
    from lab import conversation  # scapy comes with these, which is no part of other figures
    from lab import dns_messages as dns
    from lab.lookups import Wire

    wire = Wire()
    for k in range(servers):
        domain, addresses = f"d{k}.example", (bytes((198, 18 + i, k >> 8, k & 255)) for i in (0, 1))
        question = [dns.name(domain) + bytes((0, kind, 0, 1))]
        if kind == dns.A:
            told = [dns.record(b"\xc0\x0c", dns.A, address) for address in addresses], ()
        else:
            exchanges = [dns.name(f"mx{i}.{domain}") for i in range(2)]
            mx = [dns.record(b"\xc0\x0c", dns.MX, b"\0\x0a" + one) for one in exchanges]
            named = zip(exchanges, addresses, strict=True)
            told = mx, [dns.record(one, dns.A, address) for one, address in named]
        if asked:
            wire.put(dns.answer(flags=0x0100, ident=k, questions=question), seconds=1e-5)
        wire.put(dns.answer(*told, questions=question, ident=k), True, seconds=1e-5)
    return conversation.block(wire.frames)


def read_answers(servers: int = 20_000, rounds: int = 20) -> None:
    """One table: answers that say something new, say it again, or do not matter."""
    from lab import dns_messages as dns

    def seconds(once: Block) -> list[float]:
        pipeline = Pipeline(Settings())
        took = []
        for n in range(rounds):
            frames = once.frames.copy()
            frames["ts"] += n * 20_000_000_000
            began = time.perf_counter()
            for _ in pipeline.feed(Block(once.data, frames, 1, "memory")):
                pass
            took.append(time.perf_counter() - began)
        return took

    asked = _answers(servers, dns.MX, True)
    seconds(asked)  # compiles
    news = min(seconds(asked)[0] for _ in range(5))
    again = min(seconds(asked)[1:])
    unasked = min(seconds(_answers(servers, dns.MX, False)))
    others = min(seconds(_answers(servers, dns.A, False)))
    print(f"\n**Answers of DNS about {servers:,} domains with two servers each**\n")
    print("| | million answers/s |\n| --- | ---: |")
    rows = (
        ("for MX, with its question, all of it new: read and kept", news),
        ("the same again: read", again),
        ("for MX, and nobody asked: refused", unasked),
        ("for an address that is no mail server's: refused", others),
    )
    for name, took in rows:
        print(f"| {name} | {servers / took / 1e6:.2f} |", flush=True)


PORT25 = (sys.executable, "-m", "sensor", "replay", "-q")


def syns(start: int, count: int, hosts: int) -> tuple[NDArray[np.uint8], NDArray[np.void]]:
    """SYNs of minimum size, one after the other over ``hosts`` hosts: their bytes and frames."""
    data, offsets = generate(count, hosts=hosts, bots=0, seed=start, only_syns=True)
    frames = np.zeros(count, FRAME)
    frames["offset"] = offsets[:-1] + 16
    frames["captured"] = frames["wire"] = 60
    frames["link"], frames["vlan"] = 1, -1
    frames["ts"] = 1_700_000_000_000_000_000 + (start + np.arange(count)) * 20_000
    addresses = (0x0A000000 + (start + np.arange(count)) % hosts).astype(">u4")
    columns = (offsets[:-1] + 16 + 26)[:, None] + np.arange(4)
    data[columns] = addresses.view(np.uint8).reshape(-1, 4)
    return data, frames


def scale(hosts: int) -> None:
    """One row. Memory is the process's at its peak but for the packets, which are in it."""
    count = max(2 * hosts, 2_000_000)
    chunk = 131_072
    settings = Settings(limits=Limits(max_hosts=max(hosts, 16), max_connections=1_000_000))
    pipeline = Pipeline(settings)
    seconds, seen = [0.0, 0.0], [0, 0]  # of both halves: the system gives memory in the first
    peak = 0
    data, frames = syns(0, chunk, hosts)
    for start in range(0, count, chunk):
        last = min(chunk, count - start)  # no host has one more than another, which would tell
        data[:], frames[:] = syns(start, chunk, hosts)  # in place: a pipeline holds its last block
        ctypes.CDLL(None).malloc_trim(0)  # what generates packets has had its peak
        Path("/proc/self/clear_refs").write_text("5")
        began = time.perf_counter()
        for at in range(0, last, 8192):
            part = frames[at : min(at + 8192, last)]
            for _ in pipeline.feed(Block(data, part, start + at + 1, "memory")):
                pass
        if start:
            seconds[start >= count // 2] += time.perf_counter() - began
            seen[start >= count // 2] += last
        status = Path("/proc/self/status").read_text()  # rusage would count the parent's peak in
        used = int(status.partition("VmHWM:")[2].split()[0]) << 10
        peak = max(peak, used - data.nbytes - frames.nbytes)
    tracked = pipeline.counters()["hosts"]["hosts"]
    first, second = (1e9 * s / n for s, n in zip(seconds, seen, strict=True))
    row = f"| {tracked:,} | {first:.0f} | {second:.0f} | {1000 / second:.1f} | {peak / 2**30:.2f} |"
    print(row, flush=True)


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packets", type=int, default=3_000_000)
    parser.add_argument("--hosts", type=int, nargs="*", default=[10**4, 10**5, 10**6, 10**7])
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--page", action="store_true", help="into docs/performance.md")
    parser.add_argument("--one-scale", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if options.one_scale:
        scale(options.one_scale)
        return
    with part("bench", options.page):
        tables(options)


def tables(options: argparse.Namespace) -> None:
    """Beside the peers, then by itself."""
    with tempfile.TemporaryDirectory() as folder:
        for share in (1.0, 0.02):
            compare(Path(folder), options.packets, share)
        read_sessions(Path(folder), options.sessions)
    read_answers()
    print(
        "\n**New connections only: a SYN each, over ever more hosts, none of them ever answered**\n"
    )
    print(
        "| hosts tracked | ns a packet, while memory is taken | afterwards | million packets/s"
        " | peak memory, GiB |"
    )
    print("| ---: | ---: | ---: | ---: | ---: |", flush=True)
    for hosts in options.hosts:  # a process each, to see its own memory
        one = (sys.executable, "-m", "benchmarks.bench", "--one-scale", str(hosts))
        done = subprocess.run(one, check=True, stdout=subprocess.PIPE, text=True)
        print(done.stdout, end="", flush=True)


if __name__ == "__main__":
    main()
