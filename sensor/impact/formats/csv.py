"""The impact report for spreadsheets: CSV."""

import csv
import io

from sensor.impact.judgement import Judgement
from sensor.impact.report import Report

__all__ = ["inconclusive", "render"]


def render(report: Report) -> str:
    """A line a subscriber."""
    names = [n for n in Judgement.__struct_fields__ if n not in ("reasons", "providers", "helo")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "providers", "helo", "reasons"])
    for one in report.subscribers:
        row = [getattr(one, name) for name in names]
        lists = " ".join(one.providers), " ".join(one.helo), "; ".join(one.reasons)
        writer.writerow([_inert(str(cell)) for cell in (*row, *lists)])
    return text.getvalue()


def _inert(cell: str) -> str:
    """So that no spreadsheet takes a name from the network for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell


def inconclusive(why: list[str]) -> str:
    """A column that says so."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([["inconclusive"], *([_inert(sentence)] for sentence in why)])
    return text.getvalue()
