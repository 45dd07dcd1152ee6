"""Every kind of sender through the sensor, the worst kind first.

    python -m lab.senders.judge --hosts 42 --seed 1 [--privacy headers] [--only KIND ...]
    python -m lab.senders.judge --write DIR
    python -m lab.senders.judge --page docs/senders.md

Each kind is a day of so many hosts in a capture of its own, so that no kind helps another. What is
reported of a kind are hosts, never rates of a provider: these are kinds, not subscribers.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from lab.memory import map_tables
from lab.outputs import alerts_of
from lab.senders.honest import HONEST
from lab.senders.host import Host
from lab.senders.hostile import OTHER, SPAM
from lab.senders.smtp import Client
from lab.senders.unseen import UNSEEN_HONEST, UNSEEN_SPAM
from lab.senders.wire import Wire
from lab.senders.world import World
from sensor.settings import Settings

__all__ = ["KINDS", "Verdict", "judge", "made", "report"]

KINDS: Final[dict[str, Callable[[Host], None]]] = {
    **SPAM, **HONEST, **OTHER, **UNSEEN_HONEST, **UNSEEN_SPAM,
}  # fmt: skip
_SIX: Final = frozenset({"prefix hopper"})
_NETWORK: Final = 10
PREFIXES: Final = ("10.0.0.0/8", "2001:db8::/32")


class Verdict(NamedTuple):
    """What the sensor said of one kind's hosts."""

    kind: str
    hosts: int
    alerted: int
    blocked: int
    """hosts for which a block was recommended"""
    connections: int
    """of a host, the median"""
    seconds: float
    """from a found host's first connection to its alert, the median; nan where none"""
    scores: tuple[float, ...]
    """the highest score of each alert, decibans"""


def made(kind: str, hosts: int, seed: int) -> tuple[Wire, dict[str, tuple[float, int]]]:
    """A day of ``hosts`` hosts of a kind; of each, by name, its beginning and connections."""
    number = list(KINDS).index(kind)
    wire = Wire()
    known = {}
    for k in range(hosts):
        rng = np.random.default_rng([seed, number, k])
        # A world of its own for each few hosts: nobody's temper decides for all of a kind.
        world = World(int(rng.integers(1 << 30)), domains=3000)
        six = kind in _SIX
        address = (
            bytes.fromhex("20010db8") + bytes([number, k, 0, 0]) + bytes(7) + b"\1"
            if six
            else bytes([_NETWORK, number, k >> 8, (k & 255)])
        )
        host = Host(wire, world, rng, address, Client())
        before = len(wire)
        KINDS[kind](host)
        host.run()
        name = f"2001:db8:{number:x}{k:02x}::" if six else host.text()
        known[name] = (_began(wire, before), host.sent)
    return wire, known


def _began(wire: Wire, before: int) -> float:
    return min(wire.times()[before:], default=0) / 1e9


def judge(kind: str, hosts: int, seed: int, privacy: str = "envelope") -> Verdict:
    """Run one kind through the sensor."""
    from sensor.pipeline import Pipeline

    map_tables()
    wire, known = made(kind, hosts, seed)
    settings = Settings(subscriber_prefixes=PREFIXES, privacy=privacy)  # type: ignore[arg-type]
    pipeline = Pipeline(settings)
    outputs = [output for block in wire.blocks() for output in pipeline.feed(block)]
    outputs += pipeline.finish()
    alerts = alerts_of(outputs)
    first: dict[str, int] = {}
    best: dict[str, float] = {}
    blocked = set()
    for alert in alerts:
        host = _owner(alert.host, known)
        first.setdefault(host, alert.ts)
        best[host] = max(best.get(host, -99.0), alert.score)
        if alert.block_recommended:
            blocked.add(host)
    waits = [ts / 1e9 - known[host][0] for host, ts in first.items() if host in known]
    return Verdict(
        kind, hosts, len(first), len(blocked),
        int(np.median([sent for _, sent in known.values()])),
        float(np.median(waits)) if waits else float("nan"),
        tuple(sorted(best.values())),
    )  # fmt: skip


def _owner(subscriber: str, known: dict[str, tuple[float, int]]) -> str:
    if subscriber in known:
        return subscriber
    return next(
        (name for name in known if ":" in name and subscriber.startswith(name[:-2])), subscriber
    )


