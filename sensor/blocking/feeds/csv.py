"""Blocks and lookups in force for people and spreadsheets: CSV with a heading."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from sensor.alerts.alert import rfc3339
from sensor.blocking.decision import Decision

__all__ = ["LOOKUPS", "render"]

LOOKUPS: Final = True
_COLUMNS = (
    *("action", "host", "source", "first_port", "last_port", "since", "expires", "level"),
    *("alert", "score", "enforced", "reason"),
)


def render(decisions: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
    """A line each, with a heading."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in decisions:
        first, last = one.ports or ("", "")
        times = rfc3339(one.since), rfc3339(one.expires)
        row = (one.action, one.host, one.source, first, last, *times, one.level)
        writer.writerow((*row, one.alert, one.score, one.enforced, "; ".join(one.reasons)))
    return text.getvalue()
