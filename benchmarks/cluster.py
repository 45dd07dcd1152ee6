"""What it costs that many sensors judge together: ratios, each beside what one sensor does.

    python -m benchmarks.cluster [--sessions 20000]

One capture of whole SMTP sessions, one core, no Kafka: what a sensor does for a packet when it
judges (decode, track) and when it forwards (decode, mask, pack, compress), and what who correlates
does for it (read, merge, track), each in turn and three times, of which the fastest counts. Bytes
are those of the batches that would go to Kafka, with one word every half second of packet time.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lab.generate import write
from lab.sessions import generate
from sensor.capture.merge import Captures
from sensor.cluster.forwarder import Forwarder
from sensor.cluster.share import Share
from sensor.decode.decoder import Decoder
from sensor.pipeline import Pipeline
from sensor.settings import Settings

TIMES = 3
WORD = 500_000_000
"""Nanoseconds of packet time between words on how far a sensor is."""


def fastest(work: Callable[[], object]) -> float:
    """Seconds that the fastest of some runs took."""
    found = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


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


def forward(capture: Path) -> list[bytes]:
    """A sensor that forwards; its messages."""
    sent: list[bytes] = []
    settings = Settings()
    decoder = Decoder(settings.ports, settings.duplicate_window, True)
    forwarder = Forwarder(settings, "bench", 1, lambda _, message: sent.append(message))
    told = 0
    for block in Captures([str(capture)]):
        newest = int(block.frames["ts"].max())
        forwarder.add(decoder.decode(block), block.data, newest, "")
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        capture = Path(made, "sessions.pcap")
        records, packets = generate(options.sessions)
        write(capture, records)
        del records
        messages = forward(capture)
        correlate(messages)  # compiles
        judge(capture)
        alone, decoded = fastest(lambda: judge(capture)), fastest(lambda: decode(capture))
        forwarding = fastest(lambda: forward(capture))
        together = fastest(lambda: correlate(messages))
        wire = capture.stat().st_size
    sent = sum(map(len, messages))
    print(f"{options.sessions:,} connections, {packets:,} packets, {wire:,} bytes on the wire")
    print("| work | packets/s, one core | beside `replay` |")
    print("| --- | --- | --- |")
    for name, seconds in (
        ("`replay`: decode, track", alone),
        ("decode alone", decoded),
        ("`forward`: decode, mask, pack, compress", forwarding),
        ("`correlate`: read, merge, track", together),
    ):
        print(f"| {name} | {packets / seconds:,.0f} | {alone / seconds:.2f} x as fast |")
    print(
        f"\n{sent / options.sessions:,.0f} bytes on Kafka a connection, {sent / wire:.0%} of the"
        f" capture; {len(messages):,} messages"
    )


if __name__ == "__main__":
    main()
