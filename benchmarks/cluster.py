"""What it costs that many sensors judge together: ratios, each beside what one sensor does.

    python -m benchmarks.cluster [--sessions 20000] [--hosts 300] [--quick] [--page]

The other tables are of real parts. Of more processes and partitions, see ``benchmarks.scaling``
(``--quick``: few). In network namespaces (root, Java, Maven): ``live`` and ``live --forward`` with
the same packets on an interface, each with all it does; then ``live --forward`` on an interface,
Kafka, two who correlate. Hosts one after the other open connections until each is one
too many; an alert's latency is the time from the packet that tipped the score, as the kernel
stamped it, to the alert being read as committed. Then who follows is killed.

One capture of whole SMTP sessions, one core, no Kafka: what a sensor does for a packet when it
judges (decode, track) and when it forwards (decode, mask, pack, compress), and what who correlates
does for it (read, merge, track), each in turn and three times, of which the fastest counts. Bytes
are those of the batches that would go to Kafka, with one word every half second of packet time.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.live import SENDER, send
from benchmarks.page import part
from benchmarks.processor import used
from benchmarks.scaling import PARTITIONS, PROCESSES, scale
from lab import ROOT
from lab.broker import start_in
from lab.generate import write
from lab.network import Laboratory
from lab.sensing import Sensor
from lab.sessions import generate
from lab.waiting import wait_for
from sensor.capture.merge import Captures
from sensor.cluster.forwarder import Forwarder
from sensor.cluster.share import Share
from sensor.decode.ahead import Decoded
from sensor.decode.decoder import Decoder
from sensor.pipeline import Pipeline
from sensor.settings import Settings

SETTINGS = """
[kafka]
bootstrap = ["{bootstrap}"]
sensor = "north"
[cluster]
patience = 0.5
"""
LISTENER = """
import json, sys, time
from kafka import KafkaConsumer, TopicPartition
consumer = KafkaConsumer(bootstrap_servers=sys.argv[1], isolation_level="read_committed")
parts = [TopicPartition("port25.alerts", p) for p in consumer.partitions_for_topic("port25.alerts")]
consumer.assign(parts)
consumer.seek_to_beginning(*parts)
print("ready", flush=True)
for record in consumer:
    alert = json.loads(record.value)
    if alert["state"] == "raised":
        print((time.time_ns() - alert["ts"]) / 1e6, flush=True)
