"""The page and the plots of ``benchmarks.evaluate``, from its figures.

    python -m benchmarks.quality docs

draws them again from ``docs/quality.json``.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any, Final

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from detectors.registry import DETECTORS

__all__ = ["write"]

_NAMES: Final = {
    "port25": "port25",
    "curve": "port25",
    "threshold": "threshold: distinct servers in a minute",
    "random_walk": "Threshold Random Walk alone",
    "spot": "SPOT's sequential test alone",
}
_COLOURS: Final = {
    "curve": "#0b5394", "threshold": "#b45f06", "random_walk": "#38761d", "spot": "#741b47",
}  # fmt: skip


def write(found: dict[str, Any], folder: Path) -> None:
    """Write ``quality.md`` and its plots into ``folder``."""
    plots = folder / "quality"
    plots.mkdir(exist_ok=True)
    plt.rcParams.update({"svg.hashsalt": "port25", "font.size": 10, "figure.figsize": (7, 4)})
    _roc(found, plots / "roc.svg")
    _precision(found, plots / "precision.svg")
    _calibration(found, plots / "calibration.svg")
    _delays(found, plots / "delays.svg")
    (folder / "quality.md").write_text(_page(found))


def _save(path: Path) -> None:
    plt.grid(alpha=0.3)
    plt.tight_layout()
    plt.savefig(path, metadata={"Date": None})
    plt.close()
    lines = (line.rstrip() for line in path.read_text().splitlines())
    path.write_text("\n".join(lines) + "\n")


def _roc(found: dict[str, Any], path: Path) -> None:
    for name, curve in found["curves"].items():
        floor = 0.5e6 / found["days"]
        plt.step(
            [max(floor, x) for x in curve["false"]], [100 * y for y in curve["found"]],
            where="post", label=_NAMES[name], color=_COLOURS[name],
        )  # fmt: skip
    plt.xscale("log")
    plt.xlabel("false alerts per million legitimate subscriber-days (left edge: none)")
    plt.ylabel("bots of the families found, %")
    plt.legend(loc="best")
    _save(path)


def _precision(found: dict[str, Any], path: Path) -> None:
    """At the share of spam sources that the prior says: one in 1,000 hosts on port 25."""
    users = found["users"]
    for name, curve in found["curves"].items():
        points = [
            (100 * recall, 100 * recall * users / 999 / (recall * users / 999 + false))
            for false, recall in zip(curve["false"], curve["found"], strict=True)
            if recall
        ]
        plt.plot(*zip(*points, strict=True), label=_NAMES[name], color=_COLOURS[name])
    plt.xlabel("recall: bots of the families found, %")
    plt.ylabel("precision: alerts that are right, %")
    plt.legend(loc="best")
    _save(path)


def _calibration(found: dict[str, Any], path: Path) -> None:
    rows = found["calibration"]
    levels = [row["level"] for row in rows]
    for key, label, style in (
        ("said", "what the score says", "k--"),
        ("is", "share of spam sources", "C0o-"),
        ("at_least", "its lower 95 % bound", "C0:"),
    ):
        plt.plot(levels, [100 * row[key] for row in rows], style, label=label)
    plt.xlabel("score ever reached, decibans")
    plt.ylabel("of the hosts that did, %")
    plt.legend(loc="lower right")
    _save(path)


def _delays(found: dict[str, Any], path: Path) -> None:
    rows = [row for row in found["families"] if row["connections"]]
    for y, row in enumerate(reversed(rows)):
        low, middle, high, _ = row["connections"]
        plt.plot([low, high], [y, y], color="#0b5394", lw=4, alpha=0.5)
        plt.plot(middle, y, "o", color="#0b5394")
    plt.yticks(range(len(rows)), [row["name"] for row in reversed(rows)])
    plt.xscale("log")
    plt.xlabel("connections before the alert: median, and from 10 % to 90 % of the bots")
    _save(path)


def _age(found: dict[str, Any]) -> str:
    measured = {row["method"] for row in found["variants"]}
    since = [f"`{one.name}`" for one in DETECTORS if f"without {one.name}" not in measured]
    before = f", before there was {' and '.join(since)}" if since else ""
    return f"The figures are of commit {found['commit']}{before}."


def _page(found: dict[str, Any]) -> str:
    low, high = found["bounds"]
    families = found["families"]
    bots = sum(row["senders"] for row in families)
    hit = sum(row["found"] for row in families)
    full = found["methods"][0]
    slow = next(row for row in found["evaders"] if row["name"].startswith("slow:"))
    one_way = found["one_way"]
    return f"""# How good is it?

