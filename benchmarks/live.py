"""The sensor on a live interface: what it drops beside tcpdump, and how late its alerts are.

    python -m benchmarks.live [--seconds 5] [--page]   (root, iproute2, ethtool, tcpreplay, tcpdump)

In network namespaces of its own. For the load, tcpreplay sends whole SMTP sessions over a veth pair
at rising rates, to tcpdump with the sensor's filter writing to /dev/null and then to the sensor;
each counts what the kernel dropped for want of its reading. For the latency, hosts one after the
other open connections until each is one too many; an alert's latency is the time from the packet
that tipped the score, as the kernel stamped it, to the alert being read from standard output.
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

from benchmarks.page import part
from lab.generate import write
from lab.network import Laboratory
from lab.sensing import Sensor
from lab.sessions import generate
from lab.waiting import wait_for

RATES = (50_000, 100_000, 200_000, 400_000, 0)
"""Packets a second; 0: as many as the pair carries."""

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


def send(lab: Laboratory, path: Path, rate: int, seconds: float) -> tuple[int, float]:
    """Packets sent, and their rate."""
    speed = ("--topspeed",) if rate == 0 else (f"--pps={rate}",)
    limit = ("--loop=0", f"--duration={seconds:.0f}", "--preload-pcap")
    done = lab.run(
        lab.router,
        "taskset",
        "-c",
        "0",
        "tcpreplay",
        "-q",
        "-i",
        "span0",
        *limit,
        *speed,
        str(path),
    )
    said = done.stdout + done.stderr
    sent = int(re.findall(r"Successful packets:\s+(\d+)", said)[-1])
    return sent, float(re.findall(r"([\d.]+) pps", said)[-1])


def by_tcpdump(lab: Laboratory, path: Path, rate: int, seconds: float, log: Path) -> str:
    """Share dropped."""
    process = lab.start(
        lab.watch, "taskset", "-c", "1", "tcpdump", "-i", "mirror0", "-n", "-s", "0", "-Z", "root",
        "-w", "/dev/null", "-B", "65536", "tcp port 25", log=log,
    )  # fmt: skip
    wait_for(lambda: b"listening" in log.read_bytes())
    sent, _ = send(lab, path, rate, seconds)
    time.sleep(1)
    lab.stop(process)
    dropped = int(re.findall(r"(\d+) packets dropped by kernel", log.read_text())[-1])
    return f"{dropped / sent:.2%}"


def by_sensor(
    lab: Laboratory, path: Path, rate: int, seconds: float, folder: Path
) -> tuple[str, str]:
    """Share dropped, and the rate sent."""
    shutil.rmtree(folder, ignore_errors=True)
    sensor = Sensor(lab, folder).start()
    assert sensor.process is not None
    subprocess.run(
        ["taskset", "-acp", "1", str(sensor.process.pid)], check=True, capture_output=True
    )
    sent, speed = send(lab, path, rate, seconds)
    time.sleep(3)
    metrics = sensor.metrics()
    sensor.stop()
    return f"{metrics['port25_packets_dropped_total'] / sent:.2%}", f"{speed:,.0f}"


def load(seconds: float) -> None:
    """The table of drops."""
    with tempfile.TemporaryDirectory() as made, Laboratory() as lab:
        folder = Path(made)
        folder.chmod(0o755)
        path = folder / "sessions.pcap"
        write(path, generate(20_000)[0])
        print("\n**Load: whole SMTP sessions over a veth pair, 64 MB of buffer each**\n")
        print("| packets/s | dropped for tcpdump -w /dev/null | dropped for port25 live |")
        print("| ---: | ---: | ---: |")
        for rate in RATES:
            theirs = by_tcpdump(lab, path, rate, seconds, folder / "tcpdump.log")
            ours, speed = by_sensor(lab, path, rate, seconds, folder / "sensor")
            print(f"| {speed} | {theirs} | {ours} |", flush=True)


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
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--hosts", type=int, default=500)
    parser.add_argument("--page", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    with part("live", options.page):
        if options.seconds:
            load(options.seconds)
        latency(options.hosts)


if __name__ == "__main__":
    main()
