"""An event of the tracking becomes an alert, a candidate, or the evidence of a watched host.

Kernels give numbers: a row that says what happened to which host, its evidence, its destinations.
Here they get words, names of mail exchangers, a severity, and what is recommended. Nothing is
decided here: whether there is an alert says ``lifecycle``, whether to block ``recommend``.
"""

from collections import Counter
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from detectors.detector import CENTIBANS
from detectors.score import Model
from sensor.alerts.abuse import BLOCKED, KINDS, Abuse
from sensor.alerts.alert import (
    Alert,
    Destination,
    EvidenceLine,
    Exchanger,
    Severity,
    alert_id,
    rfc3339,
)
from sensor.alerts.candidate import Candidate
from sensor.alerts.lifecycle import AWAY, LENT, STATES
from sensor.alerts.recommend import grounds, recommend
from sensor.alerts.shared import looks_shared
from sensor.base import addresses
from sensor.base.units import SECOND
from sensor.customers.layout import HELD
from sensor.customers.words import Addresses, addresses_of
from sensor.dns.exchangers import names_of, provider
from sensor.dns.known import Known
from sensor.hosts.customer_key import is_customer
from sensor.hosts.evidence import Evidence, Fact
from sensor.hosts.subscribers import host_text

__all__ = ["Composer", "Watched", "Weighed"]

_DESTINATIONS: Final = 10
"""Destinations an alert lists one by one."""
_CRITICAL: Final = 300
"""centibans above the raise level"""


class Weighed(NamedTuple):
    """One host at the moment it was weighed, as kernels give it; valid until they run again."""

    event: np.void
    """what happened, a row of the tracking's events"""
    evidence: Evidence
    his: NDArray[np.uint64]
    """of the last destinations, newest first"""
    los: NDArray[np.uint64]
    ticks: NDArray[np.uint32]
    """sensor time at which each was contacted, seconds"""
    held: NDArray[np.void] = np.zeros(0, HELD)
    """of a known customer the leases, dtype HELD"""


class Watched(msgspec.Struct, frozen=True):
    """The evidence of one host at a moment, as an array of its own."""

    host: str
    ts: int
    """packet time, nanoseconds"""
    score: int
    """centibans"""
    evidence: Evidence
    exchangers: list[Exchanger]


