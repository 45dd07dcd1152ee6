"""The impact report as a page to print: one file with nothing to load."""

import html
from collections.abc import Sequence

from sensor.alerts.alert import rfc3339
from sensor.base.terminal import printable
from sensor.impact.judgement import KINDS, PLURALS, Judgement, Kind
from sensor.impact.notices import ADVICE, notice_text
from sensor.impact.ranges import ranges
from sensor.impact.report import Report

__all__ = ["inconclusive", "render"]

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


def render(report: Report) -> str:
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
        f"<tr><td><code>{_e(one.host)}</code>{' (exempt)' if one.exempt else ''}{_last(one)}</td>"
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


def _last(one: Judgement) -> str:
    return f"<br>{_e(one.address)}, {rfc3339(one.last)[:19]}" if one.address else ""


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


def inconclusive(why: list[str]) -> str:
    """A page that says so."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<title>Closing port 25: nothing can be concluded</title>"
        f"<style>{_STYLE}</style></head><body><h1>Nothing can be concluded</h1><ul>"
        + "".join(f"<li>{_e(printable(sentence))}</li>" for sentence in why)
        + "</ul></body></html>\n"
    )
