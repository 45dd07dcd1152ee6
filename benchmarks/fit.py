"""What each detector's decibans are worth by the data: the whole of ``docs/fit.md``.

    python -m benchmarks.fit [--hosts 12] [--seed 31] [--jobs 2] [--out docs]

Hosts of every kind of ``lab/senders`` and of every class of ``lab/traffic`` go through the sensor
as it ships; of each that evidence counts at which its score was highest. Kinds weigh alike, spam
sources together as much as honest hosts.

* *Factors.* A logistic regression without a constant, of the detectors' own decibans: a detector
  whose factor is 1 adds what it says to what the others say; below 1 it says in part what they have
  said already. No factor is below zero, and each is drawn to 1 by a penalty (ridge), the less the
  more the data say; how much is chosen where it foretells kinds that are left out best.
* *Worth alone.* The log-likelihood ratio of what a detector says, made monotone by pooling
  neighbours that violate the order (Ayer et al., "An Empirical Distribution Function for Sampling
  with Incomplete Information", 1955).
* *Held out.* Each kind is judged by factors to which it did not contribute.

Nothing is changed by it: what the sensor weighs stands in ``detectors/``, each with its argument.
The page says where argument and data differ.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.detector import CENTIBANS
from detectors.registry import DETECTORS
from lab.memory import map_tables
from lab.outputs import evidence_of
from lab.senders.honest import HONEST
from lab.senders.hostile import SPAM
from lab.senders.judge import PREFIXES, made
from lab.senders.unseen import UNSEEN_HONEST, UNSEEN_SPAM
from lab.traffic.evaders import EVADERS
from lab.traffic.families import FAMILIES
from lab.traffic.legitimate import CLASSES
from lab.traffic.packets import blocks
from lab.traffic.population import SETTINGS, traffic
from lab.traffic.scripts import MX_LOOKUP
from sensor.alerts.compose import Watched
from sensor.capture.block import Block
from sensor.pipeline import Pipeline
from sensor.settings import Settings

__all__ = [
    "Data",
    "Fitted",
    "above_the_honest",
    "fitted",
    "gathered",
    "held_out",
    "isotonic",
    "page",
    "worth_alone",
]

_CLASS: Final = " (traffic)"
"""Behind the name of a class of ``lab/traffic``."""
BAD: Final = frozenset({*SPAM, *UNSEEN_SPAM, *(f"{one}{_CLASS}" for one in (*FAMILIES, *EVADERS))})
_MODELLED: Final = {f"{name}{_CLASS}" for name, (model, _) in CLASSES.items() if model}
KINDS: Final = tuple(
    sorted({*BAD, *HONEST, *UNSEEN_HONEST, *_MODELLED} - {"prefix hopper", f"IPv6 hopper{_CLASS}"})
)
"""All kinds of which each host is one to the sensor."""
NAMES: Final = tuple(one.name for one in DETECTORS)
PENALTIES: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_DAYS: Final = 2
_SILENT: Final = [0.0] * len(NAMES)
"""What is said of who has no connection to port 25."""
_BAN: Final = np.log(10) / 10
"""A deciban in nats."""
_FLOOR: Final = 1 / 400
"""A share below is told as this: so few hosts say no more."""

Floats = NDArray[np.float64]


class Data(NamedTuple):
    """Hosts by row."""

    says: Floats
    """float64[hosts, detectors], decibans"""
    kind: NDArray[np.int64]
    """int64[hosts], of :data:`KINDS`"""

    @property
    def bad(self) -> NDArray[np.bool_]:
        """Whether a host is a spam source."""
        return np.array([name in BAD for name in KINDS])[self.kind]

    @property
    def weight(self) -> Floats:
        """Kinds alike within each of the two sides, which weigh a half each."""
        bad = self.bad
        share = 1.0 / np.bincount(self.kind, minlength=len(KINDS))[self.kind]
        for side in (bad, ~bad):
            share[side] /= 2 * share[side].sum()
        return share

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        whole = self.says.astype("<f8").tobytes() + self.kind.astype("<i8").tobytes()
        return hashlib.sha256(" ".join((*NAMES, *KINDS)).encode() + whole).hexdigest()

    def without(self, kind: int) -> "Data":
        """All other kinds."""
        other = self.kind != kind
        return Data(self.says[other], self.kind[other])


class Fitted(NamedTuple):
    """What a regression gave."""

    factors: Floats
    """of each detector"""
    penalty: float
    loss: float
    """nats a host, of kinds left out"""


def _host(name: str, settings: Settings, packets: Iterable[Block]) -> list[float]:
    """What each detector says of one host, where its score is highest; decibans."""
    map_tables()
    pipeline = Pipeline(settings, watch=name)
    seen: Watched | None = None
    for block in packets:
        for output in pipeline.feed(block):
            seen = output.watched or seen
    for output in pipeline.finish():
        seen = output.watched or seen
    evidence = seen.evidence if seen else evidence_of(pipeline, name)
    return [one.explain(evidence).centibans / CENTIBANS for one in pipeline.model.detectors]


def _sender(kind: str, seed: int) -> list[float]:
    """One of a kind of ``lab/senders``."""
    wire, known = made(kind, 1, seed)
    (name,) = known
    return _host(name, Settings(subscriber_prefixes=PREFIXES), wire.blocks())


def _class(name: str, hosts: int, seed: int) -> list[list[float]]:
    """Subscribers of a class of ``lab/traffic``, each alone."""
    world = traffic(seed, 0, _DAYS, bots=hosts, each=hosts)
    (group,) = (one for one in world.groups if one.name == name)
    mail = world.facts["mail"][world.connections["script"]]
    heard = world.connections[mail | (world.connections["script"] == MX_LOOKUP)]
    rows = []
    for host, number in world.hosts.items():
        if group.first <= number < group.first + group.senders:
            own = heard[heard["sender"] == number]
            rows.append(_host(host, SETTINGS, blocks(own, world.scripts)) if len(own) else _SILENT)
    return rows


def _job(job: tuple[str, int, int]) -> list[list[float]]:
    kind, hosts, seed = job
    if kind.endswith(_CLASS):
        rows = _class(kind.removesuffix(_CLASS), hosts, seed)
    else:
        rows = [_sender(kind, seed + k) for k in range(hosts)]
    print(f"{kind}: {hosts} hosts", file=sys.stderr, flush=True)
    return rows


def gathered(hosts: int, seed: int, jobs: int, kinds: Sequence[str] = KINDS) -> Data:
    """``hosts`` of each kind, from ``seed`` on."""
    work = [(kind, hosts, seed) for kind in kinds]
    if jobs == 1:
        rows = [_job(one) for one in work]
    else:
        with multiprocessing.Pool(jobs) as pool:
            rows = pool.map(_job, work, chunksize=1)
    numbers = np.repeat([KINDS.index(kind) for kind in kinds], hosts)
    return Data(np.array([row for some in rows for row in some]), numbers)


def _loss(z: Floats, bad: NDArray[np.bool_], weight: Floats) -> float:
    """Mean negative log-likelihood of log odds ``z``, nats."""
    return float((weight * np.logaddexp(0, np.where(bad, -z, z))).sum() / weight.sum())


def _solve(data: Data, penalty: float) -> Floats:
    """Factors by Newton's method, those that would be negative held at zero."""
    x, bad, weight = data.says * _BAN, data.bad, data.weight
    factors = np.ones(x.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ factors, -40, 40)))
        slope = x.T @ (weight * (p - bad)) + penalty * (factors - 1)
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + penalty * np.eye(len(factors))
        free = (factors > 0) | (slope < 0)
        step = np.zeros_like(factors)
        step[free] = np.linalg.solve(curve[np.ix_(free, free)], slope[free])
        after = np.maximum(0, factors - np.clip(step, -0.5, 0.5))
        done = float(np.abs(after - factors).max()) < 1e-6
        factors = after
        if done:
            break
    return factors


