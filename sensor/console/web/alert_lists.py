"""Lists of alerts as the API gives them, and what persons do about many at once."""

import csv
import io
import time
from typing import Final, get_args

import msgspec
from msgspec import UNSET

from sensor.alerts.alert import Severity, rfc3339
from sensor.base.units import HOUR, SECOND
from sensor.blocking.handling import Act, ActError
from sensor.console.listing import Asked, Seen
from sensor.console.search import SearchError
from sensor.console.web import schemas
from sensor.console.web.app_state import ApiError
from sensor.console.web.operation import ApiRequest, Download
from sensor.state.journal import Sort, Wanted

__all__ = [
    "HEAD",
    "acts",
    "alert_cells",
    "alerts",
    "alerts_csv",
    "found_of",
    "listed",
    "plain_cell",
    "summary",
]

_LATEST: Final = (1 << 63) - 1
_LINES: Final = 100_000
"""Of a CSV, at most; the last line says so where there are more."""
_PAGE: Final = 500
_SPANS: Final = 24


def listed(one: Seen) -> schemas.Listed:
    """An alert in a list."""
    head = msgspec.structs.asdict(one.head)
    return schemas.Listed(
        **head,
        gist=one.gist,
        acknowledged=one.acknowledged,
        handling=one.handling,
        exempted=one.exempted,
        block=one.block,
    )


def _asked(q: schemas.AlertsFilter, now: int) -> Asked:
    wanted = Wanted(
        text=q.text,
        state=q.state or "",
        severity=q.severity or "",
        recommended=None if q.recommended is UNSET else q.recommended,
        seen_to=None if q.seen_to is UNSET else q.seen_to,
        since=None if q.since is UNSET else q.since,
        until=None if q.until is UNSET else q.until,
        active=None if q.last is UNSET else now - q.last * SECOND,
        sort=q.sort,
    )
    return Asked(wanted, q.block or "", q.handled or "", q.owner, q.abuse or "")


def _below(cursor: str, sort: Sort) -> tuple[int | float | str, str]:
    """Where a page ended. Raises ApiError for a cursor of another order."""
    value, _, id_ = cursor.rpartition("-")
    try:
        if sort == "host":
            return value, id_
        if sort == "score":
            return float(value), id_
        if not value.isascii() or not value.isdigit():
            raise ValueError
        return min(int(value), _LATEST), id_
    except ValueError:
        raise ApiError(409, f"after: no cursor of a list sorted by {sort}") from None


def alerts(request: ApiRequest) -> schemas.Alerts:
    """A page of a list."""
    q: schemas.AlertsQuery = request.query
    listing = request.view.listing
    asked = _asked(q, listing.now)
    if q.after is not UNSET:
        below = _below(q.after, q.sort)
        asked = asked._replace(wanted=asked.wanted._replace(below=below))
    try:
        heads = listing.heads(q.limit, asked)
        total = listing.count(asked)
    except SearchError as error:
        raise ApiError(400, f"text: {error}") from None
    after = None
    if len(heads) == q.limit:
        value, id_ = asked.wanted.key(heads[-1])
        after = f"{value}-{id_}"
    found = [listed(one) for one in listing.seen(heads)]
    return schemas.Alerts(found, after, total, listing.count(Asked()))


_BEGINS: Final = frozenset("=+-@|%\uff1d\uff0b\uff0d\uff20")
"""Of formulas, and of what was one for some program; also in full width."""


def plain_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers are none.

    >>> plain_cell('=HYPERLINK("http://192.0.2.1")'), plain_cell(-6.0)
    ('\'=HYPERLINK("http://192.0.2.1")', -6.0)
    """
    if isinstance(value, str) and value.lstrip()[:1] in _BEGINS:
        return f"'{value}"
    return value


HEAD: Final = (
    "host", "customer", "abuse", "severity", "score", "state", "raised", "last_active", "block",
    "block_until", "block_reason", "strongest", "decibans", "reason", "networks_1h", "refused_1h",
    "handled", "owner", "verdict", "last_note_by", "last_note", "id",
    "ticket",
)  # fmt: skip


def alert_cells(one: Seen) -> list[object]:
    """What stands in the columns of ``HEAD``."""
    block, gist, note = one.block, one.gist, one.acknowledged
    return [
        one.head.host, one.head.customer, one.head.abuse, one.head.severity, one.head.score,
        one.head.state, rfc3339(one.head.opened), rfc3339(one.head.ts), block.state,
        rfc3339(block.until) if block.until else "", block.reason or gist.block_reason,
        gist.strongest.detector, gist.strongest.decibans, gist.strongest.reason, gist.networks,
        gist.refused, one.handling.state, one.handling.owner, one.handling.verdict,
        note.by if note else "", note.reason if note else "", one.head.id,
        one.handling.ticket,
    ]  # fmt: skip


def found_of(request: ApiRequest, most: int) -> tuple[list[Seen], int]:
    """All that fit the filter of a request, ``most`` at most, and how many fit."""
    listing = request.view.listing
    asked = _asked(request.query, listing.now)
    try:
        return listing.every(asked, most, _PAGE), listing.count(asked)
    except SearchError as error:
        raise ApiError(400, f"text: {error}") from None


def summary(request: ApiRequest) -> schemas.Summary:
    """Alerts over time, and those that matter most."""
    listing, q = request.view.listing, request.query
    step = q.hours * HOUR // _SPANS
    end = listing.now // step * step + step
    spans = []
    for k in reversed(range(_SPANS)):
        since, until = end - (k + 1) * step, end - k * step
        counts = {
            one: listing.count(Asked(Wanted(severity=one, since=since, until=until)))
            for one in get_args(Severity)
        }
        spans.append(schemas.Span(since, until, counts))
    current = {
        one: listing.count(Asked(Wanted(severity=one, state="open"))) for one in get_args(Severity)
    }
    worst = listing.heads(q.limit, Asked(Wanted(state="open", sort="score")))
    return schemas.Summary(
        listing.now, spans, current, [listed(one) for one in listing.seen(worst)]
    )


def alerts_csv(request: ApiRequest) -> Download:
    """A list as a file (RFC 4180)."""
    found, total = found_of(request, _LINES)
    request.view.note(request.person.name, "export", detail="alerts.csv")
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(HEAD)
    rows.writerows([plain_cell(cell) for cell in alert_cells(one)] for one in found)
    if total > len(found):
        rows.writerow([f"{total - len(found)} more are left out"])
    return Download("text/csv", "port25-alerts.csv", text.getvalue().encode())


def acts(request: ApiRequest) -> schemas.Acted:
    """Take, assign, note, put off, be done with, or reopen."""
    body: schemas.Acts = request.body
    until = time.time_ns() + body.hours * HOUR if body.hours else 0
    ticket = body.ticket.strip()
    act = Act(
        body.act, request.person.name, body.reason.strip(), body.owner, until, body.verdict, ticket
    )
    try:
        done = request.view.act(body.alerts, act)
    except ActError as error:
        raise ApiError(400, str(error)) from None
    if not done:
        raise ApiError(404, "there are no such alerts")
    return schemas.Acted(done)
