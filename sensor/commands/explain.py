"""``port25 explain``: one host's score as a sum a person can check."""

import argparse
from typing import TYPE_CHECKING, Final

from sensor.commands.options import (
    complain_of,
    leases_argument,
    leases_from,
    lend,
    settings_argument,
    settings_from,
)
from sensor.commands.terminal import Stop, announce, complain, printable, report_faults

if TYPE_CHECKING:
    from detectors.score import Model
    from sensor.alerts.alert import Alert
    from sensor.alerts.compose import Watched

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "one host's score as a sum to check by hand"
PLACE: Final = 100
_EXCHANGERS: Final = 10
"""Names of destinations that are shown."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument("host", metavar="HOST", help="an address of the host, or a customer")
    leases_argument(parser)
    parser.add_argument(
        "-r", dest="files", nargs="+", required=True, metavar="FILE", help="captures"
    )


def run(options: argparse.Namespace) -> int:
    """Replay, watching one host; print its evidence at the moment its score was highest."""
    from sensor.capture.merge import Captures
    from sensor.decode.ahead import decoded
    from sensor.decode.unread import Unread
    from sensor.pipeline import Pipeline

    settings = settings_from(options.config)
    leases = leases_from(options, settings)
    try:
        host = leases.whose(options.host) if leases is not None else options.host
        pipeline = Pipeline(settings, watch=host)
    except ValueError as error:
        raise Stop(2, f"{options.host}: {error}") from None
    lend(pipeline, leases, settings)
    announce()
    captures = Captures(options.files)
    alerts: list[Alert] = []
    watched: Watched | None = None
    unread = Unread(settings.ports)
    for output in pipeline.run(decoded(captures, pipeline.decoder, unread)):
        alerts += output.alerts
        watched = output.watched or watched
    for strain in pipeline.strain():
        complain(strain.text)
    complain_of(leases, pipeline)
    if unread.nothing:
        print(f"{printable(options.host)}: nothing can be said, no frame could be read")
    elif watched is None:
        print(f"{printable(options.host)} opened no connection to a foreign mail server")
    else:
        _print(printable(options.host), pipeline.model, watched)
        for alert in alerts:
            if (alert.customer or alert.host) == watched.host:
                print(
                    f"{alert.time}  {alert.state:<10} {alert.score:+6.1f}  "
                    f"{alert.abuse}: {alert.block_reason}"
                )
    return report_faults(captures.faults, unread)


def _print(host: str, model: "Model", watched: "Watched") -> None:
    from detectors.detector import CENTIBANS
    from sensor.alerts.alert import rfc3339
    from sensor.hosts.evidence import Count, Fact
    from sensor.hosts.windows import WINDOWS

    evidence = watched.evidence
    total = watched.score / CENTIBANS
    print(f"{host} at {rfc3339(watched.ts)}, when its score was highest\n")
    for finding in model.explain(evidence):
        print(f"  {finding.detector:<14}{finding.centibans / CENTIBANS:+8.1f}  {finding.reason}")
    meaning = "spam source" if watched.score >= model.raise_at else "no alert"
    raise_at, clear_at = model.raise_at / CENTIBANS, model.clear_at / CENTIBANS
    print(f"  {'score':<14}{total:+8.1f}  decibans: {meaning}")
    print(
        f"\n  raise at {raise_at:+.1f}, clear at {clear_at:+.1f}; 10 decibans are a factor of ten"
    )
    print(
        f"  {evidence.fact(Fact.CONNECTIONS):,} connections; handshakes that prove the host spoke"
    )
    print(f"  itself: {evidence.fact(Fact.PROVEN):,}; answers it disowned by a reset:", end=" ")
    print(f"{evidence.fact(Fact.DISOWNED):,}\n")
    print("  " + " " * 16 + "".join(f"{window:>9}" for window in WINDOWS))
    for what in Count:
        row = "".join(f"{evidence.count(what, w):>9,}" for w in range(len(WINDOWS)))
        print(f"  {what.name.lower():<16}{row}")
    if watched.exchangers:
        print("\n  among the last destinations:")
    for exchanger in watched.exchangers[:_EXCHANGERS]:
        addresses = f"{exchanger.addresses} address{'es' * (exchanger.addresses != 1)}"
        print(f"    {exchanger.name}, {addresses} ({exchanger.provider})")
    if (more := len(watched.exchangers) - _EXCHANGERS) > 0:
        print(f"    and {more} more names")
    print()