def _foretold(data: Data, penalty: float) -> tuple[Floats, Floats]:
    """Log odds (nats) of each host by factors without its kind; those factors, by kind."""
    z = np.zeros(len(data.kind))
    by_kind = np.ones((len(KINDS), data.says.shape[1]))
    for kind in np.unique(data.kind):
        by_kind[kind] = _solve(data.without(kind), penalty)
        mine = data.kind == kind
        z[mine] = data.says[mine] @ by_kind[kind] * _BAN
    return z, by_kind


def fitted(data: Data) -> Fitted:
    """With the penalty that foretells best what was left out."""
    losses = {p: _loss(_foretold(data, p)[0], data.bad, data.weight) for p in PENALTIES}
    best = min(losses, key=lambda p: (losses[p], -p))
    return Fitted(_solve(data, best), best, losses[best])


def held_out(data: Data, penalty: float) -> tuple[Floats, Floats]:
    """Each host's sum (decibans, without the prior) without its kind; least and most factors."""
    z, by_kind = _foretold(data, penalty)
    there = by_kind[np.unique(data.kind)]
    return z / _BAN, np.array([there.min(axis=0), there.max(axis=0)])


def isotonic(values: Floats, weight: Floats) -> Floats:
    """The weighted least-squares fit that never falls, by pooling adjacent violators.

    >>> isotonic(np.array([1.0, 3.0, 2.0, 5.0]), np.ones(4)).tolist()
    [1.0, 2.5, 2.5, 5.0]
    """
    pools: list[tuple[float, float, int]] = []
    for value, w in zip(values, weight, strict=True):
        pool = (float(value), float(w), 1)
        while pools and pools[-1][0] >= pool[0]:
            mean, mass, n = pools.pop()
            both = mass + pool[1]
            pool = ((mean * mass + pool[0] * pool[1]) / both, both, n + pool[2])
        pools.append(pool)
    return np.repeat([mean for mean, _, _ in pools], [n for _, _, n in pools])


