"""The impact report as text, CSV, JSON, or a page to print."""

import csv
import html
import io
from collections import Counter
from collections.abc import Sequence

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.base.terminal import printable
from sensor.impact.judgement import KINDS, PLURALS, Judgement, Kind
from sensor.impact.notices import ADVICE, notice_text
from sensor.impact.ranges import ranges

__all__ = ["SCHEMA", "Report", "as_csv", "as_html", "as_json", "as_text", "inconclusive"]

SCHEMA = "port25.impact/1"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What closing foreign port 25 would mean."""

    schema: str = SCHEMA
    first: int
    last: int
    """packet time, nanoseconds since 1970"""
    date: str
    """from which the port is to be closed, as the notices say it"""
    subscribers: list[Judgement]
    """by kind, then most sessions first"""
    left_out: int
    """connections of subscribers there was no room for"""

    @property
    def totals(self) -> dict[Kind, int]:
        """Subscribers by kind."""
        counts = Counter(one.kind for one in self.subscribers)
        return {kind: counts[kind] for kind in KINDS}

    @property
    def submits_to(self) -> Counter[str]:
        """Mail programs by the provider that must offer port 587."""
        programs = (one for one in self.subscribers if one.kind == "mail program")
        return Counter(name for one in programs for name in one.providers)


def as_json(report: Report) -> str:
    """One object; ``ranges`` and ``totals`` beside the fields."""
    made = msgspec.to_builtins(report)
    made |= {"totals": report.totals, "ranges": msgspec.to_builtins(ranges(report.subscribers))}
    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"


def as_csv(report: Report) -> str:
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


def as_text(report: Report) -> str:
    """For a terminal."""
    lines = [f"{rfc3339(report.first)[:19]} to {rfc3339(report.last)[:19]} UTC", ""]
    for kind, count in report.totals.items():
        lines.append(f"{count:>7,} {PLURALS[kind]:<14} {ADVICE[kind]}")
    for kind in KINDS:
        mine = [one for one in report.subscribers if one.kind == kind]
        if mine:
            lines += ["", f"{kind}:"]
        for one in mine:
            exempt = " (exempt)" if one.exempt else ""
            lines.append(f"  {one.host:<28}{one.sessions:>7,} sessions{exempt}")
            lines += [f"      {reason}" for reason in one.reasons]
    lines += ["", "close in this order (/24, /48), who must be told before:"]
    lines += [
        f"  {one.prefix:<28}{one.to_tell:>7,} to tell, {one.counts['spam source']:,} spam sources"
        for one in ranges(report.subscribers)
    ]
    if report.submits_to:
        lines += ["", "mail programs submit to (they need its port 587):"]
        lines += [f"  {name:<28}{n:>7,}" for name, n in report.submits_to.most_common(20)]
    if report.left_out:
        lines += ["", f"{report.left_out:,} connections left out: limits.max_hosts is reached"]
    return "\n".join(lines) + "\n"


def inconclusive(form: str, why: list[str]) -> str:
    """In place of a report, in the same form, when captures let nothing be known of anybody.

    A table of zeros would read as leave to close the port.
    """
    if form == "json":
        made = {"schema": SCHEMA, "conclusive": False, "why": why}
        return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([["inconclusive"], *([_inert(sentence)] for sentence in why)])
        return text.getvalue()
    if form == "html":
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            "<title>Closing port 25: nothing can be concluded</title>"
            f"<style>{_STYLE}</style></head><body><h1>Nothing can be concluded</h1><ul>"
            + "".join(f"<li>{_e(printable(sentence))}</li>" for sentence in why)
            + "</ul></body></html>\n"
        )
    return "nothing can be concluded:\n" + "".join(f"  {printable(line)}\n" for line in why)


# --- the page ---------------------------------------------------------------------------------

_COLOURS: dict[Kind, str] = {
    "spam source": "#b3261e",
    "mail server": "#0b57d0",
    "mail program": "#146c2e",
    "unclear": "#6d6d6d",
}
_STYLE = """\
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fff }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #d0d0d0;
  vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
