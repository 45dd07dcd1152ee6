"""What other settings would have made of the alerts and candidates in a journal.

Every message of every alert, and every candidate, holds the counts it was weighed from. They are
weighed again with the settings given, which tells which alerts would not have been raised and which
hosts would have had one. It tells what it knows and no more: an alert is weighed at the moments it
was told of, a candidate at its highest, and a host that never was a candidate is not known at all.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from detectors.detector import CENTIBANS, Finding
from detectors.score import Model
from sensor.alerts.alert import Alert, rfc3339
from sensor.alerts.candidate import Candidate, evidence_of
from sensor.base.terminal import printable
from sensor.hosts.customer_key import parse_pseudonym
from sensor.hosts.subscribers import Subscribers, class_of, parse_host
from sensor.state.journal import Journal

__all__ = ["EFFECTS", "Change", "changes", "show"]

EFFECTS: Final = ("appears", "vanishes", "stays")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One alert or candidate, as it was and as it would be."""

    effect: Literal["appears", "vanishes", "stays"]
    host: str
    time: str
    """RFC 3339, packet time of the highest score"""
    alert: str | None
    """id; None: a candidate"""
    was: float
    """highest score, decibans"""
    would_be: float
    why: str
    """what changed most"""


def changes(path: Path, since: int, model: Model, subscribers: Subscribers) -> Iterator[Change]:
    """Of every alert in a journal, and of the candidates that would be alerts."""
    journal = Journal(path, read_only=True)
    best: dict[str, tuple[Alert, int, list[Finding]]] = {}
    was: dict[str, float] = {}
    for _, alert in journal.read(since=since):
        if alert.state == "closed":
            continue
        findings = model.explain(evidence_of(alert))
        score = sum(finding.centibans for finding in findings)
        was[alert.id] = max(was.get(alert.id, alert.score), alert.score)
        if alert.id not in best or score > best[alert.id][1]:
            best[alert.id] = alert, score, findings
    for id_, (alert, score, findings) in best.items():
        excuse = _excuse(alert.host, alert.ts, subscribers)
        excuse = excuse or (
            _excuse(alert.customer, alert.ts, subscribers) if alert.customer else ""
        )
        yield Change(
            effect="stays" if score >= model.raise_at and not excuse else "vanishes",
            host=alert.host,
            time=alert.time,
            alert=id_,
            was=was[id_],
            would_be=score / CENTIBANS,
            why=excuse or _why(alert, findings),
        )
    alerted = {alert.customer or alert.host for alert, _, _ in best.values()}
    for one in journal.candidates(since):
        findings = model.explain(evidence_of(one))
        score = sum(finding.centibans for finding in findings)
        if score < model.raise_at or one.host in alerted or _excuse(one.host, one.ts, subscribers):
            continue
        yield Change(
            effect="appears",
            host=one.host,
            time=rfc3339(one.ts),
            alert=None,
            was=one.score,
            would_be=score / CENTIBANS,
            why=_why(one, findings),
        )
    journal.close()


def _why(told: Alert | Candidate, findings: list[Finding]) -> str:
    """The line of the sum that changed most, or that none did."""
    before = {line.detector: line.decibans for line in told.evidence}
    steps = {f.detector: f.centibans / CENTIBANS - before.get(f.detector, 0.0) for f in findings}
    most = max(findings, key=lambda f: abs(steps[f.detector]))
    if not round(steps[most.detector], 1):
        return "nothing but the levels"
    return f"{most.detector} {steps[most.detector]:+.1f}: {most.reason}"


def _excuse(host: str, ts: int, subscribers: Subscribers) -> str:
    """Why by the settings this host had no alert at ``ts`` (ns); empty: it would have had one."""
    try:
        hi, lo = parse_host(host, subscribers)
    except ValueError:
        return ""  # of a prefix that is another subscriber's now
    class_ = subscribers.classes[class_of(subscribers, hi, lo)]
    if class_["own"]:
        return "an own mail server"
    if not class_["subscriber"] and parse_pseudonym(host) is None:
        return "no subscriber"
    return "exempt" if class_["exempt"] >= 0 and ts < class_["exempt_until"] else ""


def show(found: list[Change], raise_at: float) -> None:
    """A table of changes on a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("effect", "host", "time (UTC)", "was", "would be", "what changed most"):
        numeric = title in ("was", "would be")
        table.add_column(title, justify="right" if numeric else "left", no_wrap=title[0] != "w")
    for c in found:
        style = {"appears": "bold red", "vanishes": "bold green"}.get(c.effect, "")
        cells = (c.effect, c.host, c.time[:19], f"{c.was:+.1f}", f"{c.would_be:+.1f}", c.why)
        table.add_row(*(Text(printable(cell), style=style) for cell in cells))
    console = Console()
    console.print(table)
    console.print(f"An alert would be raised at {raise_at:+.1f} decibans.")