Made by `make quality`: `python -m benchmarks.evaluate --seeds {found["seeds"]}` on the traffic
laboratory ([lab/traffic/](../lab/traffic)), which has the source of every figure it is
modelled on. It is a model: these figures hold for senders like those, and say nothing of a family
nobody has described. Parameters were chosen on other seeds (`--seeds training`); no choice was made
on these. {_age(found)}

{found["days"]:,} legitimate subscriber-days, {found["connections"]:,} connections and lookups, all of
them whole packets through the sensor as it ships.

| asked for | found |
| --- | --- |
| at least 99 % of the published families | {_share(hit, bots)} of {bots:,} bots |
| median delay at most 10 connections or 30 s | {full["connections"]:.0f} connections, {_seconds(full["seconds"])}: the median of the families' medians |
| a bot with one new MX in 10 minutes within 3 hours | {_share(slow["found"], slow["senders"])} found; median {_seconds(slow["seconds"][1])}, 90 % within {_seconds(slow["seconds"][2])} |
| at most 1 false alert per million legitimate subscriber-days | {found["false"]} in {found["days"] / 1e6:.1f} million: {found["false"] / found["days"] * 1e6:.2f} per million, 95 % bounds {low:.2f} to {high:.2f} |

## Published families

{_senders(families)}

Delays count from the first connection. "Blocked": a block was recommended, on handshakes the bot
itself completed. The sources of each model are in
[lab/traffic/families.py](../lab/traffic/families.py).

![connections before the alert](quality/delays.svg)

## Evaders

Senders that know this sensor, each without what would give it away; all of it assumed.

{_senders(found["evaders"])}

The last is what a sensor that reads no mail cannot find: it has a mailing list's behaviour, and
only who reads its mail knows better.

## Legitimate subscribers

{_classes(found)}

Researchers and scanners send no mail, so they count neither way: who greets politely and leaves is
not taken for a bot, a scan is rightly told of. Those falsely alerted on write to many at once, and of
the first mailboxes some were dead: for an hour a list, a bulk sender, or a server nobody gave a name
may look like a spam source. Name such servers in the settings (`exempt`).

## Beside the baselines, on the same traffic

Each baseline is drawn at its best line that gives no more than one false alert per million
legitimate subscriber-days (or as many as port25 gave, if more). They are told who answered and who
refused by the laboratory itself, without the losses of a sensor.

| method | line | families found | median delay | slow bots found | false alerts per million days |
| --- | ---: | ---: | ---: | ---: | ---: |
{_methods(found["methods"])}

![false alerts against bots found](quality/roc.svg)

![precision against recall](quality/precision.svg)

## Does 99 % mean 99 %?

The score is log-odds: +20 says 100 to 1. Of hosts whose score ever reached a level, weighted to the
prior of one spam source among 1,000 hosts on foreign port 25:

| score | says | is | at least (95 %) |
| ---: | ---: | ---: | ---: |
{_calibrated(found["calibration"])}

The score means about what it says, on this model. It is made of detectors that are not independent,
so each is capped; which of them add up is told in [fit.md](fit.md).

![calibration](quality/calibration.svg)

## What each detector is worth

The same sensor with less to go by, {found["variant_days"]:,} legitimate subscriber-days.

| | families found | median delay | slow bots found | false alerts |
| --- | ---: | ---: | ---: | ---: |
{_variants(found["variants"])}

Fan-out, rejections and manners carry the families. `first_contact` even delays them a little, whose
lists are fresh: it is for worms, scanners, and mirrors where nothing is read. `deliveries` is for
where replies are hidden, under TLS or with one direction; `regularity` for the slowest; `mx_lookups`
tells a mailer from a scanner; `submission` speaks for mail programs, whom here nothing accuses.

## A mirror with one direction only

Only what subscribers send. What servers say cannot be seen then, nothing is ever proven, and no
block recommended. A contact counts as failed only where the client itself shows it: it repeats its
SYN and never goes on, while others do. Contacts said to have failed that had not, in all alerts:
{one_way["false_claims"]}.

{_senders(one_way["families"] + one_way["evaders"], blocked=False)}

Legitimate subscribers alerted on: {_alerted(one_way["classes"])}.

## Headers only

