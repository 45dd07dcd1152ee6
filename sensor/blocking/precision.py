"""What the desk's verdicts say of detectors and kinds: how often who was accused was rightly so.

Of each alert with a verdict its highest message counts. A detector is right where it spoke against
a host that was a spam source. Shares have bounds (Wilson 1927), since a week has few verdicts. A
score promises something, too: of alerts at +20 decibans 99 in 100 are right. How far what the desk
found is from that, of the alerts a detector had a part in, is its *drift*, in decibans of odds:
below zero it accuses more who are innocent than it says. Proposals are settings to try with
``port25 tune -c``; nothing is changed.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from sensor.alerts.alert import Alert
from sensor.base.database import DatabaseError
from sensor.blocking.desk import Desk
from sensor.blocking.handling import Verdict
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal

__all__ = [
    "Precision", "Proposal", "Verdicts", "calibration", "drift", "judged", "verdicts_of", "wilson",
]  # fmt: skip

_RIGHT: Final = ("bot", "bulk_mail", "compromised")
_WRONG: Final = ("own_server", "misconfigured", "test", "false_alarm")
_FEW: Final = 5
"""Verdicts of a detector or kind below which nothing is proposed."""
_STEP: Final = 0.1
"""Decibans: scores have one decimal."""


class Precision(msgspec.Struct, frozen=True):
    """Of one detector or kind of abuse, or of all."""

    of: Literal["all", "detector", "abuse"]
    name: str
    right: int
    """alerts on spam sources"""
    wrong: int
    share: float
    low: float
    high: float
    """95 % bounds of the share"""
    drift: float
    """decibans by which the odds that were found are above those the scores promised"""


class Proposal(msgspec.Struct, frozen=True):
    """What might be set otherwise, and what that rests on."""

    setting: str
    """a line of TOML, or the section to look at"""
    why: str


class Verdicts(msgspec.Struct, frozen=True):
    """All that verdicts say."""

    judged: int
    unclear: int
    """verdicts that are neither"""
    gone: int
    """verdicts on alerts that the journal does not have any more"""
    precision: list[Precision]
    proposals: list[Proposal]


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % bounds of a share (Wilson 1927)."""
    if not n:
        return 0.0, 1.0
    z, p = 1.96, hits / n
    middle = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)


def drift(right: float, promised: float, n: int) -> float:
    """Odds found against odds promised, in decibans; half a verdict each way, or one would be all.

    >>> drift(99, 99, 100), drift(5, 9.9, 10)
    (0.0, -12.4)
    """
    found = (right + 0.5) / (n - right + 0.5)
    return round(10 * math.log10(found * (n - promised + 0.5) / (promised + 0.5)), 1)


def _precision(
    of: Literal["all", "detector", "abuse"], name: str, these: list[tuple[float, bool]]
) -> Precision:
    """Of scores, and whether they were right."""
    right, n = sum(good for _, good in these), len(these)
    promised = sum(1 / (1 + 10 ** (-score / 10)) for score, _ in these)
    low, high = (round(one, 3) for one in wilson(right, n))
    share = round(right / n, 3)
    return Precision(of, name, right, n - right, share, low, high, drift(right, promised, n))


def calibration(
    state: Path, since: int, miss_rate: float, most: int = 1000
) -> dict[str, dict[str, float]]:
    """Of each detector with verdicts since ``since``, for metrics: ``right``, ``wrong``, ``drift``.

    Of the ``most`` last verdicts. Raises DatabaseError.
    """
    if not StateFolder(state).desk.exists():
        return {}
    found = verdicts_of(state, since, miss_rate, most).precision
    return {
        one.name: {"right": one.right, "wrong": one.wrong, "drift": one.drift}
        for one in found
        if one.of == "detector"
    }


def verdicts_of(state: Path, since: int, miss_rate: float, most: int = -1) -> Verdicts:
    """Of a state folder, those given since ``since`` (wall time, ns); the last ``most`` of them.

    Raises DatabaseError.
    """
    folder = StateFolder(state)
    if not folder.desk.exists():
        raise DatabaseError(f"{folder.desk}: nobody has given a verdict here")
    desk = Desk(folder.desk, read_only=True)
    verdicts = desk.verdicts(since, most)
    desk.close()
    best: dict[str, Alert] = {}
    for path in folder.journals_to_read:
        journal = Journal(path, read_only=True)
        for id_ in verdicts:
            for alert in journal.find(id_):
                if id_ not in best or alert.score > best[id_].score:
                    best[id_] = alert
        journal.close()
    return judged(best, verdicts, miss_rate)


def judged(
    alerts: Mapping[str, Alert], verdicts: Mapping[str, Verdict], miss_rate: float
) -> Verdicts:
    """The same, of alerts by id; ``miss_rate`` is the settings'."""
    sure = {id_: one in _RIGHT for id_, one in verdicts.items() if one in (*_RIGHT, *_WRONG)}
    known = {id_: right for id_, right in sure.items() if id_ in alerts}
    groups: dict[tuple[Literal["all", "detector", "abuse"], str], list[tuple[float, bool]]] = {}
    for id_, right in known.items():
        alert = alerts[id_]
        one = alert.score, right
        groups.setdefault(("all", ""), []).append(one)
        groups.setdefault(("abuse", alert.abuse), []).append(one)
        for line in alert.against:
            groups.setdefault(("detector", line.detector), []).append(one)
    found = [_precision(of, name, these) for (of, name), these in groups.items()]
    found.sort(key=lambda one: (one.of != "all", one.of, one.share, one.name))
    return Verdicts(
        judged=len(known),
        unclear=len(verdicts) - len(sure),
        gone=len(sure) - len(known),
        precision=found,
        proposals=[
            *_servers(alerts, verdicts),
            *_level([(alerts[id_].score, right) for id_, right in known.items()], miss_rate),
            *_weak(found),
        ],
    )


def _servers(alerts: Mapping[str, Alert], verdicts: Mapping[str, Verdict]) -> Iterable[Proposal]:
    """Servers of the provider's own are to stand in the settings."""
    hosts = {
        alerts[id_].host for id_, one in verdicts.items() if one == "own_server" and id_ in alerts
    }
    for host in sorted(host for host in hosts if ":" not in host or "/" in host):
        yield Proposal(f'own_mail_servers = [..., "{host}"]', "the desk found an own server there")


def _level(scores: list[tuple[float, bool]], miss_rate: float) -> Iterable[Proposal]:
    """The level at which false alarms would not have been raised, and no spam source lost."""
    right = [score for score, good in scores if good]
    wrong = [score for score, good in scores if not good]
    spared = [score for score in wrong if not right or score < min(right)]
    if len(spared) < _FEW:
        return
    level = max(spared) + _STEP
    rate = (1 - miss_rate) / 10 ** (level / 10)
    yield Proposal(
        f"score.false_positive_rate = {rate:.2g}",
        f"alerts would be raised at {level:+.1f} decibans: {len(spared)} of {len(wrong)} false"
        f" alarms less, none of {len(right)} spam sources lost",
    )


def _weak(found: Iterable[Precision]) -> Iterable[Proposal]:
    """Detectors that are as often wrong as right, for all that is known."""
    for one in found:
        if one.of == "detector" and one.right + one.wrong >= _FEW and one.high < 0.5:
            yield Proposal(
                f"[detectors.{one.name}]",
                f"it spoke against {one.wrong} who were no spam sources, and {one.right} who were",
            )
