"""Detection quality, measured on the traffic laboratory: the whole of ``docs/quality.md``.

    python -m benchmarks.evaluate [--seeds training|report] [--days-in-millions 10] [--out docs]

Every sender's frames go through the sensor as it ships, and through variants of it: with a low
raise level and small steps (for the curves), without one detector after the other, on a mirror with
one direction, and with headers only. Beside it the baselines see the same connections. Parameters
were chosen on the training seeds; what is published is of the report seeds, which no choice was
made on.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks import quality
from benchmarks.baselines import BASELINES, Climb, climbs
from detectors.registry import DETECTORS, DetectorSettings
from detectors.score import ScoreSettings
from lab import ROOT
from lab.memory import map_tables
from lab.traffic.packets import blocks
from lab.traffic.population import SETTINGS, Group, Traffic, traffic
from lab.traffic.scripts import MX_LOOKUP
from sensor.alerts.alert import Alert
from sensor.blocking.precision import wilson
from sensor.capture.block import Block
from sensor.impact.judgement import KINDS
from sensor.impact.survey import Survey
from sensor.pipeline import Pipeline
from sensor.settings import AlertSettings, Settings, subscribers_of
from sensor.tracking.output import Output

SEEDS: Final = {"training": 1, "report": 1_000_001}
"""The first of each; shards count up from there."""
DAYS: Final = 2
SHARD: Final = 125_000
"""Subscribers of a shard."""
FULL: Final = "as shipped"
CURVE: Final = "curve"
ONE_WAY: Final = "one direction"
HEADERS: Final = "headers only"
SURVEYED: Final = 326_000
"""Subscribers of whom some 10,000 use foreign port 25."""
KIND: Final = {
    "mail program, port 25": "mail program",
    "device that mails": "mail program",
    "own mail server": "mail server",
    "new mail server": "mail server",
    "mailing list": "mail server",
    "bulk sender": "mail server",
    "backup MX": "mail server",
    "monitoring probe": "unclear",
    "homes behind one address": "unclear",
    "researcher": "unclear",
    "scanner": "unclear",
}
"""What the impact report ought to call them; all others are spam sources."""
_SECOND: Final = 1_000_000_000
_EVEN: Final = 0.4999
_PRIOR: Final = ScoreSettings().prior


def variants(all_of_them: bool) -> dict[str, Settings]:
    """Settings by name: those for detection and the curve, or those and the ablation."""
    replace = msgspec.structs.replace
    found = {
        FULL: SETTINGS,
        CURVE: replace(
            SETTINGS,
            score=ScoreSettings(false_positive_rate=_EVEN, miss_rate=_EVEN),
            alerts=AlertSettings(escalate_step=1.0),
        ),
    }
    if all_of_them:
        found[ONE_WAY] = SETTINGS
        found[HEADERS] = replace(SETTINGS, privacy="headers")
        for one in DETECTORS:
            detectors = msgspec.convert({one.name: one.silent}, DetectorSettings)
            found[f"without {one.name}"] = replace(SETTINGS, detectors=detectors)
    return found


class Sent(NamedTuple):
    """What one sender of spam did: all of its connections to port 25."""

    start: NDArray[np.int64]
    taken: NDArray[np.int32]
    """messages"""


class Shard(NamedTuple):
    """What came of one population."""

    groups: list[Group]
    silent: int
    climbs: dict[str, dict[int, Climb]]
    """by variant or baseline, then sender"""
    blocks: dict[int, int]
    """sender: when a block was first recommended, ns; as shipped"""
    sent: dict[int, Sent]
    false_claims: int
    """by alerts on one direction: contacts said to have failed that had not"""
    connections: int
    seconds: float


def one_way(block: Block) -> Block:
    """Only what subscribers send: frames to port 25 or 53."""
    at = block.frames["offset"] + np.where(block.data[block.frames["offset"] + 12] == 8, 36, 56)
    port = block.data[at].astype(np.int64) << 8 | block.data[at + 1]
    return block._replace(frames=block.frames[(port == 25) | (port == 53)])


def _alerts(outputs: Iterable[Output]) -> list[Alert]:
    return [alert for output in outputs for alert in output.alerts]


def run(job: tuple[int, int, int, int, bool]) -> Shard:
    """One shard: (seed, subscribers, bots, scanners, with all variants?)."""
    seed, subscribers, bots, scanners, everything = job
    map_tables()
    began = time.monotonic()
    world = traffic(seed, subscribers, DAYS, bots, scanners)
    mail = world.facts["mail"][world.connections["script"]]
    seen = world.connections[mail | (world.connections["script"] == MX_LOOKUP)]
    world = world._replace(connections=seen)
    pipelines = {name: Pipeline(settings) for name, settings in variants(everything).items()}
    alerts: dict[str, list[Alert]] = {name: [] for name in pipelines}
    for block in blocks(world.connections, world.scripts):
        narrow = one_way(block) if everything else block
        for name, pipeline in pipelines.items():
            if name != ONE_WAY:
                alerts[name] += _alerts(pipeline.feed(block))
            elif len(narrow.frames):
                alerts[name] += _alerts(pipeline.feed(narrow))
    for name, pipeline in pipelines.items():
        alerts[name] += _alerts(pipeline.finish())
    found = {name: _climbs(told, world.hosts) for name, told in alerts.items()}
    blocked: dict[int, int] = {}
    for alert in alerts[FULL]:
        if alert.block_recommended:
            blocked.setdefault(world.hosts[alert.host], alert.ts)
    claimed = _false_claims(alerts.get(ONE_WAY, []), world)
    return Shard(
        world.groups, world.silent, found | climbs(world), blocked, _sent(world), claimed,
        len(world.connections), time.monotonic() - began,
    )  # fmt: skip


def _climbs(alerts: list[Alert], hosts: dict[str, int]) -> dict[int, Climb]:
    levels: dict[int, list[tuple[int, float]]] = {}
    for alert in alerts:
        mine = levels.setdefault(hosts[alert.host], [])
        if alert.state != "closed" and (not mine or alert.score > mine[-1][1]):
            mine.append((alert.ts, alert.score))
    return {
        sender: Climb(np.array([t for t, _ in rows]), np.array([level for _, level in rows]))
        for sender, rows in levels.items()
        if rows
    }


def _false_claims(alerts: list[Alert], world: Traffic) -> int:
    """How many more failures than there were, summed over the alerts."""
    facts = world.facts[world.connections["script"]]
    failed: dict[int, NDArray[np.int64]] = {}
    more = 0
    for alert in alerts:
        sender = world.hosts[alert.host]
        if sender not in failed:
            mine = (world.connections["sender"] == sender) & facts["mail"] & ~facts["answered"]
            failed[sender] = world.connections["start"][mine]
        (line,) = (line for line in alert.evidence if line.detector == "first_contact")
        there_were = int(np.searchsorted(failed[sender], alert.ts))
        more += max(0, line.figures.get("failed", 0) - there_were)
    return more


def _sent(world: Traffic) -> dict[int, Sent]:
    first = min((g.first for g in world.groups if g.kind in ("family", "evader")), default=None)
    taken = world.facts["taken"][world.connections["script"]]
    return {
        sender: Sent(world.connections["start"][rows], taken[rows])
        for sender, rows in world.mail_by_sender()
        if first is not None and sender >= first
    }


def survey(seed: int) -> dict[str, dict[str, int]]:
    """The impact report on some 10,000 subscribers that use foreign port 25, against the truth.

    By true kind, how many were judged to be of each.
    """
    world = traffic(seed, SURVEYED, 1, bots=10, scanners=5)
    found = Survey(subscribers_of(SETTINGS), SETTINGS.limits.max_hosts)
    pipeline = Pipeline(SETTINGS, sessions="all")
    for block in blocks(world.connections, world.scripts):
        found.add(pipeline.feed(block))
    found.add(pipeline.finish())
    true = {
        n: KIND.get(group.name, "spam source")
        for group in world.groups
        for n in range(group.first, group.first + group.senders)
    }
    counts: dict[str, dict[str, int]] = {kind: dict.fromkeys(KINDS, 0) for kind in KINDS}
    for one in found.judgements():
        counts[true[world.hosts[one.host]]][one.kind] += 1
    return counts


# --- figures --------------------------------------------------------------------------------------


def reached(climb: Climb | None, level: float) -> int | None:
    """When a climb came to ``level``, ns; None: never."""
    if climb is None or not len(climb.level) or climb.level[-1] < level:
        return None
    return int(climb.ts[np.searchsorted(climb.level, level)])


def poisson(events: int) -> tuple[float, float]:
    """95 % bounds of a Poisson mean of which ``events`` were seen (Garwood 1936)."""

    def at_most(n: int, mean: float) -> float:
        return sum(math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(n + 1))

    def solve(n: int, wanted: float) -> float:
        low, high = 1e-9, 4.0 * (n + 5)
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(n, middle) > wanted else (low, middle)
        return low

    return (solve(events - 1, 0.975) if events else 0.0), solve(events, 0.025)


class Figures:
    """All shards together."""

    def __init__(self, shards: list[Shard]) -> None:
        self.shards = shards

    def over(self, method: str) -> list[Shard]:
        """The shards on which a variant was run."""
        return [shard for shard in self.shards if method in shard.climbs]

    def legitimate_days(self, method: str = FULL) -> int:
        """Legitimate subscriber-days."""
        return DAYS * sum(
            shard.silent + sum(g.senders for g in shard.groups if g.kind == "legitimate")
            for shard in self.over(method)
        )

    def highest(self, method: str, kind: str) -> NDArray[np.float64]:
        """The highest level of each sender of a kind; 0 where it had none."""
        return np.array(
            [
                climb.level[-1] if (climb := shard.climbs[method].get(n)) is not None
                and len(climb.level) else 0.0
                for shard in self.over(method)
                for group in shard.groups
                if group.kind == kind
                for n in range(group.first, group.first + group.senders)
            ]
        )  # fmt: skip

    def senders(self, method: str, kind: str, level: float) -> list[dict[str, Any]]:
        """A row for each kind of sender of spam: how many were found, and after what."""
        rows: dict[str, dict[str, Any]] = {}
        for shard in self.over(method):
            for group in shard.groups:
                if group.kind != kind:
                    continue
                row = rows.setdefault(
                    group.name,
                    {"name": group.name, "senders": 0, "found": 0, "blocked": 0, "seconds": [],
                     "connections": [], "messages": []},
                )  # fmt: skip
                for n in range(group.first, group.first + group.senders):
                    sent = shard.sent.get(n)
                    if sent is None:
                        continue
                    row["senders"] += 1
                    row["blocked"] += n in shard.blocks
                    when = reached(shard.climbs[method].get(n), level)
                    if when is not None:
                        before = np.searchsorted(sent.start, when, side="right")
                        row["found"] += 1
                        row["seconds"].append((when - int(sent.start[0])) / _SECOND)
                        row["connections"].append(int(before))
                        row["messages"].append(int(sent.taken[:before].sum()))
        for row in rows.values():
            row["bounds"] = wilson(row["found"], row["senders"])
            for what in ("seconds", "connections", "messages"):
                values = row.pop(what)
                row[what] = (
                    [round(float(np.quantile(values, q)), 2) for q in (0.1, 0.5, 0.9, 1.0)]
                    if values
                    else None
                )
        return list(rows.values())

    def classes(self, method: str, level: float) -> list[dict[str, Any]]:
        """A row for each class that is not spam: how many were alerted on."""
        rows: dict[str, dict[str, Any]] = {}
        for shard in self.over(method):
            for group in shard.groups:
                if group.kind not in ("legitimate", "scanner"):
                    continue
                row = rows.setdefault(
                    group.name,
                    {"name": group.name, "kind": group.kind, "days": 0, "senders": 0, "alerted": 0,
                     "blocked": 0},
                )  # fmt: skip
                row["days"] += DAYS * group.senders
                row["senders"] += group.senders
                for n in range(group.first, group.first + group.senders):
                    row["alerted"] += reached(shard.climbs[method].get(n), level) is not None
                    row["blocked"] += n in shard.blocks
        return list(rows.values())

    def curve(self, method: str) -> dict[str, list[float]]:
        """False alerts per million legitimate subscriber-days, found share of the families."""
        good, bad = self.highest(method, "legitimate"), self.highest(method, "family")
        levels = np.unique(np.concatenate([good, bad]).round(1))
        levels = levels[levels > 0]
        million = self.legitimate_days(method) / 1e6
        steps = levels[np.unique(np.linspace(0, len(levels) - 1, 200).astype(int))]
        return {
            "level": [float(x) for x in steps],
            "false": [float((good >= x).sum() / million) for x in steps],
            "found": [float((bad >= x).mean()) for x in steps],
        }

    def at_rate(self, method: str, rate: float) -> dict[str, Any]:
        """A baseline at its best line with no more false alerts a million days than ``rate``."""
        good = self.highest(method, "legitimate")
        allowed = int(rate * self.legitimate_days(method) / 1e6)
        ranked = np.sort(good)[::-1]
        level = float(np.nextafter(ranked[allowed], np.inf))
        level = math.floor(level) + 1.0 if method == "threshold" else level
        return {"method": method, "level": level} | self._total(method, level)

    def _total(self, method: str, level: float) -> dict[str, Any]:
        rows = self.senders(method, "family", level)
        slow = [r for r in self.senders(method, "evader", level) if r["name"].startswith("slow:")]
        false = int((self.highest(method, "legitimate") >= level).sum())
        seconds = [row["seconds"][1] if row["seconds"] else math.inf for row in rows]
        connections = [row["connections"][1] if row["connections"] else math.inf for row in rows]
        return {
            "found": sum(r["found"] for r in rows) / max(1, sum(r["senders"] for r in rows)),
            "seconds": float(np.median(seconds)),
            "connections": float(np.median(connections)),
            "slow": sum(r["found"] for r in slow) / max(1, sum(r["senders"] for r in slow)),
            "false": false,
            "rate": false / (self.legitimate_days(method) / 1e6),
        }

    def calibration(self) -> list[dict[str, float]]:
        """Of hosts whose score ever reached a level, the share of spam sources.

        Weighted to the prior: one spam source among 1,000 hosts that use foreign port 25.
        """
        good, bad = self.highest(CURVE, "legitimate"), self.highest(CURVE, "family")
        rows = []
        for level in range(5, 41, 5):
            true = _PRIOR * float((bad >= level).mean())
            false = (1 - _PRIOR) * float((good >= level).mean())
            most = (1 - _PRIOR) * poisson(int((good >= level).sum()))[1] / len(good)
            rows.append(
                {
                    "level": level,
                    "said": 1 / (1 + 10 ** (-level / 10)),
                    "is": true / (true + false) if true + false else 0.0,
                    "at_least": true / (true + most) if true + most else 0.0,
                }
            )
        return rows


def _commit() -> str:
    words = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip() or "unknown"


def figures(shards: list[Shard], seeds: str, judged: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Everything the page is made of."""
    f = Figures(shards)
    level = 20.0
    false = int((f.highest(FULL, "legitimate") >= level).sum())
    days = f.legitimate_days()
    rate = false / (days / 1e6)
    full = f._total(FULL, level)
    rows = [row for row in shards[0].climbs if row not in BASELINES and row not in (FULL, CURVE)]
    return {
        "seeds": seeds,
        "commit": _commit(),
        "days": days,
        "connections": sum(shard.connections for shard in shards),
        "users": len(f.highest(FULL, "legitimate")) / (days / 1e6),
        "false": false,
        "bounds": [bound / (days / 1e6) for bound in poisson(false)],
        "level": level,
        "families": f.senders(FULL, "family", level),
        "evaders": f.senders(FULL, "evader", level),
        "classes": f.classes(FULL, level),
        "silent": DAYS * sum(shard.silent for shard in shards),
        "methods": [{"method": "port25", "level": level} | full]
        + [f.at_rate(name, max(rate, 1.0)) for name in BASELINES],
        "variants": [{"method": name} | f._total(name, level) for name in rows],
        "variant_days": f.legitimate_days(ONE_WAY),
        "one_way": {
            "families": f.senders(ONE_WAY, "family", level),
            "evaders": f.senders(ONE_WAY, "evader", level),
            "classes": f.classes(ONE_WAY, level),
            "false_claims": sum(shard.false_claims for shard in shards),
        },
        "headers": f.classes(HEADERS, level),
        "curves": {name: f.curve(name) for name in (CURVE, *BASELINES)},
        "calibration": f.calibration(),
        "impact": judged,
    }


