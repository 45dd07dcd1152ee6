"""``make demo-cluster``: three borders, Kafka, two who correlate; is it what one would have seen?

A capture (``pcaps/demo.pcap``) is split so that each direction of a connection passes a border of
its own. Three ``port25 forward`` send what they see, as fast as it happened times ``--pace``, two
``port25 correlate`` share the subscribers, and the alerts are shown as they come. Then they are
compared with those of a replay of the whole capture: exit 1 where they differ. Needs Java 17 and
Maven, which fetches Kafka the first time.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lab import PCAPS, ROOT, port25
from lab.broker import Broker
from lab.splitting import by_route, split
from sensor.capture.merge import Captures
from sensor.cluster.forwarder import Forwarder
from sensor.cluster.share import Share
from sensor.decode.decoder import Decoder
from sensor.settings import Settings, load_settings

BORDERS = ("east", "north", "west")
TOPIC = "port25.alerts"
SETTINGS = """
replies = "visible"       # what one sensor finds out of all subscribers together
[kafka]
bootstrap = ["{bootstrap}"]
[cluster]
partitions = 2
patience = 10.0           # everything runs on one machine, which may be busy
snapshot = 5
"""
SECONDS = 600
"""After which it gives up."""


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """A process of the cluster; what it says is in ``folder``."""
    with (folder / f"{words[0]}-{time.monotonic_ns()}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "sensor", *words], stdout=log, stderr=log, cwd=ROOT
        )


def show(alert: dict[str, Any]) -> None:
    """One line of an alert."""
    print(
        f"{alert['time'][:19]}  {alert['state']:<9} {alert['severity']:<8}  {alert['host']:<16}"
        f"  {alert['score']:+6.1f}  seen at {alert['sensor'].replace(',', ', ')}",
        flush=True,
    )


def lines_by_host(alerts: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Of each host, in order, without the sensors' names."""
    found: dict[str, list[dict[str, Any]]] = {}
    for alert in alerts:
        told = {name: value for name, value in alert.items() if name != "sensor"}
        found.setdefault(alert["host"], []).append(told)
    return found


def warm_up(settings: Settings, parts: list[Path]) -> None:
    """Have all kernels compiled: a border that compiles while others speak is left behind."""
    sent: list[bytes] = []
    for name, part in zip(BORDERS, parts, strict=True):
        forwarder = Forwarder(settings, name, 1, lambda _, message: sent.append(message))
        decoder = Decoder(settings.ports, settings.duplicate_window, settings.reads_dns)
        for block in Captures([str(part)]):
            few = block._replace(frames=block.frames[:500])
            forwarder.add(decoder.decode(few), few.data, 0, "")
            break
        forwarder.end()
    share = Share(settings)
    for message in sent:
        share.add(message, 0, True)
    share.finish()


def watch(broker: Broker, least: int, processes: list[subprocess.Popen[bytes]]) -> list[Any]:
    """Show alerts as they come, until ``least`` have come."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        TOPIC,
        bootstrap_servers=broker.bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    found: list[Any] = []
    until = time.monotonic() + SECONDS
    while len(found) < least and time.monotonic() < until:
        for records in consumer.poll(500).values():
            for record in records:
                found.append(json.loads(record.value))
                show(found[-1])
        if any(process.poll() for process in processes):
            break
    # Whatever is told beyond what is expected comes in a moment, too.
    for records in consumer.poll(2000).values():
        found += [json.loads(record.value) for record in records]
    consumer.close()
    return found


def run(folder: Path, whole: Path, pace: str) -> int:
    """The demonstration of a capture; its exit code."""
    print("Apache Kafka starts; the first time, Maven fetches it, and kernels are compiled.")
    sys.stdout.flush()
    broker = Broker(folder / "kafka").start()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        config = folder / "cluster.toml"
        config.write_text(SETTINGS.format(bootstrap=broker.bootstrap))
        replayed = port25("replay", "-q", "--json", "-c", str(config), str(whole)).stdout
        want = [json.loads(line) for line in replayed.splitlines()]
        parts = split(whole, folder, by_route)
        warm_up(load_settings(str(config)), parts)
        print(f"{' '.join(BORDERS)}: {', '.join(str(p.stat().st_size) for p in parts)} bytes each;")
        print("each direction of a connection passes a border of its own. Alerts as they come:\n")
        settings = ("-c", str(config))
        names = "one", "two"
        processes += [start(folder, "correlate", *settings, "--name", name) for name in names]
        for part, name in zip(parts, BORDERS, strict=True):
            words = ("forward", "-q", str(part), "--sensor", name, "--pace", pace)
            processes.append(start(folder, *words, *settings))
        found = watch(broker, len(want), processes)
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()
        broker.kill()
    one, many = lines_by_host(want), lines_by_host(found)
    print(f"\nOne sensor that sees everything: {len(want)} alerts of {len(one)} hosts.")
    print(f"Three that see a third each:     {len(found)} alerts of {len(many)} hosts.")
    if one != many:
        hosts = sorted(h for h in one.keys() | many.keys() if one.get(h) != many.get(h))
        print(f"They differ: {', '.join(hosts)}")
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()[-2000:]}")
        return 1
    print("They are the same, id for id and figure for figure.")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.demo_cluster")
    parser.add_argument("capture", nargs="?", type=Path, default=PCAPS / "demo.pcap")
    parser.add_argument("--pace", default="60x", help="times as fast as it happened (60x)")
    options = parser.parse_args()
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if missing:
        print(f"not installed: {', '.join(missing)} (Kafka needs Java 17 and Maven)")
        return 2
    with tempfile.TemporaryDirectory(prefix="port25-demo-") as made:
        return run(Path(made), options.capture, options.pace)


if __name__ == "__main__":
    raise SystemExit(main())
