"""``port25 correlate``: one verdict on what many sensors forward."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from sensor.commands.forward import connection_of
from sensor.commands.options import settings_argument, settings_from
from sensor.commands.terminal import Stop, announce, complain

if TYPE_CHECKING:
    from collections.abc import Callable

    from sensor.base.sentences import Sentence
    from sensor.cluster.correlator import Correlator
    from sensor.cluster.standing import Counters
    from sensor.settings import Settings
    from sensor.sinks.kafka.connection import Connection

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "follow what all sensors forward to Kafka, and tell the alerts there"
PLACE: Final = 34

_LARGEST_PAUSE: Final = 15.0


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise ValueError(text)
    return value


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument(
        "--until-idle",
        type=_seconds,
        metavar="SECONDS",
        help="wait for all that comes, follow it in order once all sensors have said their end and"
        " nothing came for so long, and end (archives, tests)",
    )
    parser.add_argument(
        "--name",
        default="",
        metavar="NAME",
        help="of this process among those that correlate: after a restart its partitions are its"
        " again at once",
    )
    parser.add_argument(
        "--metrics", default="", metavar="ADDRESS:PORT", help="where Prometheus may ask (nowhere)"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no summary")


class _Ended(BaseException):
    """A signal asked for the end; of an Exception in what it calls kafka-python makes its own."""


class _End:
    """Whether a signal asked for it: what is raised may be lost where another error comes of it."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: object) -> None:
        """Note it, and leave off whatever is done or waited for."""
        self.asked = True
        raise _Ended


def run(options: argparse.Namespace) -> int:
    """Until a signal, or until idle; alerts to Kafka, what happens on standard error."""
    settings = settings_from(options.config)
    connection = connection_of(settings)
    announce()
    from sensor.service.rehearsal import compile_kernels
    from sensor.service.systemd import notify

    compile_kernels()
    counters: Counters = {}
    stop = _serve(options.metrics, lambda: dict(counters))
    notify("READY=1")
    end = _End()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        return _run(settings, connection, options, counters, end)
    except _Ended:
        return 0
    finally:
        stop()


def _serve(address: str, counters: Callable[[], Counters]) -> Callable[[], None]:
    """Answer Prometheus; what ends that."""
    if not address:
        return lambda: None
    from sensor.service.metrics import Collector, MetricsError, serve

    try:
        return serve(address, Collector(counters))
    except MetricsError as error:
        raise Stop(2, str(error)) from None


def _run(
    settings: Settings,
    connection: Connection,
    options: argparse.Namespace,
    counters: Counters,
    end: _End,
) -> int:
    """Until idle, however often Kafka goes away. Raises _Ended."""
    pause = 0.25
    while not end.asked:
        began = time.monotonic()
        try:
            _follow(settings, connection, options, counters, end)
            return 0
        except Exception as error:
            from kafka.errors import KafkaError

            if not isinstance(error, (KafkaError, OSError)):
                raise
            if end.asked:
                break
            cause = error.__cause__ or error
            said = f"{type(cause).__name__}: {cause}"
            complain(f"Kafka: {said}; begins anew from what was committed")
        pause = 0.25 if time.monotonic() - began > 60 else min(_LARGEST_PAUSE, 2 * pause)
        time.sleep(pause)
    return 0


def _notice(said: Sentence | str) -> None:
    complain(said if isinstance(said, str) else said.text)


def _follow(
    settings: Settings,
    connection: Connection,
    options: argparse.Namespace,
    counters: Counters,
    end: _End,
) -> None:
    """Follow until the end. Raises KafkaError, and _Ended where a signal asked for it."""
    from sensor.cluster.correlator import Correlator
    from sensor.cluster.topics import ensure_segments_topic, ensure_state_topic
    from sensor.sinks.kafka.topics import ensure_topics

    partitions_of_all = ensure_segments_topic(connection, settings)
    ensure_state_topic(connection, settings, partitions_of_all)
    for fault in ensure_topics(connection).faults:
        complain(fault)
    idle, patience = options.until_idle, settings.cluster.patience
    correlator = Correlator(
        connection, settings, _notice, waiting=idle is not None, name=options.name
    )
    partitions: list[int] | None = None
    quiet: float | None = None
    counted = 0.0
    try:
        while idle is None or not _is_idle(correlator, idle, patience):
            correlator.turn()
            if end.asked:
                return
            if idle is None and correlator.waits and _is_idle(correlator, patience, patience):
                # Brokers that have just come back hear of their sensors in a moment.
                quiet = time.monotonic() if quiet is None else quiet
                if correlator.all_ended or time.monotonic() - quiet > patience:
                    correlator.finish()
            else:
                quiet = None
            if time.monotonic() - counted >= 1:
                counted = time.monotonic()
                counters |= correlator.standing()
            if correlator.partitions != partitions:
                partitions = correlator.partitions
                complain(f"follows partitions {', '.join(map(str, partitions)) or 'none yet'}")
        correlator.finish()
        if not options.quiet:
            _summary(correlator)
    finally:
        correlator.close()


def _is_idle(correlator: Correlator, idle: float, patience: float) -> bool:
    """Whether nothing came for ``idle`` seconds, and nobody is waited for any more."""
    return correlator.silent(idle if correlator.all_ended else idle + patience)


def _summary(correlator: Correlator) -> None:
    some = [f"{name} {count:,}" for name, count in correlator.counters().items() if count]
    print(f"  {', '.join(some) or 'nothing came'}", file=sys.stderr)
