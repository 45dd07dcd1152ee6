"""The shape every detector has.

A detector compares two hypotheses about a host: "spam source" against "legitimate". From the host's
evidence it gives the log-likelihood ratio of the two. It holds no state and knows no packets.

It speaks twice. A kernel ``ratio(counts, facts, tables)`` runs whenever a host's evidence changes.
``explain`` says the same to a person: the same number, and the figures it came from. Tests hold the
two against each other on random evidence.

Numbers are integers in *centibans* (hundredths of log10), shown as decibans with one decimal, so
that a printed table adds up to the digit: 10 decibans are a factor of ten, 3 a factor of two.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sensor.base.sentences import render
from sensor.hosts.evidence import Evidence

__all__ = ["CENTIBANS", "Detector", "Finding", "centibans"]

CENTIBANS: Final = 10
"""Centibans in a deciban."""


def centibans(ratio_log10: float) -> int:
    """A log10 of a likelihood ratio in centibans, rounded."""
    return round(100 * ratio_log10)


class Finding(NamedTuple):
    """What one detector has to say of a host."""

    detector: str
    centibans: int
    code: str
    """of a sentence: ``sensor/base/catalogue``"""
    figures: dict[str, Any]
    """the numbers the sentence rests on"""

    @property
    def reason(self) -> str:
        """The sentence, in English."""
        return render(self.code, self.figures)


class Detector(Protocol):
    """One method."""

    name: ClassVar[str]

    tables: NDArray[np.int32]
    """what the kernel needs to know, worked out once from the settings"""

    @property
    def ratio(self) -> Callable[..., Any]:
        """Kernel ``(counts, facts, tables) -> centibans``."""

    def explain(self, evidence: Evidence) -> Finding:
        """The same number, with its reasons."""
