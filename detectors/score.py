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

from detectors import (
    deliveries,
    dialogue,
    fan_out,
    first_contact,
    mx_lookups,
    regularity,
    rejections,
    submission,
)
from detectors.deliveries import Deliveries, DeliveriesSettings
from detectors.detector import Detector, Finding, centibans
from detectors.dialogue import Dialogue, DialogueSettings
from detectors.fan_out import FanOut, FanOutSettings
from detectors.first_contact import FirstContact, FirstContactSettings
from detectors.mx_lookups import MxLookups, MxLookupsSettings
from detectors.proof import Proof
from detectors.regularity import Regularity, RegularitySettings
from detectors.rejections import Rejections, RejectionsSettings
from detectors.submission import Submission, SubmissionSettings
from sensor.base.kernel import kernel
from sensor.hosts.distinct import EXACT
from sensor.hosts.evidence import Evidence

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
    deliveries: DeliveriesSettings = DeliveriesSettings()
    dialogue: DialogueSettings = DialogueSettings()
    mx_lookups: MxLookupsSettings = MxLookupsSettings()
    regularity: RegularitySettings = RegularitySettings()
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
    deliveries: NDArray[np.int32]
    dialogue: NDArray[np.int32]
    mx_lookups: NDArray[np.int32]
    regularity: NDArray[np.int32]
    submission: NDArray[np.int32]


@kernel
def score(counts, facts, tables):
    """The score of a host's evidence, in centibans."""
    return (
        tables.prior
        + fan_out.ratio(counts, facts, tables.fan_out)
        + first_contact.ratio(counts, facts, tables.first_contact)
        + rejections.ratio(counts, facts, tables.rejections)
        + deliveries.ratio(counts, facts, tables.deliveries)
        + dialogue.ratio(counts, facts, tables.dialogue)
        + mx_lookups.ratio(counts, facts, tables.mx_lookups)
        + regularity.ratio(counts, facts, tables.regularity)
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
        steady = Regularity(d.regularity)
        rejections, dialogue = Rejections(d.rejections), Dialogue(d.dialogue)
        self.proof = Proof(self.fan_out, rejections, dialogue)
        self.detectors: tuple[Detector, ...] = (
            self.fan_out,
            FirstContact(d.first_contact),
            rejections,
            Deliveries(d.deliveries),
            dialogue,
            lookups,
            steady,
            Submission(d.submission),
        )
        self.tables = ModelTables(
            self.prior,
            *self._quiet(lookups, steady),
            *(detector.tables for detector in self.detectors),
        )

    def _quiet(self, lookups: MxLookups, steady: Regularity) -> tuple[int, int]:
        """Fan-out too small to raise an alert even if every other detector said its most.

        Most hosts stay below it for ever, and need not be weighed at each packet. Of n
        destinations, k can fail as first contacts, r refuse, and the others have their replies
        hidden; n - k can be spoken to rudely. They must be as many as the hours in which they are
        evenly spread.
        """
        walks = {d.name: d.tables.tolist() for d in self.detectors[1:5]}

        def most(name: str, n: int) -> int:
            step, _, _, cap, _ = walks[name]
            return int(min(n * step, cap))

        def others(n: int) -> int:
            worth = max(
                most("first_contact", k)
                + most("rejections", r)
                + most("deliveries", n - k - r)
                + most("dialogue", n - k)
                for k in range(n + 1)
                for r in range(n - k + 1)
            )
            worth += lookups.most * (n >= lookups.networks)
            return worth + steady.most * (n >= steady.hours)

        def quiet(worth: NDArray[np.int32]) -> int:
            n = 0
            while n < EXACT - 1 and self.prior + worth[n + 1] + others(n + 1) < self.raise_at:
                n += 1
            return n

        networks, addresses = (quiet(w) for w in self.fan_out.tables.max(axis=1))
        return networks, min(networks, addresses)

    def explain(self, evidence: Evidence) -> list[Finding]:
        """The prior and every detector's finding; their centibans add up to the score."""
        figures = {"share": self._share, "hosts": round(1 / self._share)}
        prior = Finding("prior", self.prior, "prior.share", figures)
        return [prior] + [detector.explain(evidence) for detector in self.detectors]