With `privacy = "headers"` nothing said is read: fan-out and unanswered first contacts are all there
is. Legitimate subscribers alerted on: {_alerted(found["headers"])}. Exempt your
customers' large senders there.

## The impact report

`port25 impact` on {sum(sum(row.values()) for row in found["impact"].values()):,} subscribers that use
foreign port 25, one day: what it calls them, against what they are.

| truly | {" | ".join(found["impact"])} | recall |
| --- |{" ---: |" * (len(found["impact"]) + 1)}
{_judged(found["impact"])}

Unclear is no mistake: it asks a person to look. Truly unclear are monitoring probes, homes behind one
address, researchers and scanners. Mail servers called unclear are those without a host's name; mail
programs, devices whose server is no more, which never said a word. Spam sources called mail servers
are those with perfect manners and a clean list.
"""


def _share(hits: int, n: int) -> str:
    return f"{100 * hits / max(1, n):.1f} %"


def _seconds(x: float) -> str:
    if not math.isfinite(x):
        return "never"
    if x < 120:
        return f"{x:.1f} s" if x < 10 else f"{x:.0f} s"
    return f"{x / 60:.0f} min" if x < 7200 else f"{x / 3600:.1f} h"


def _delay(row: dict[str, Any]) -> str:
    if not math.isfinite(row["connections"]):
        return "most never"
    return f"{row['connections']:.0f} connections, {_seconds(row['seconds'])}"


def _senders(rows: list[dict[str, Any]], blocked: bool = True) -> str:
    head = "| sender | bots | found | 95 % bounds | delay: median, 90 % | connections | messages taken before |"
    lines = [head + (" blocked |" if blocked else ""), "| --- |" + " ---: |" * (6 + blocked)]
    for row in rows:
        low, high = row["bounds"]
        cells = [row["name"], str(row["senders"]), _share(row["found"], row["senders"])]
        cells.append(f"{100 * abs(low):.1f} to {100 * high:.1f}")
        if row["seconds"]:
            cells.append(f"{_seconds(row['seconds'][1])}, {_seconds(row['seconds'][2])}")
            cells += [f"{row['connections'][1]:.0f}", f"{row['messages'][1]:.0f}"]
        else:
            cells += ["-", "-", "-"]
        if blocked:
            cells.append(_share(row["blocked"], row["senders"]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _classes(found: dict[str, Any]) -> str:
    lines = [
        "| class | subscriber-days | alerted on | block recommended |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines.append(f"| webmail only, nothing on port 25 | {found['silent']:,} | 0 | 0 |")
    lines += [
        f"| {row['name']} | {row['days']:,} | {row['alerted']} | {row['blocked']} |"
        for row in found["classes"]
    ]
    return "\n".join(lines)


def _alerted(rows: list[dict[str, Any]]) -> str:
    hit = [
        f"{row['alerted']} of {row['senders']} ({row['name']})"
        for row in rows
        if row["alerted"] and row["kind"] == "legitimate"
    ]
    return ", ".join(hit) or "none"


def _methods(rows: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"| {_NAMES[r['method']]} | {r['level']:.1f} | {100 * r['found']:.1f} % |"
        f" {_delay(r)} | {100 * r['slow']:.0f} % |"
        f" {r['rate']:.2f} |"
        for r in rows
    )


def _variants(rows: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"| {r['method']} | {100 * r['found']:.1f} % | {_delay(r)} | {100 * r['slow']:.0f} % |"
        f" {r['false']} |"
        for r in rows
    )


def _judged(impact: dict[str, dict[str, int]]) -> str:
    lines = [
        f"| {kind} | {' | '.join(f'{n:,}' for n in row.values())} |"
        f" {_share(row[kind], sum(row.values()))} |"
        for kind, row in impact.items()
    ]
    right = [
        _share(row[kind], sum(other[kind] for other in impact.values()))
        for kind, row in impact.items()
    ]
    return "\n".join([*lines, f"| precision | {' | '.join(right)} | |"])


def _calibrated(rows: list[dict[str, float]]) -> str:
    return "\n".join(
        f"| {r['level']:+.0f} | {100 * r['said']:.2f} % | {100 * r['is']:.2f} % |"
        f" {100 * r['at_least']:.2f} % |"
        for r in rows
    )


def main() -> None:
    """Draw again."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    write(json.loads((folder / "quality.json").read_text()), folder)


if __name__ == "__main__":
    main()