td:first-child { white-space: nowrap }
code { font-size: .95em; overflow-wrap: anywhere }
pre { white-space: pre-wrap; background: #f4f4f4; padding: .8rem }
svg { width: 100%; height: auto }
@media print { body { margin: 0; max-width: none } h2 { break-before: page }
  tr { break-inside: avoid } }
"""


def _e(text: object) -> str:
    return html.escape(str(text))


def as_html(report: Report) -> str:
    """One file, with nothing to load."""
    steps = ranges(report.subscribers)
    span = f"{rfc3339(report.first)[:19]} to {rfc3339(report.last)[:19]} UTC"
    totals = "".join(
        f"<tr><td>{kind}</td><td class=n>{n:,}</td><td>{_e(ADVICE[kind])}</td></tr>"
        for kind, n in report.totals.items()
    )
    order = "".join(
        f"<tr><td class=n>{k}</td><td><code>{_e(one.prefix)}</code></td>"
        + "".join(f"<td class=n>{one.counts[kind]:,}</td>" for kind in KINDS)
        + f"<td class=n>{one.to_tell:,}</td></tr>"
        for k, one in enumerate(steps, 1)
    )
    heads = "".join(f"<th class=n>{PLURALS[kind]}</th>" for kind in KINDS)
    sections = "".join(_section(report, kind) for kind in KINDS if report.totals[kind])
    left_out = (
        f"<p>{report.left_out:,} connections were left out: limits.max_hosts is reached.</p>"
        if report.left_out
        else ""
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>Closing port 25: who is affected</title>"
        f"<style>{_STYLE}</style></head><body>"
        f"<h1>Closing port 25: who is affected</h1><p>{span}. "
        f"{len(report.subscribers):,} subscribers used port 25 of other networks.</p>{left_out}"
        f"<table><tr><th>use<th class=n>subscribers<th>what to do</tr>{totals}</table>"
        f"{_bars([('all', report.totals)])}"
        "<h2>Step by step</h2><p>Ranges in the order in which to close them: fewest subscribers to "
        f"tell before come first.</p>{_bars([(one.prefix, one.counts) for one in steps[:40]])}"
        f"<table><tr><th class=n>step<th>range{heads}<th class=n>to tell</tr>{order}</table>"
        f"{sections}</body></html>\n"
    )


def _section(report: Report, kind: Kind) -> str:
    rows = "".join(
        f"<tr><td><code>{_e(one.host)}</code>{' (exempt)' if one.exempt else ''}</td>"
        f"<td class=n>{one.sessions:,}</td><td class=n>{one.messages:,}</td>"
        f"<td class=n>{one.networks:,}</td><td>{_e('; '.join(one.reasons))}"
        f"{_alert(one)}</td></tr>"
        for one in report.subscribers
        if one.kind == kind
    )
    providers = ", ".join(name for name, _ in report.submits_to.most_common(5))
    text = notice_text(kind, providers, report.date)
    heads = "<th>subscriber<th class=n>sessions<th class=n>messages<th class=n>networks<th>why"
    return (
        f"<h2>{PLURALS[kind].capitalize()}</h2><p>{_e(ADVICE[kind]).capitalize()}.</p>"
        f"<table><tr>{heads}</tr>{rows}</table>"
        f"<h3>Text for a notice</h3><pre>{_e(text)}</pre>"
    )


def _alert(one: Judgement) -> str:
    return f" <code>alert {_e(one.alert)[:8]}</code>" if one.alert else ""


def _bars(rows: Sequence[tuple[str, dict[Kind, int]]]) -> str:
    """Stacked bars, drawn."""
    most = max([sum(counts.values()) for _, counts in rows] + [1])
    parts = []
    for k, (name, counts) in enumerate(rows):
        y, x = 24 + 22 * k, 190.0
        parts.append(f'<text x="182" y="{y + 13}" text-anchor="end">{_e(name)}</text>')
        for kind, n in counts.items():
            width = 560 * n / most
            if n:
                parts.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="17"'
                    f' fill="{_COLOURS[kind]}"><title>{n:,} {kind}</title></rect>'
                )
            x += width
        parts.append(f'<text x="{x + 6:.1f}" y="{y + 13}">{sum(counts.values()):,}</text>')
    legend, x = [], 190
    for kind, colour in _COLOURS.items():
        legend.append(f'<rect x="{x}" y="3" width="12" height="12" fill="{colour}"/>')
        legend.append(f'<text x="{x + 17}" y="14">{kind}</text>')
        x += 130
    return (
        f'<svg viewBox="0 0 820 {30 + 22 * len(rows)}" font-size="13" role="img"'
        f' aria-label="subscribers by use">{"".join(legend + parts)}</svg>'
    )


RENDER = {"text": as_text, "csv": as_csv, "json": as_json, "html": as_html}
