"""Blocks and lookups in force for people and programs: CSV, JSON, or plain addresses."""

import csv
import io
from collections.abc import Iterable, Sequence

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.blocking.decision import Decision
from sensor.blocking.feeds.normal import disjoint

__all__ = ["as_csv", "as_json", "as_plain"]

_COLUMNS = (
    *("action", "host", "source", "first_port", "last_port", "since", "expires", "level"),
    *("alert", "score", "enforced", "reason"),
)


def as_csv(decisions: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
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


def as_json(decisions: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
    """An array of decisions (docs/decision.schema.json), one a line."""
    lines = ",\n".join(msgspec.json.encode(one).decode() for one in decisions)
    return f"[\n{lines}\n]\n" if lines else "[]\n"


def as_plain(blocks: Sequence[Decision], ts: int, own: Iterable[str] = ()) -> str:
    """One subscriber a line: an address or prefix; where it is shared, with ports."""
    lines = []
    for one in disjoint(blocks, ts, ends=False):
        address = one.source.removesuffix("/32")
        lines.append(f"{address}:{one.ports[0]}-{one.ports[1]}" if one.ports else address)
    return "".join(f"{line}\n" for line in lines)
