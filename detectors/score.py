"""The score: prior plus the detectors' ratios, and the levels at which it means something.

In decibans it is the log-odds that a host is a spam source: 0 is even, 20 is 100 to 1, -30 one in a
thousand. Raise and clear levels are Wald's bounds for the wanted error rates ("Sequential Tests
of Statistical Hypotheses", 1945): with alpha the false-positive and beta the miss rate, raise at
10 log10((1 - beta) / alpha), clear at 10 log10(beta / (1 - alpha)). Between the two nothing
changes.
"""

from math import log10
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.detector import Detector, Finding, Reach, centibans
from detectors.dialogue import Dialogue
from detectors.fan_out import FanOut
from detectors.proof import Proof
from detectors.registry import DETECTORS, DetectorSettings
from detectors.rejections import Rejections
from sensor.base.kernel import kernel
from sensor.hosts.distinct import EXACT
from sensor.hosts.evidence import Evidence

__all__ = ["Model", "ModelTables", "ScoreSettings", "score"]

Kind = TypeVar("Kind", bound=Detector)
Rate = Annotated[float, msgspec.Meta(gt=0, lt=0.5)]


class ScoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How sure is sure."""

    prior: Rate = 0.001
    """share of spam sources among hosts that open connections to foreign port 25"""
    false_positive_rate: Rate = 0.01
    miss_rate: Rate = 0.01


class ModelTables(NamedTuple):
    """What :func:`score` needs, worked out from the settings."""

    prior: int
    quiet_networks: int
    """a host with no more destinations than these two cannot reach the raise level"""
    quiet_addresses: int
    detectors: tuple[NDArray[np.int32], ...]
    """of each, in their order"""


def _sum() -> Any:
    """The kernel that adds up the detectors.

    Numba compiles a call only where it is known which kernel is called, and keeps machine code only
    of a function that stands in a file. So the sum is written out, a term a detector, as somebody
    would by hand, and costs what that costs.
    """
    terms = "".join(
        f" + {one.name}(counts, facts, tables.detectors[{i}])" for i, one in enumerate(DETECTORS)
    )
    source = f"def score(counts, facts, tables):\n    return tables.prior{terms}\n"
    scope: dict[str, Any] = {one.name: one.ratio for one in DETECTORS}
    scope["__name__"] = __name__
    exec(compile(source, __file__, "exec"), scope)  # noqa: S102 (our own names)
    written = scope["score"]
    written.__doc__ = "The score of a host's evidence, in centibans."
    return kernel(written)


score = _sum()
"""Kernel ``(counts, facts, tables: ModelTables)``: the score of a host's evidence, in centibans."""


class Model:
    """The detectors with their settings, and the levels."""

    def __init__(
        self,
        settings: ScoreSettings | None = None,
        detectors: DetectorSettings | None = None,
        *,
        source_validation: bool = False,
    ) -> None:
        s = settings or ScoreSettings()
        d = detectors or DetectorSettings()
        self.prior = centibans(log10(s.prior / (1 - s.prior)))
        self.raise_at = centibans(log10((1 - s.miss_rate) / s.false_positive_rate))
        self.clear_at = centibans(log10(s.miss_rate / (1 - s.false_positive_rate)))
        self._share = s.prior
        self.detectors: tuple[Detector, ...] = tuple(one(getattr(d, one.name)) for one in DETECTORS)
        self.proof = Proof(
            self._one(FanOut),
            self._one(Rejections),
            self._one(Dialogue),
            source_validation=source_validation,
        )
        self.tables = ModelTables(
            self.prior, *self._quiet(), tuple(detector.tables for detector in self.detectors)
        )

    def _one(self, kind: type[Kind]) -> Kind:
        return next(one for one in self.detectors if isinstance(one, kind))

    def _quiet(self) -> tuple[int, int]:
        """Networks and addresses too few to raise an alert even if every detector said its most.

        Most hosts stay below it for ever, and need not be weighed at each packet. Of n
        destinations some can fail as first contacts, some refuse, and the others have their replies
        hidden: the worst of all ways to part them counts.
        """

        def worst(networks: int, addresses: int) -> int:
            n = max(networks, addresses)
            return self.prior + max(
                sum(one.most(reach) for one in self.detectors)
                for failed in range(n + 1)
                for refused in range(n - failed + 1)
                for reach in [Reach(networks, addresses, failed, refused, n - failed - refused)]
            )

        networks = addresses = 0
        while networks < EXACT - 1 and worst(networks + 1, 0) < self.raise_at:
            networks += 1
        while addresses < EXACT - 1 and worst(0, addresses + 1) < self.raise_at:
            addresses += 1
        return networks, min(networks, addresses)

    def explain(self, evidence: Evidence) -> list[Finding]:
        """The prior and every detector's finding; their centibans add up to the score."""
        figures = {"share": self._share, "hosts": round(1 / self._share)}
        prior = Finding("prior", self.prior, "prior.share", figures)
        return [prior] + [detector.explain(evidence) for detector in self.detectors]