def worth_alone(data: Data, detector: int) -> list[tuple[float, float, float, int]]:
    """Steps of one detector: says from, says to, is worth (decibans), hosts."""
    says, bad, weight = data.says[:, detector], data.bad, data.weight
    levels, place = np.unique(says, return_inverse=True)
    mass = np.bincount(place, weight)
    share = isotonic(np.bincount(place, weight * bad) / mass, mass)
    steps = []
    for one in np.unique(share):
        mine = share == one
        odds = np.clip(one, _FLOOR, 1 - _FLOOR)
        worth = 10 * float(np.log10(odds / (1 - odds)))
        hosts = int(mine[place].sum())
        steps.append((float(levels[mine].min()), float(levels[mine].max()), worth, hosts))
    return steps


def _span(low: float, high: float) -> str:
    return f"{low:+.1f}" if low == high else f"{low:+.1f} to {high:+.1f}"


def _table(names: str, rows: Sequence[Sequence[object]]) -> str:
    columns = names.split("|")
    lines = ["| " + " | ".join(columns) + " |", "| --- " + "| ---: " * (len(columns) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def _factors(data: Data, found: Fitted, range_: Floats) -> str:
    rows = []
    for k in np.argsort(found.factors, kind="stable"):
        says = data.says[:, k]
        span = f"{range_[0, k]:.2f} to {range_[1, k]:.2f}"
        rows.append((NAMES[k], f"{found.factors[k]:.2f}", span, _span(says.min(), says.max())))
    return _table("detector|factor|leaving out any kind|says, decibans", rows)


def _kinds(data: Data, ours: Floats, theirs: Floats, level: float) -> str:
    """The kinds where the two differ, or where either is wrong."""
    rows = []
    for kind in np.unique(data.kind):
        mine = data.kind == kind
        name, n = KINDS[kind], int(mine.sum())
        a, b = int((ours[mine] >= level).sum()), int((theirs[mine] >= level).sum())
        right = n if name in BAD else 0
        if (a, b) != (right, right):
            what = "spam" if name in BAD else "honest"
            rows.append((name, what, f"{a} of {n}", f"{b} of {n}", abs(right - a)))
    rows.sort(key=lambda row: (-row[-1], row[0]))
    return _table("kind| |as shipped|by factors without it", [row[:-1] for row in rows])


def above_the_honest(data: Data, sums: Floats) -> int:
    """Spam sources whose sum is above that of every honest host: whatever the level is."""
    return int((sums[data.bad] > sums[~data.bad].max()).sum())


def _sums(data: Data, sums: Floats) -> str:
    """Of hosts whose sum came so far: what it says, what it is."""
    bad, weight = data.bad, data.weight
    rows = []
    for low, high in ((-99, -20), (-20, 0), (0, 20), (20, 35), (35, 50), (50, 65), (65, 999)):
        mine = (sums >= low) & (sums < high)
        if not mine.any():
            continue
        share = float((weight * bad)[mine].sum() / weight[mine].sum())
        worth = 10 * np.log10(np.clip(share, _FLOOR, 1 - _FLOOR) / np.clip(1 - share, _FLOOR, 1))
        limit = "at most " if share < _FLOOR else "at least " if share > 1 - _FLOOR else ""
        rows.append((_span(sums[mine].min(), sums[mine].max()), f"{limit}{worth:+.0f}",
                     int((mine & bad).sum()), int((mine & ~bad).sum())))  # fmt: skip
    return _table("all detectors together say|it is worth|spam sources|honest hosts", rows)


def page(data: Data, command: str) -> tuple[str, dict[str, Any]]:
    """The page, and its figures."""
    model = Pipeline(Settings()).model
    found = fitted(data)
    theirs, range_ = held_out(data, found.penalty)
    ours = data.says.sum(axis=1)
    level = (model.raise_at - model.prior) / CENTIBANS
    counts = np.bincount(data.kind, minlength=len(KINDS))
    bad = sum(bool(n) for n, name in zip(counts, KINDS, strict=True) if name in BAD)
    steps = {name: worth_alone(data, k) for k, name in enumerate(NAMES)}
    alone = _table("detector|says|is worth, alone|hosts", [
        (name, _span(low, high), f"{worth:+.1f}", hosts)
        for name, rows in steps.items() for low, high, worth, hosts in rows
    ])  # fmt: skip
    text = _PAGE.format(
        command=command, digest=data.digest[:16], hosts=len(data.kind), bad=bad,
        kinds=int((counts > 0).sum()), level=level, penalty=found.penalty,
        factors=_factors(data, found, range_), sums=_sums(data, ours),
        held=_kinds(data, ours, theirs, level), alone=alone, floor=10 * np.log10(1 / _FLOOR - 1),
        sources=int(data.bad.sum()), our_found=above_the_honest(data, ours),
        their_found=above_the_honest(data, theirs),
        ours=_loss(ours * _BAN, data.bad, data.weight), theirs=found.loss,
    )  # fmt: skip
    figures = {
        "command": command, "digest": data.digest, "penalty": found.penalty,
        "factors": dict(zip(NAMES, found.factors.round(4).tolist(), strict=True)),
        "alone": steps,
    }  # fmt: skip
    return text, figures


_PAGE: Final = """\
# What a deciban is worth

Made by `{command}` (`make fit`), of {hosts} hosts of {kinds} kinds,
{bad} of them spam sources, of [lab/senders/](../lab/senders) and
[lab/traffic/](../lab/traffic), each where its score is highest.
SHA-256 of what the detectors said of them: `{digest}...`; all figures are in
[fit.json](fit.json).

Weights in [detectors/](../detectors) are argued, each in its file. This page holds them against
data, every kind weighing alike, and changes nothing. Kinds are not subscribers: a figure here is
no rate of a provider.

## Do detectors add up?

A factor of 1: what it says comes on top of what the others say. Below 1 they have said part of it
already, above 1 it says too little. Factors are drawn to 1 (ridge, {penalty:g}, chosen on kinds
left out), and none is negative. Beside each is between what it stays if any one kind is left out.

{factors}

Of kinds that are left out the factors say what is, with a loss of {theirs:.3f} nats a host; as
shipped, with all factors 1, it is {ours:.3f}. Whatever the level of an alert, of {sources} spam
sources {our_found} have a sum above that of every honest host as shipped, and {their_found} by
factors to which their kind did not contribute.

## What is a sum worth?

Without the prior, as shipped. An alert takes {level:+.1f}.

{sums}

## Kinds held out

An alert by the sum as shipped, and by factors to which the kind did not contribute; kinds of which
both are right are left out.

{held}

## What is each worth alone?

Steps of what a detector says, and the log-likelihood ratio that hosts who were told so have in
these data, never falling ({floor:.0f} decibans at most can be said with so few). Where it says
more than that its weight rests on argument alone; where it says less it is careful.

{alone}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Gather, fit, write the page and its figures; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=12, help="of each kind (12)")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args(arguments)
    data = gathered(options.hosts, options.seed, options.jobs)
    command = f"python -m benchmarks.fit --hosts {options.hosts} --seed {options.seed}"
    text, figures = page(data, command)
    (options.out / "fit.md").write_text(text)
    (options.out / "fit.json").write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
