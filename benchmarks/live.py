"""The sensor on a live interface: what it drops beside tcpdump, and how late its alerts are.

    python -m benchmarks.live [--seconds 3] [--page]        (root, iproute2, ethtool, tcpdump)

In network namespaces of its own. For the load, one core sends over a veth pair, at rising rates
and as fast as it can (``lab/sending.py``), to tcpdump with the sensor's filter writing to
/dev/null, to the sensor on the other core, and to one of two workers; each counts what the kernel
dropped for want of its reading. For the latency, hosts one after the other open connections until
each is one too many; an alert's latency is the time from the packet that tipped the score, as the
kernel stamped it, to the alert being read from standard output.
"""

import argparse
import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.page import part
from lab import ROOT
from lab import dns_messages as dns
from lab.generate import generate as traffic
from lab.generate import write
from lab.lookups import Wire
from lab.network import Laboratory
from lab.sensing import Sensor
from lab.sessions import generate
from lab.waiting import wait_for

RATES = (250_000, 500_000, 1_000_000, 0)
"""Packets a second; 0: as many as one core sends."""

SENDER = """
import socket, sys, time
from benchmarks.live import syn
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("span0", 0))
for host in range(int(sys.argv[1])):
    for n in range(100):
        s.send(syn(host, n))
    time.sleep(0.02)
"""
"""Has as many hosts as it is told open connections, each until it is one too many."""


def send(lab: Laboratory, path: Path, rate: int, seconds: float) -> tuple[int, int]:
    """Packets sent, and their rate."""
    words = ("-m", "lab.sending", "span0", str(path), str(seconds), str(rate))
    done = lab.run(lab.router, "taskset", "-c", "0", sys.executable, *words, cwd=ROOT)
    sent, speed = done.stdout.split()
    return int(sent), int(speed)


def by_tcpdump(lab: Laboratory, path: Path, rate: int, seconds: float, log: Path) -> float:
    """Share dropped."""
    process = lab.start(
        lab.watch, "taskset", "-c", "1", "tcpdump", "-i", "mirror0", "-n", "-s", "0", "-Z", "root",
        "-w", "/dev/null", "-B", "65536", "tcp port 25 or port 53", log=log,
    )  # fmt: skip
    wait_for(lambda: b"listening" in log.read_bytes())
    sent, _ = send(lab, path, rate, seconds)
    time.sleep(1)
    lab.stop(process)
    return int(re.findall(r"(\d+) packets dropped by kernel", log.read_text())[-1]) / sent


def by_sensor(
    lab: Laboratory, path: Path, rate: int, seconds: float, folder: Path, workers: int
) -> tuple[float, int]:
    """Share dropped, and the rate sent."""
    shutil.rmtree(folder, ignore_errors=True)
    sensor = Sensor(lab, folder, f"live.workers = {workers}\n").start()
    if workers == 1:
        assert sensor.process is not None
        pid = str(sensor.process.pid)
        subprocess.run(["taskset", "-acp", "1", pid], check=True, capture_output=True)
    sent, speed = send(lab, path, rate, seconds)
    time.sleep(3)
    metrics = sensor.metrics()
    sensor.stop()
    return metrics["port25_packets_dropped_total"] / sent, speed


def questions() -> bytes:
    """Captured DNS: a resolver that asks for the MX of two thousand domains, and is answered."""
    wire = Wire()
    for k in range(2_000):
        question = [dns.name(f"d{k}.example") + b"\0\x0f\0\1"]
        mx = [dns.record(b"\xc0\x0c", dns.MX, b"\0\x0a" + dns.name(f"mx.d{k}.example"))]
        wire.put(dns.answer(flags=0x0100, ident=k, questions=question), seconds=1e-5)
        wire.put(dns.answer(mx, questions=question, ident=k), True, seconds=1e-5)
    return b"".join(struct.pack("<IIII", 0, 0, len(f), len(f)) + f for _, f in wire.frames)


def load(seconds: float) -> None:
    """The table of drops."""
    loads = {
        "whole SMTP sessions": generate(5_000)[0],
        "a SYN each, never answered": traffic(100_000, only_syns=True)[0],
        "2% of them on port 25": traffic(100_000, 0.02)[0],
        "questions for MX, and answers": np.frombuffer(questions(), np.uint8),
    }
    print("\n**Load: packets over a veth pair, 64 MB of buffer each, one core to send**\n")
    print("| | packets/s | tcpdump -w /dev/null drops | port25 live | with two workers |")
    print("| --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as made, Laboratory() as lab:
        folder = Path(made)
        folder.chmod(0o755)
        for name, records in loads.items():
            path = folder / "load.pcap"
            write(path, records)
            for rate in RATES:
                theirs = by_tcpdump(lab, path, rate, seconds, folder / "tcpdump.log")
                ours, speed = by_sensor(lab, path, rate, seconds, folder / "sensor", 1)
                both, _ = by_sensor(lab, path, rate, seconds, folder / "sensor", 2)
                drops = " | ".join(f"{share:.2%}" for share in (theirs, ours, both))
                print(f"| {name} | {speed:,} | {drops} |", flush=True)


def syn(host: int, network: int) -> bytes:
    """A SYN of a subscriber to some network."""
    source = struct.pack(">I", 0x0A000000 + host)
    ip = bytes.fromhex("450000280001000040060000") + source + bytes((198, 18, network, 25))
    tcp = struct.pack(">HHIIHHHH", 4000 + network, 25, 1, 0, 0x5002, 65535, 0, 0)
    return bytes.fromhex("0200000000020200000000010800") + ip + tcp


def latency(hosts: int) -> None:
    """The table of latencies, of one alert a host."""
    seen: list[float] = []
    with tempfile.TemporaryDirectory() as made, Laboratory() as lab:
        folder = Path(made)
        folder.chmod(0o755)
        ours, theirs = socket.socketpair()
        sensor = Sensor(lab, folder / "sensor")

        def listen() -> None:
            for line in ours.makefile("rb"):
                now = time.time_ns()
                alert = json.loads(line)
                if alert.get("state") == "raised":
                    seen.append((now - alert["ts"]) / 1e6)

        sensor.start(stdout=theirs.fileno())
        theirs.close()
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        lab.run(lab.router, sys.executable, "-c", SENDER, str(hosts), cwd=Path.cwd(), timeout=300)
        wait_for(lambda: len(seen) >= hosts, 10, f"{hosts} alerts, {len(seen)} came")
        sensor.stop()
    seen.sort()
    p50, p99 = seen[len(seen) // 2], seen[len(seen) * 99 // 100]
    print("\n**Latency: from the packet that tips the score to the alert on standard output**\n")
    print("| alerts | p50 | p99 | worst |\n| ---: | ---: | ---: | ---: |")
    print(f"| {len(seen):,} | {p50:.0f} ms | {p99:.0f} ms | {seen[-1]:.0f} ms |")


def main() -> None:
    """Both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--hosts", type=int, default=500)
    parser.add_argument("--page", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    with part("live", options.page):
        if options.seconds:
            load(options.seconds)
        latency(options.hosts)


if __name__ == "__main__":
    main()