def main() -> None:
    """Run all shards, write the figures and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", choices=SEEDS, default="report")
    parser.add_argument("--days-in-millions", type=float, default=10.0)
    parser.add_argument("--bots", type=int, default=240, help="of each kind")
    parser.add_argument("--with-bots", type=int, default=4, help="shards they are spread over")
    parser.add_argument("--every-variant", type=int, default=2, help="shards with the ablation")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    a = parser.parse_args()
    count = max(1, round(a.days_in_millions * 1e6 / DAYS / SHARD))
    among = min(a.with_bots, count)
    jobs = [
        (
            SEEDS[a.seeds] + n,
            SHARD,
            a.bots // among if n < among else 0,
            25 if n < among else 0,
            n < a.every_variant,
        )
        for n in range(count)
    ]
    shards = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        judged = pool.submit(survey, SEEDS[a.seeds] + count)
        for shard in pool.map(run, jobs):
            shards.append(shard)
            print(
                f"{len(shards)} of {count} shards; the last: {shard.connections:,} connections,"
                f" {shard.seconds:.0f} s",
                file=sys.stderr,
            )
        found = figures(shards, a.seeds, judged.result())
    a.out.mkdir(exist_ok=True)
    (a.out / "quality.json").write_text(json.dumps(found, indent=1) + "\n")
    quality.write(found, a.out)


if __name__ == "__main__":
    main()
