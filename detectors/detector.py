"""The shape every detector has.

A detector compares two hypotheses about a host: "spam source" against "legitimate". From the host's
evidence it gives the log-likelihood ratio of the two. It holds no state and knows no packets.

It speaks twice. A kernel ``ratio(counts, facts, tables)`` runs whenever a host's evidence changes.
``explain`` says the same to a person: the same number, and the figures it came from. Tests hold the
two against each other on random evidence.

More SYNS, RETRIES or UNANSWERED and nothing else may not raise what it says: by them alone a host
is not weighed again within a second (``sensor/hosts/settled.py``). A test holds that, too.

Numbers are integers in *centibans* (hundredths of log10), shown as decibans with one decimal, so
that a printed table adds up to the digit: 10 decibans are a factor of ten, 3 a factor of two.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor.base.sentences import render
from sensor.hosts.evidence import Evidence, Fact

__all__ = ["CENTIBANS", "Detector", "Finding", "Reach", "centibans"]

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


class Reach(NamedTuple):
    """How far a host has gone, and the worst that can have become of its destinations."""

    networks: int
    addresses: int
    failed: int
    """destinations that did not answer"""
    refused: int
    """those that answered, and refused what they were sent"""
    hidden: int
    """those that answered, and whose replies are hidden"""

    @property
    def destinations(self) -> int:
        """All of them."""
        return self.failed + self.refused + self.hidden

    @property
    def answered(self) -> int:
        """Those that could be spoken to."""
        return self.refused + self.hidden


class Detector(ABC):
    """One method: the base of each. ``tables`` is worked out once, from the settings."""

    name: ClassVar[str]
    """also of its file, of its settings, and of its lines in an alert"""
    Settings: ClassVar[type[msgspec.Struct]]
    """its settings, each with a default: the section ``[detectors.<name>]``"""
    silent: ClassVar[dict[str, Any]]
    """settings with which it says nothing, for measuring what it is good for"""
    sentences: ClassVar[dict[str, dict[str, str]]]
    """by language, then by the part of a finding's code behind the dot: what it says to people, as
    ``sensor/base/sentences.py`` writes templates
    """
    ratio: ClassVar[Callable[..., Any]]
    """kernel ``(counts, facts, tables) -> centibans``"""

    tables: NDArray[np.int32]
    """what the kernel needs to know"""

    @abstractmethod
    def __init__(self, settings: Any = None) -> None:
        """Work out the tables. None: the defaults."""

    @abstractmethod
    def explain(self, evidence: Evidence) -> Finding:
        """The same number as the kernel's, with its reasons."""

    @abstractmethod
    def most(self, reach: Reach) -> int:
        """A bound, in centibans: the most it says against any host that went so far.

        Hosts that cannot raise an alert by any bound are not weighed at all (``score.Model``).
        """

    @staticmethod
    def facts_of(figures: dict[str, Any]) -> dict[Fact, int]:
        """The facts it rests on, from the figures of a finding: an alert has all counts, no facts.

        Needed by those that read facts beside REPLIES_VISIBLE; else an alert cannot be weighed anew
        (``port25 tune``).
        """
        return {}
