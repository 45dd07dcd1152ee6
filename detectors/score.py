"""The score: prior plus the detectors' ratios, and the levels at which it means something.

In decibans it is the log-odds that a host is a spam source: 0 is even, 20 is 100 to 1, -30 one in a
thousand. Raise and clear levels are Wald's bounds for the wanted error rates ("Sequential Tests
of Statistical Hypotheses", 1945): with alpha the false-positive and beta the miss rate, raise at
10 log10((1 - beta) / alpha), clear at 10 log10(beta / (1 - alpha)). Between the two nothing
changes.
"""

from math import log10
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors import dialogue, fan_out, first_contact, mx_lookups, rejections, submission
from detectors.detector import Detector, Finding, centibans
from detectors.dialogue import Dialogue, DialogueSettings
from detectors.fan_out import FanOut, FanOutSettings
from detectors.first_contact import FirstContact, FirstContactSettings
from detectors.mx_lookups import MxLookups, MxLookupsSettings
from detectors.rejections import Rejections, RejectionsSettings
from detectors.submission import Submission, SubmissionSettings
from sensor.hosts.distinct import EXACT
from sensor.hosts.evidence import Evidence
from sensor.kernel import kernel

__all__ = ["DetectorSettings", "Model", "ModelTables", "ScoreSettings", "score"]

Rate = Annotated[float, msgspec.Meta(gt=0, lt=0.5)]


class ScoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How sure is sure."""

    prior: Rate = 0.001
    """share of spam sources among hosts that open connections to foreign port 25"""
    false_positive_rate: Rate = 0.01
    miss_rate: Rate = 0.01


class DetectorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of each detector, by its name."""

    fan_out: FanOutSettings = FanOutSettings()
    first_contact: FirstContactSettings = FirstContactSettings()
    rejections: RejectionsSettings = RejectionsSettings()
    dialogue: DialogueSettings = DialogueSettings()
    mx_lookups: MxLookupsSettings = MxLookupsSettings()
    submission: SubmissionSettings = SubmissionSettings()


class ModelTables(NamedTuple):
    """What :func:`score` needs, worked out from the settings."""

    prior: int
    quiet_networks: int
    """a host with no more destinations than these two cannot reach the raise level"""
    quiet_addresses: int
    fan_out: NDArray[np.int32]
    first_contact: NDArray[np.int32]
    rejections: NDArray[np.int32]
    dialogue: NDArray[np.int32]
    mx_lookups: NDArray[np.int32]
    submission: NDArray[np.int32]


@kernel
def score(counts, facts, tables):
    """The score of a host's evidence, in centibans."""
    return (
        tables.prior
        + fan_out.ratio(counts, facts, tables.fan_out)
        + first_contact.ratio(counts, facts, tables.first_contact)
        + rejections.ratio(counts, facts, tables.rejections)
        + dialogue.ratio(counts, facts, tables.dialogue)
        + mx_lookups.ratio(counts, facts, tables.mx_lookups)
        + submission.ratio(counts, facts, tables.submission)
    )


class Model:
    """The detectors with their settings, and the levels."""

    def __init__(
        self, settings: ScoreSettings | None = None, detectors: DetectorSettings | None = None
    ) -> None:
        s = settings or ScoreSettings()
        d = detectors or DetectorSettings()
        self.prior = centibans(log10(s.prior / (1 - s.prior)))
        self.raise_at = centibans(log10((1 - s.miss_rate) / s.false_positive_rate))
        self.clear_at = centibans(log10(s.miss_rate / (1 - s.false_positive_rate)))
        self._share = s.prior
        self.fan_out = FanOut(d.fan_out)
        lookups = MxLookups(d.mx_lookups)
        self.detectors: tuple[Detector, ...] = (
            self.fan_out,
            FirstContact(d.first_contact),
            Rejections(d.rejections),
            Dialogue(d.dialogue),
            lookups,
            Submission(d.submission),
        )
        self.tables = ModelTables(
            self.prior,
            *self._quiet(lookups),
            *(detector.tables for detector in self.detectors),
        )

    def _quiet(self, lookups: MxLookups) -> tuple[int, int]:
        """Fan-out too small to raise an alert even if every other detector said its most.

        Most hosts stay below it for ever, and need not be weighed at each packet. Of n
        destinations, k can fail as first contacts, and n - k refuse rude sessions.
        """
        failed, *spoken = (detector.tables.tolist() for detector in self.detectors[1:4])

        def others(n: int) -> int:
            worth: int = max(
                min(k * failed[0], failed[3]) + sum(min((n - k) * t[0], t[3]) for t in spoken)
                for k in range(n + 1)
            )
            return worth + lookups.most * (n >= lookups.networks)

        def quiet(worth: NDArray[np.int32]) -> int:
            n = 0
            while n < EXACT - 1 and self.prior + worth[n + 1] + others(n + 1) < self.raise_at:
                n += 1
            return n

        networks, addresses = (quiet(w) for w in self.fan_out.tables.max(axis=1))
        return networks, min(networks, addresses)

    def explain(self, evidence: Evidence) -> list[Finding]:
        """The prior and every detector's finding; their centibans add up to the score."""
        odds = f"before any evidence, 1 host in {1 / self._share:,.0f} that uses foreign port 25"
        prior = Finding("prior", self.prior, odds, {"share": self._share})
        return [prior] + [detector.explain(evidence) for detector in self.detectors]
