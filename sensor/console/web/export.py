"""Lists as files: CSV (RFC 4180), JSON, Parquet. Each export is in the book of who did what."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Final

from sensor.alerts.alert import rfc3339
from sensor.base.extras import missing
from sensor.console.web import schemas
from sensor.console.web.alert_lists import HEAD, alert_cells, found_of, plain_cell
from sensor.console.web.app_state import ApiError
from sensor.console.web.operation import ApiRequest, Download

__all__ = ["export"]

_LINES: Final = 100_000
"""Of a file, at most."""
_KINDS: Final = {
    "csv": "text/csv",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
Rows = tuple[Sequence[str], list[list[Any]], int]
"""Names of columns, rows, and how many more there are."""


def _alerts(request: ApiRequest) -> Rows:
    found, total = found_of(request, _LINES)
    return HEAD, [alert_cells(one) for one in found], total - len(found)


def _candidates(request: ApiRequest) -> Rows:
    head = ("host", "time", "score", "strongest", "decibans", "reason")
    rows = []
    for one in request.view.candidates(_LINES):
        line = max(one.evidence[1:] or one.evidence, key=lambda line: line.decibans)
        said = line.detector, line.decibans, line.reason
        rows.append([one.host, rfc3339(one.ts), one.score, *said])
    return head, rows, 0


def _blocks(request: ApiRequest) -> Rows:
    head = (
        "host", "source", "since", "expires", "enforced", "level", "by", "reason", "alert",
        "customer",
    )  # fmt: skip
    return head, [
        [one.host, one.source, rfc3339(one.since), rfc3339(one.expires), one.enforced, one.level,
         one.by, "; ".join(one.reasons), one.alert, one.customer or ""]
        for one in request.view.blocks()
    ], 0  # fmt: skip


def _exemptions(request: ApiRequest) -> Rows:
    head = ("host", "made", "until", "by", "reason")
    return head, [
        [one.host, rfc3339(one.ts), rfc3339(one.until), one.by, one.reason]
        for one in request.view.exempted()
    ], 0  # fmt: skip


_LISTS: Final = {
    "alerts": _alerts,
    "candidates": _candidates,
    "blocks": _blocks,
    "exemptions": _exemptions,
}


def export(request: ApiRequest) -> Download:
    """One list in one form; numbers stay numbers, and no text is a formula in a spreadsheet."""
    q: schemas.ExportQuery = request.query
    head, rows, left = _LISTS[q.list](request)
    name = f"port25-{q.list}.{q.format}"
    request.view.note(request.person.name, "export", detail=f"{q.list}.{q.format}")
    content = {"csv": _csv, "json": _json, "parquet": _parquet}[q.format](head, rows, left)
    return Download(_KINDS[q.format], name, content)


def _csv(head: Sequence[str], rows: list[list[Any]], left: int) -> bytes:
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(head)
    lines.writerows([plain_cell(cell) for cell in row] for row in rows)
    if left:
        lines.writerow([f"{left} more are left out"])
    return text.getvalue().encode()


def _json(head: Sequence[str], rows: list[list[Any]], left: int) -> bytes:
    made = {"rows": [dict(zip(head, row, strict=True)) for row in rows], "left_out": left}
    return json.dumps(made, ensure_ascii=False).encode(errors="replace")


def _parquet(head: Sequence[str], rows: list[list[Any]], left: int) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ApiError(503, missing("pyarrow")) from None
    columns = {name: [row[k] for row in rows] for k, name in enumerate(head)}
    table = pyarrow.table(columns).replace_schema_metadata({"left_out": str(left)})
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    return out.getvalue()
