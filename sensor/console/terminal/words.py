"""An alert in words: lines of text for screens and for people who have them read aloud.

All text is escaped here: names that hosts give themselves are hostile.
"""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

from msgspec import UNSET

from sensor.alerts.abuse import kind_in_words
from sensor.alerts.alert import Alert
from sensor.alerts.candidate import Candidate
from sensor.base.terminal import printable
from sensor.blocking.decision import Decision
from sensor.blocking.desk import Acknowledged
from sensor.console.standing import Block
from sensor.console.status import Status
from sensor.console.view import Seen, View
from sensor.sinks.outbox import Away
from sensor.smtp.record import Session

__all__ = [
    "away",
    "block",
    "candidate",
    "clock",
    "detail",
    "seen",
    "span",
    "standing",
    "status",
    "whole",
]

_SAID: Final = 20
"""Sessions that are told of."""


def clock(ts: int) -> str:
    """UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ts // 10**9))


def span(seconds: float) -> str:
    """A time as people say it.

    >>> span(7), span(372), span(90_000)
    ('7 s', '6 min', '25 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def status(now: Status) -> list[str]:
    """What a person must know before all else: no sensor runs, nothing is blocked."""
    words = []
    if not now.running:
        since = "no sensor has run here"
        if now.silent is not None:
            since = f"SENSOR SILENT {span(now.silent)} ({clock(now.now)[:16]} UTC)"
        words.append(since)
    if now.stopped:
        step = f", step {now.step} of going on" if now.step else ""
        words.append(f"blocking STOPPED itself{step}: port25 resume")
    if now.blocked:
        words.append(f"{now.blocked:,} blocked")
    if now.mode != "enforce" and not now.blocked:
        words.append(f"{'dry run' if now.mode == 'dry-run' else 'blocking off'}: nothing blocked")
    if now.would_block:
        words.append(f"({now.would_block:,} would)")
    return words


def away(sinks: list[Away]) -> list[str]:
    """Who is told nothing of alerts now."""
    return [
        f"{one.sink.removeprefix('notify/')} NOT TOLD since {clock(one.since)[11:16]} UTC"
        for one in sinks
    ]


_STANDING: Final = {
    "blocked": "blocked",
    "would_block": "would block",
    "lookup": "to be looked up",
    "expired": "expired",
    "released": "released",
    "refused": "refused",
    "undecided": "recommended",
    "not_recommended": "no",
}


def standing(one: Block) -> str:
    """What became of an alert's recommendation, in two words."""
    return _STANDING[one.state]


def seen(one: Seen) -> str:
    """One alert of a list."""
    h = one.head
    words = f"{h.host}, {h.severity}, {h.score:+.1f} decibans, {h.state}, raised {clock(h.opened)}"
    if h.abuse != "unknown":
        words += f", {h.abuse}"
    if h.customer:
        words += f", customer {h.customer}"
    if h.block_recommended:
        words += ", block recommended"
    if one.block.state not in ("undecided", "not_recommended"):
        words += f": {standing(one.block)}"
        words += f" until {clock(one.block.until)}" if "block" in one.block.state else ""
    if one.acknowledged is not None:
        words += f", acknowledged by {one.acknowledged.by}: {one.acknowledged.reason}"
    if one.exempted is not None:
        words += f", exempt until {clock(one.exempted.until)}: {one.exempted.reason}"
    return printable(f"{h.id[:8]}: {words}")


def candidate(one: Candidate) -> str:
    """One host without an alert."""
    most = max(one.evidence[1:], key=lambda line: line.decibans, default=None)
    why = f", {most.detector} {most.decibans:+.1f}: {most.reason}" if most is not None else ""
    return printable(f"{one.host}, {one.score:+.1f} decibans at {clock(one.ts)}{why}")


def block(one: Decision) -> str:
    """One block in force."""
    mode = "" if one.enforced else " (a dry run: not blocked)"
    return printable(f"{one.host}{mode} until {clock(one.expires)}: {'; '.join(one.reasons[:1])}")


def whole(view: View, id_: str) -> Iterator[str]:
    """All there is to say of an alert of a state folder."""
    messages = view.messages(id_)
    said = view.sessions(messages[-1].host, _SAID)
    return detail(messages, view.alert(id_), said, view.notes(id_))


def detail(
    messages: list[Alert], one: Seen | None, said: list[Session], notes: list[Acknowledged]
) -> Iterator[str]:
    """All there is to say of an alert: its sum, course, windows, destinations, what was said."""
    last = messages[-1]
    yield printable(
        f"{last.host}: {last.state}, {last.severity}, {last.time[:19].replace('T', ' ')}"
    )
    by = "" if last.sensor is UNSET else f", by sensor {last.sensor}"
    yield printable(f"alert {last.id}, message {last.revision}{by}")
    if last.customer:
        had = ", ".join(one.address for one in last.addresses or [])
        yield printable(f"customer {last.customer}, of late at {had or last.host}")
    for note in notes:
        yield printable(f"{clock(note.ts)} UTC, acknowledged by {note.by}: {note.reason}")
    if one is not None and one.exempted is not None:
        until = clock(one.exempted.until)
        yield printable(f"exempt until {until} by {one.exempted.by}: {one.exempted.reason}")
    yield ""
    for line in last.evidence:
        yield printable(f"  {line.detector:<14}{line.decibans:+8.1f}  {line.reason}")
    levels = f"raised at {last.raise_at:+.1f}, closed at {last.clear_at:+.1f}"
    yield f"  {'score':<14}{last.score:+8.1f}  {levels}"
    yield ""
    recommended = "recommended" if last.block_recommended else "not recommended"
    yield printable(kind_in_words(last.abuse).text)
    yield printable(f"block {recommended}: {last.block_reason}")
    if one is not None and one.block.state not in ("undecided", "not_recommended"):
        until = f" until {clock(one.block.until)} UTC" if "block" in one.block.state else ""
        why = f": {one.block.reason}" if one.block.reason else ""
        yield printable(f"now: {standing(one.block)}{until}{why}")
    yield (
        f"{last.connections:,} connections, {last.proven:,} proven handshakes,"
        f" {last.disowned:,} answers disowned"
    )
    yield ""
    yield "Course"
    for alert in messages:
        networks = f"{alert.windows['1 day']['networks']:,} networks in a day"
        yield f"  {clock(alert.ts)}  {alert.state:<9} {alert.score:+6.1f}  {networks}"
    yield ""
    yield "Counts          " + "".join(f"{window:>9}" for window in last.windows)
    for what in next(iter(last.windows.values())):
        counts = [window[what] for window in last.windows.values()]
        if any(counts):
            yield f"  {what:<14}" + "".join(f"{count:>9,}" for count in counts)
    yield ""
    yield "Destinations by provider"
    providers: Counter[str] = Counter()
    for exchanger in last.exchangers:
        providers[exchanger.provider or exchanger.name] += exchanger.addresses
    for provider, addresses in providers.most_common(10):
        yield printable(f"  {provider}: {addresses} address{'es' * (addresses != 1)}")
    if not providers:
        yield "  no name is known"
    yield "Destinations contacted last"
    for destination in last.destinations:
        name = destination.name or "no name known"
        yield printable(f"  {destination.address}  {name}  {clock(destination.last_seen * 10**9)}")
    yield "Said last"
    for session in said:
        yield printable(f"  {clock(session.ts)}  {_session(session)}")
    if not said:
        yield "  nothing is kept"


def _session(one: Session) -> str:
    words = [one.dst_name or one.dst]
    if one.helo is not None:
        words.append(f"{'EHLO' if one.ehlo else 'HELO'} {one.helo}")
    if one.tls:
        words.append("TLS")
    if one.mail_from_domain is not None:
        words.append(f"from {one.mail_from_domain or 'nobody'}")
    if one.rcpt_attempted:
        refused = one.rcpt_rejected + one.rcpt_deferred
        words.append(f"{one.rcpt_accepted} taken, {refused} refused")
    if one.last_reply is not None:
        words.append(one.last_reply)
    words += one.anomalies
    return f"{', '.join(words)}; {one.ended}"
