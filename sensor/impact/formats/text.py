"""The impact report for a terminal."""

from sensor.alerts.alert import rfc3339
from sensor.base.terminal import printable
from sensor.impact.judgement import KINDS, PLURALS
from sensor.impact.notices import ADVICE
from sensor.impact.ranges import ranges
from sensor.impact.report import Report

__all__ = ["inconclusive", "render"]


def render(report: Report) -> str:
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
            last = f", last at {one.address}, {rfc3339(one.last)[:19]}" if one.address else ""
            lines.append(f"  {one.host:<28}{one.sessions:>7,} sessions{exempt}{last}")
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


def inconclusive(why: list[str]) -> str:
    """Lines that say so."""
    return "nothing can be concluded:\n" + "".join(f"  {printable(line)}\n" for line in why)