class Composer(NamedTuple):
    """What is needed to put a weighed host into words."""

    model: Model
    enough_proof: int
    """centibans"""
    classes: NDArray[np.void]
    """dtype CLASS, of ``Subscribers.classes``"""
    known: Known
    sensor: str
    """name of the sensor; empty: it has none"""
    kinds: frozenset[Abuse] = frozenset(BLOCKED)
    """of abuse that may be blocked"""
    alone: bool = False
    """it judges its share while it cannot forward: see ``Alert.alone``"""

    def names(self, his: NDArray[np.uint64], los: NDArray[np.uint64]) -> list[str | None]:
        """The names of the mail exchangers at addresses."""
        return names_of(self.known, his, los)

    def host(self, hi: int, lo: int, row: int) -> str:
        """A subscriber in words, whose class is row ``row``."""
        class_ = self.classes[row]
        return host_text(hi, lo, int(class_["fold"]), int(class_["ports"]))

    def alert(self, one: Weighed) -> Alert:
        """The message of an alert that was raised, escalated, refreshed or closed."""
        event, evidence, model = one.event, one.evidence, self.model
        ts, opened, score = int(event["ts"]), int(event["opened"]), int(event["score"])
        # Ticks are sensor time, which runs ahead where the clock of the packets stepped back.
        ahead = int(event["tick"]) - ts // SECOND
        about, held = self._host_of(one), _addresses_of(one)
        state = STATES[event["state"]]
        declared = bool(self.classes[evidence.fact(Fact.CLASS)]["shared"])
        seems_shared = None if declared else looks_shared(evidence)
        shared = not held and (declared or seems_shared is not None)
        proven = bool(event["proven"])
        abuse = KINDS[event["abuse"]]
        proof = model.proof.explain(evidence)
        recommended, because = recommend(
            closed=state == "closed",
            cleared=score <= model.clear_at,
            proven=proven,
            shared=shared,
            seems_shared=seems_shared,
            abuse=abuse,
            allowed=abuse in self.kinds,
            grounds=grounds(proof, model.proof.missing(proof), proven, self.enough_proof),
            lent=event["standing"] == LENT,
            away=event["standing"] == AWAY,
            validated=model.proof.tables.validated,
            alone=self.alone,
            fallen=not proven and proof.centibans >= self.enough_proof,
        )
        return Alert(
            id=alert_id(about, opened, self.sensor if self.alone else None),
            revision=int(event["revision"]),
            ts=ts,
            time=rfc3339(ts),
            opened=opened,
            state=state,  # type: ignore[arg-type]
            host=(held.now or about) if held else about,
            abuse=abuse,
            severity=_severity(proven, score - model.raise_at),
            score=score / CENTIBANS,
            raise_at=model.raise_at / CENTIBANS,
            clear_at=model.clear_at / CENTIBANS,
            evidence=self._lines(evidence),
            handshake_proven=evidence.fact(Fact.PROVEN) > 0,
            proven=evidence.fact(Fact.PROVEN),
            disowned=evidence.fact(Fact.DISOWNED),
            shared_address=shared,
            block_recommended=recommended,
            block_reason=because.text,
            block_code=because.code,
            block_figures=because.figures,
            replies_visible=bool(evidence.fact(Fact.REPLIES_VISIBLE)),
            first_seen=evidence.fact(Fact.FIRST_SEEN) - ahead,
            connections=evidence.fact(Fact.CONNECTIONS),
            windows=evidence.windows(),
            destinations=self._destinations(one, ahead),
            exchangers=self._exchangers(one),
            # Never the host's name: live and replayed, here or there, alerts are the same.
            sensor=self.sensor or UNSET,
            alone=self.alone or UNSET,
            customer=about if held else UNSET,
            addresses=held.all_ if held else UNSET,
        )

    def candidate(self, one: Weighed) -> Candidate:
        """A host without an alert that is worth to be known."""
        return Candidate(
            host=self._host_of(one),
            ts=int(one.event["ts"]),
            score=int(one.event["score"]) / CENTIBANS,
            evidence=self._lines(one.evidence),
            replies_visible=bool(one.evidence.fact(Fact.REPLIES_VISIBLE)),
            windows=one.evidence.windows(),
        )

    def watched(self, one: Weighed) -> Watched:
        """The evidence of a host a person asked for, to keep."""
        return Watched(
            host=self._host_of(one),
            ts=int(one.event["ts"]),
            score=int(one.event["score"]),
            evidence=Evidence(one.evidence.counts.copy(), one.evidence.facts.copy()),
            exchangers=self._exchangers(one),
        )

    def _host_of(self, one: Weighed) -> str:
        event = one.event
        return self.host(
            int(event["host_hi"]), int(event["host_lo"]), one.evidence.fact(Fact.CLASS)
        )

    def _lines(self, evidence: Evidence) -> list[EvidenceLine]:
        return [
            EvidenceLine(f.detector, f.centibans / CENTIBANS, f.reason, f.figures, f.code)
            for f in self.model.explain(evidence)
        ]

    def _destinations(self, one: Weighed, ahead: int) -> list[Destination]:
        size = min(_DESTINATIONS, int(one.event["destinations"]))
        his, los, ticks = one.his[:size], one.los[:size], one.ticks[:size]
        columns = his.tolist(), los.tolist(), ticks.tolist(), self.names(his, los)
        return [
            Destination(addresses.text(hi, lo), name, tick - ahead)
            for hi, lo, tick, name in zip(*columns, strict=True)
        ]

    def _exchangers(self, one: Weighed) -> list[Exchanger]:
        """The destinations whose names are known, together by name."""
        size = int(one.event["destinations"])
        names = Counter(filter(None, self.names(one.his[:size], one.los[:size])))
        return [Exchanger(name, provider(name), count) for name, count in names.most_common()]


def _addresses_of(one: Weighed) -> Addresses | None:
    """Those of a known customer; None where the host is an address by itself."""
    event = one.event
    if not is_customer(np.uint64(event["host_hi"])):
        return None
    return addresses_of(one.held[: int(event["held"])], int(event["at"]))


def _severity(proven: bool, above: int) -> Severity:
    """Of an alert whose score is ``above`` the raise level, in centibans."""
    if not proven:
        return "medium"
    return "critical" if above >= _CRITICAL else "high"