"""
"""Says how many milliseconds after its packet each alert came."""
TIMES = 3
WORD = 500_000_000
"""Nanoseconds of packet time between words on how far a sensor is."""


def fastest(*works: Callable[[], object]) -> list[float]:
    """Seconds of a processor that each took at its best, of some runs in turns."""
    found = [float("inf")] * len(works)
    for _ in range(TIMES):
        for n, work in enumerate(works):
            begun = time.process_time()
            work()
            found[n] = min(found[n], time.process_time() - begun)
    return found


def decode(capture: Path) -> None:
    """Frames to segments; what both kinds of sensors do."""
    settings = Settings()
    decoder = Decoder(settings.ports, settings.duplicate_window, True)
    for block in Captures([str(capture)]):
        decoder.decode(block)


def judge(capture: Path) -> None:
    """A sensor that judges alone."""
    for _ in Pipeline(Settings()).run(Captures([str(capture)])):
        pass


def forward(capture: Path, cut_off: bool = False) -> list[bytes]:
    """A sensor that forwards; its messages. ``cut_off``: it judges as well (``cluster.alone``)."""
    sent: list[bytes] = []
    settings = Settings()
    decoder = Decoder(settings.ports, settings.duplicate_window, True)
    forwarder = Forwarder(settings, "bench", 1, lambda _, message: sent.append(message))
    alone = Pipeline(settings, alone=True) if cut_off else None
    told = 0
    for block in Captures([str(capture)]):
        newest = int(block.frames["ts"].max())
        segments = decoder.decode(block)
        forwarder.add(segments, block.data, newest, "")
        if alone is not None:
            for _ in alone.feed(Decoded(block, segments, decoder.counts, 0)):
                pass
        if newest - told > WORD:
            told = newest
            forwarder.flush()
    forwarder.end()
    return sent


def correlate(messages: list[bytes]) -> None:
    """Who correlates, with one partition; messages come as fast as they are followed."""
    share = Share(Settings())
    for at, message in enumerate(messages):
        share.add(message, at * 500, False)
        share.turn()
    share.finish()


def live(hosts: int) -> None:
    """From a packet to its alert for who reads committed messages; and until another takes over."""
    with tempfile.TemporaryDirectory() as made, Laboratory() as lab:
        folder = Path(made)
        folder.chmod(0o755)
        bootstrap = start_in(lab, lab.watch, folder)
        settings = SETTINGS.format(bootstrap=bootstrap)
        sensor = Sensor(lab, folder / "sensor", settings, "--forward").start()
        command = (sys.executable, "-m", "sensor", "correlate", "-c", str(sensor.config))
        logs = [folder / "one", folder / "two"]
        members = []
        for log in logs:
            members.append(lab.start(lab.watch, *command, log=log, cwd=ROOT))
            wait_for(lambda log=log: "follows partitions" in log.read_text(), 120, str(log))
        heard = folder / "heard"
        lab.start(lab.watch, sys.executable, "-c", LISTENER, bootstrap, log=heard)
        wait_for(lambda: "ready" in heard.read_text(), 60, "the listener")
        lab.run(lab.router, sys.executable, "-c", SENDER, str(hosts), cwd=ROOT, timeout=300)
        wait_for(lambda: len(heard.read_text().split()) > hosts, 60, f"{hosts} alerts")
        took = sorted(map(float, heard.read_text().split()[1:]))
        follows = "follows partitions 0"
        first = next(k for k, log in enumerate(logs) if follows in log.read_text())
        killed = time.monotonic()
        members[first].kill()
        wait_for(lambda: follows in logs[1 - first].read_text(), 120, "the other")
        other = time.monotonic() - killed
        sensor.stop()
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    print("\n| alerts | p50, packet to committed | p99 | worst |\n| ---: | ---: | ---: | ---: |")
    print(f"| {len(took):,} | {p50:,.0f} ms | {p99:,.0f} ms | {took[-1]:,.0f} ms |")
    print(f"\nAnother takes over {other:.1f} s after `kill -9` of who correlates.")


def on_an_interface(turns: int, seconds: float) -> tuple[dict[str, float], int]:
    """Seconds of a processor a packet, for ``live`` and ``live --forward``; packets a second."""
    took: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as made, Laboratory() as lab:
        folder = Path(made)
        folder.chmod(0o755)
        settings = SETTINGS.format(bootstrap=start_in(lab, lab.watch, folder))
        capture = folder / "sessions.pcap"
        write(capture, generate(5_000)[0])
        for turn in range(turns):
            for words in ("", "--forward"):
                name = f"live {words}".strip()
                sensor = Sensor(lab, folder / f"{turn}{words}", settings, *words.split()).start()
                assert sensor.process is not None
                begun = used([sensor.process.pid])
                sent, rate = send(lab, capture, 60_000, seconds)
                time.sleep(2)  # and with what it does after the last packet
                one = (used([sensor.process.pid]) - begun) / sent
                took[name] = min(one, took.get(name, one))
                sensor.stop()
    return took, rate


def beside_live() -> None:
    """What a packet costs a sensor that judges on an interface, and one that forwards to Kafka."""
    took, rate = on_an_interface(2, 5)
    alone = took["live"]
    print(f"\n| sessions on an interface, {rate:,} packets/s | processor time a packet | |")
    print("| --- | ---: | ---: |")
    for name, one in took.items():
        print(f"| `{name}` | {one * 1e6:.1f} us | {one / alone:.2f} x |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--hosts", type=int, default=300, help="0: the first table alone")
    parser.add_argument("--quick", action="store_true", help="few processes and partitions")
    parser.add_argument("--page", action="store_true", help="into docs/cluster.md")
    options = parser.parse_args()
    with part("cluster", options.page, ROOT / "docs" / "cluster.md"):
        table(options.sessions)
        if options.quick:
            scale(options.sessions, 1, PROCESSES[:2], (1, 4))
        else:
            scale(options.sessions, 5, PROCESSES, PARTITIONS)
        if options.hosts:
            beside_live()
            live(options.hosts)


def table(sessions: int) -> None:
    """What a packet costs each."""
    with tempfile.TemporaryDirectory() as made:
        capture = Path(made, "sessions.pcap")
        records, packets = generate(sessions)
        write(capture, records)
        del records
        messages = forward(capture)
        correlate(messages)  # compiles
        judge(capture)
        alone, decoded, forwarding, cut_off, together = fastest(
            lambda: judge(capture),
            lambda: decode(capture),
            lambda: forward(capture),
            lambda: forward(capture, cut_off=True),
            lambda: correlate(messages),
        )
        wire = capture.stat().st_size
    sent = sum(map(len, messages))
    print(f"{sessions:,} connections, {packets:,} packets, {wire:,} bytes on the wire")
    print("| work | packets/s, one core | beside `replay` |")
    print("| --- | --- | --- |")
    for name, seconds in (
        ("`replay`: decode, track", alone),
        ("decode alone", decoded),
        ("`forward`: decode, mask, pack, compress", forwarding),
        ("`forward` without Kafka, `cluster.alone`: and track", cut_off),
        ("`correlate`: read, merge, track", together),
    ):
        print(f"| {name} | {packets / seconds:,.0f} | {alone / seconds:.2f} x as fast |")
    print(
        f"\n{sent / sessions:,.0f} bytes on Kafka a connection, {sent / wire:.0%} of the"
        f" capture; {len(messages):,} messages"
    )


if __name__ == "__main__":
    main()
