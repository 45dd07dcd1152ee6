"""``port25 forward``: segments of capture files to Kafka, for ``port25 correlate``."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from sensor.commands.options import settings_argument, settings_from
from sensor.commands.progress import Progress
from sensor.commands.terminal import Stop, announce, report_faults

if TYPE_CHECKING:
    from sensor.capture.merge import Captures
    from sensor.cluster.forwarder import Forwarder
    from sensor.decode.decoder import Decoder
    from sensor.decode.unread import Unread
    from sensor.settings import Settings
    from sensor.sinks.kafka.connection import Connection

__all__ = ["HELP", "PLACE", "arguments", "connection_of", "run"]

HELP: Final = "send the segments of capture files to Kafka, as one of many sensors"
PLACE: Final = 32

_FLUSH: Final = 0.5
"""Seconds between words on how far this sensor is."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="pcap, pcapng, .gz, .zst; - is stdin"
    )
    parser.add_argument("--sensor", metavar="NAME", help="name of this sensor (kafka.sensor)")
    parser.add_argument(
        "--pace", metavar="10x", help="as slowly as it was, or so many times faster"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no summary, no progress")


def connection_of(settings: Settings) -> Connection:
    """How to reach Kafka. Raises Stop where the settings do not say it."""
    from sensor.sinks.kafka.connection import Connection, ConnectionSettingsError, named

    if not settings.kafka.bootstrap:
        raise Stop(2, "kafka.bootstrap: missing; expected brokers as host:port")
    try:
        return Connection(named(settings.kafka))
    except ConnectionSettingsError as fault:
        raise Stop(2, str(fault)) from None


def run(options: argparse.Namespace) -> int:
    """Forward; progress and summary on standard error."""
    import msgspec

    from sensor.capture.merge import Captures
    from sensor.capture.pace import factor
    from sensor.decode.decoder import Decoder
    from sensor.decode.unread import Unread
    from sensor.settings import SettingsError, parse_settings

    settings = settings_from(options.config)
    if options.sensor is not None:
        try:
            parse_settings(f"kafka.sensor = {msgspec.json.encode(options.sensor).decode()}")
        except SettingsError as fault:
            raise Stop(2, f"--sensor: {fault.mistakes[0].partition(': ')[2]}") from None
        kafka = msgspec.structs.replace(settings.kafka, sensor=options.sensor)
        settings = msgspec.structs.replace(settings, kafka=kafka)
    try:
        pace = factor(options.pace) if options.pace else None
    except ValueError as fault:
        raise Stop(2, f"--pace: {fault}") from None
    connection = connection_of(settings)
    announce()
    decoder = Decoder(settings.ports, settings.duplicate_window, settings.reads_dns)
    captures = Captures(options.files)
    unread = Unread(settings.ports)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    with Progress(options.files, shown=not options.quiet) as progress:
        forwarder = _sent(settings, connection, captures, unread, decoder, progress, pace)
    if not options.quiet:
        seconds = time.monotonic() - started
        print(
            f"{progress.frames:,} frames in {seconds:.2f} s: {forwarder.segments:,} segments in"
            f" {forwarder.batches:,} batches, {forwarder.bytes:,} bytes;"
            f" {forwarder.withheld:,} messages of DNS stayed here",
            file=sys.stderr,
        )
    return report_faults(captures.faults, unread)


def _sent(
    settings: Settings,
    connection: Connection,
    captures: Captures,
    unread: Unread,
    decoder: Decoder,
    progress: Progress,
    pace: float | None,
) -> Forwarder:
    """Send everything, and the end. Raises Stop when Kafka does not take it."""
    from kafka.errors import KafkaError

    from sensor.capture.pace import paced
    from sensor.cluster.forwarder import Forwarder, read_key
    from sensor.cluster.sending import Sender
    from sensor.cluster.topics import ensure_segments_topic

    name = connection.settings.sensor
    try:
        key = read_key(settings)
    except OSError as error:
        file = settings.cluster.key_file
        raise Stop(2, f"cluster.key_file: {file}: {error.strerror or error}") from None
    try:
        partitions = ensure_segments_topic(connection, settings)
        sender = Sender(connection, settings.cluster.segments_topic, name)
        try:
            forwarder = Forwarder(settings, name, partitions, sender.send, key)
            link, flushed = "", time.monotonic()

            def wait(seconds: float) -> None:
                """Until the next frame is due; meanwhile others must know that we are here."""
                until = time.monotonic() + seconds
                while (left := until - time.monotonic()) > 0:
                    time.sleep(min(left, _FLUSH))
                    if left > _FLUSH:
                        forwarder.flush(link)

            blocks = captures if pace is None else paced(captures, pace, sleep=wait)
            for block in unread.watch(blocks, decoder):
                link = block.source
                segments = decoder.decode(block)
                forwarder.add(segments, block.data, int(block.frames["ts"].max()), link)
                if time.monotonic() - flushed > _FLUSH:
                    forwarder.flush(link)
                    flushed = time.monotonic()
                progress.update(captures.position, len(block.frames))
            forwarder.end(link)
            sender.flush()
        finally:
            sender.close()
    except KafkaError as error:
        raise Stop(1, f"{_brokers(settings)}: {type(error).__name__}: {error}") from None
    return forwarder


def _brokers(settings: Any) -> str:
    return ", ".join(settings.kafka.bootstrap)