def report(verdicts: Sequence[Verdict]) -> str:
    """Honest kinds by how often they were accused, then hostile ones by how often missed."""

    def row(v: Verdict) -> str:
        top = f"{v.scores[-1]:+.1f}" if v.scores else "-"
        wait = f"{v.seconds:,.0f} s" if v.scores else "-"
        cells = v.kind, v.hosts, v.alerted, v.blocked, f"{v.connections:,}", wait, top
        return "| " + " | ".join(map(str, cells)) + " |"

    names = "kind", "hosts", "alerted", "block recommended", "connections", "until found", "highest"
    head = "| " + " | ".join(names) + " |\n| --- |" + " ---: |" * 6
    groups = (
        ("Honest, the most accused first", HONEST, lambda v: (-v.blocked, -v.alerted)),
        ("Spam, the most missed first", SPAM, lambda v: (v.alerted, v.blocked)),
        ("Other abuse", OTHER, lambda v: (v.alerted,)),
        ("Honest kinds no parameter saw", UNSEEN_HONEST, lambda v: (-v.blocked, -v.alerted)),
        ("Spam of kinds no parameter saw", UNSEEN_SPAM, lambda v: (v.alerted, v.blocked)),
    )
    parts = []
    for title, kinds, key in groups:
        some = sorted((v for v in verdicts if v.kind in kinds), key=key)
        if some:
            total = sum(v.hosts for v in some)
            parts.append(
                f"**{title}**: of {total} alerted {sum(v.alerted for v in some)},"
                f" block recommended on {sum(v.blocked for v in some)}\n\n{head}\n"
                + "\n".join(map(row, some))
            )
    return "\n\n".join(parts)


_PAGE: Final = """\
# Kinds of senders, the worst first

Made by `python -m lab.senders.judge --hosts {hosts} --seed {seed} --page docs/senders.md`.

Each kind is a day of {hosts} hosts, in a capture of its own: whole packets of sessions with servers
that greylist, refuse, encrypt and filter ([lab/senders/](../lab/senders), where each figure has its
source, or says that it is assumed). These are kinds and not subscribers: nothing here is the rate
of a provider. "Alerted" is of an honest kind false, and so is "block recommended".

Of the first kinds parameters were chosen with other seeds in view. Of those "no parameter saw" none
was; but one kind of spam sources, what goes through a good server (`filtered` in
[detectors/rejections.py](../detectors/rejections.py)), was added after a look at *mailer script*,
and what is said of a patient host ([detectors/first_contact.py](../detectors/first_contact.py))
after one at *stale address book*.

What is missed is missed for a reason. A *cracked account* on a good server whose sessions are
encrypted looks as a newsletter of it does, but for how much servers say to what it writes
([detectors/answers.py](../detectors/answers.py)). *Webmail only* and *residential proxy* are few
connections to few providers, of which TLS hides what is said to them, and not how much. A *closed
port* lets too few connections through for a block, which would change nothing.

## As shipped

{envelope}

## With `privacy = "headers"`

Nothing that is said is read; no block is ever recommended.

{headers}
"""


def _page(hosts: int, seed: int, jobs: int) -> str:
    """The page ``docs/senders.md``."""
    found = {p: report(_all(list(KINDS), hosts, seed, p, jobs)) for p in ("envelope", "headers")}
    return _PAGE.format(hosts=hosts, seed=seed, **found)


def _all(kinds: Sequence[str], hosts: int, seed: int, privacy: str, jobs: int) -> list[Verdict]:
    work = [(kind, hosts, seed, privacy) for kind in kinds]
    if jobs == 1:
        return [_one(one) for one in work]
    with multiprocessing.Pool(jobs) as pool:
        return pool.map(_one, work, chunksize=1)


def _one(arguments: tuple[str, int, int, str]) -> Verdict:
    verdict = judge(*arguments)
    print(f"{verdict.kind}: {verdict.alerted} of {verdict.hosts}", file=sys.stderr)
    return verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, or write captures; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=6, help="of each kind (6)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--privacy", default="envelope", choices=["headers", "envelope", "evidence"]
    )
    parser.add_argument("--only", nargs="*", choices=list(KINDS), metavar="KIND")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="DIR", help="write captures instead")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write a page on all kinds")
    options = parser.parse_args(arguments)
    kinds = options.only or list(KINDS)
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        for kind in kinds:
            wire, _ = made(kind, options.hosts, options.seed)
            path = options.write / f"{kind.replace(' ', '_').replace(',', '')}.pcap"
            print(f"{wire.write(path):,} frames in {path}")
        return 0
    if options.page:
        options.page.write_text(_page(options.hosts, options.seed, options.jobs))
        return 0
    print(report(_all(kinds, options.hosts, options.seed, options.privacy, options.jobs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
