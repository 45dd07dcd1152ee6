"""What the sensor has found since it was last asked: the one way out of the pipeline.

Kernels write rows into buffers: events, connections that ended, DNS answers put aside. A
:class:`Drain` empties them after each call of a kernel and puts them into words; an :class:`Output`
is what has come together, given out at the end of each block of packets, or before where it is much
(``MUCH`` things of a kind), so that memory stays bounded whatever a block gives rise to.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor.alerts.alert import Alert
from sensor.alerts.candidate import Candidate
from sensor.alerts.compose import Composer, Watched, Weighed
from sensor.alerts.flood import PENDING, describe
from sensor.alerts.siblings import Siblings
from sensor.base.door import Door
from sensor.base.kernel import table
from sensor.base.sentences import Sentence
from sensor.base.units import SECOND
from sensor.capture.block import Block
from sensor.decode.segment import SEGMENT
from sensor.dns.lookups import read_answers
from sensor.hosts.customer_key import pseudonym
from sensor.hosts.evidence import Evidence, Fact
from sensor.tracking.state import NOTED, WATCHED, Tracking

if TYPE_CHECKING:
    from sensor.smtp.record import Session

__all__ = ["MUCH", "Drain", "EndedSession", "Output"]

MUCH: Final = 4096
"""Alerts, candidates or sessions after which an output is given out before the block ends."""

_NO_SEGMENTS: Final = table(0, SEGMENT)


class EndedSession(NamedTuple):
    """A connection that ended."""

    session: "Session"
    suspect: str
    """the host it was of, where that has an alert or once was a candidate; else empty"""


class Output(msgspec.Struct, frozen=True):
    """What came out since the output before; each list in the order in which it happened."""

    alerts: list[Alert] = []
    candidates: list[Candidate] = []
    """hosts that came to be one, or whose score grew by 5 decibans since they were one"""
    sessions: list[EndedSession] = []
    notices: list[Sentence] = []
    """what a person should know, of floods of forged SYNs and of siblings"""
    watched: Watched | None = None
    """the watched host, if its score was never as high before"""
    block: Block | None = None
    """the packets it is of; None: time passed without any"""
    segments: NDArray[np.void] = _NO_SEGMENTS
    """dtype SEGMENT, decoded from ``block``; as that, valid until the next output is asked for"""


class Drain:
    """Empties the buffers of one pipeline's kernels."""

    def __init__(self, most_sessions: int | None) -> None:
        """``most_sessions``: of each second of packet time; what is beyond is counted."""
        self.door: Final = Door("sessions_unreadable")
        self.passed_over = 0
        """sessions beyond ``most_sessions``"""
        self._most_sessions = most_sessions
        self._second = 0, 0
        self._highest: int | None = None
        self._now = Output()
        self._watched: Watched | None = None
        self.siblings: Final = Siblings()

    @property
    def is_much(self) -> bool:
        """Whether it is time to give out what has come together."""
        now = self._now
        return max(len(now.alerts), len(now.candidates), len(now.sessions)) >= MUCH

    def give(self, block: Block | None, segments: NDArray[np.void] | None = None) -> Output:
        """What has come together since it was last given."""
        given = msgspec.structs.replace(
            self._now,
            watched=self._watched,
            block=block,
            segments=_NO_SEGMENTS if segments is None else segments,
        )
        self._now, self._watched = Output(), None
        return given

    def drain(self, state: Tracking, composer: Composer, packet_time: int) -> None:
        """Empty all buffers: first what ended before a DNS answer, last the answer."""
        self._drain_sessions(state, composer, packet_time)
        self._drain_events(state, composer)
        if state.flood.facts[PENDING]:
            self._now.notices.append(describe(state.flood))
        read_answers(state.lookups)

    def _drain_events(self, state: Tracking, composer: Composer) -> None:
        events = state.events
        for n in range(int(events.size[0])):
            evidence = Evidence(events.counts[n], events.facts[n])
            last = events.his[n], events.los[n], events.ticks[n]
            one = Weighed(events.rows[n], evidence, *last, events.held[n])
            kind = one.event["state"]
            if kind == WATCHED:
                score = int(one.event["score"])
                if self._highest is None or score > self._highest:
                    self._highest = score
                    self._watched = composer.watched(one)
            elif kind == NOTED:
                self._now.candidates.append(candidate := composer.candidate(one))
                self._look_for_siblings(candidate.host, one, candidate.ts)
            else:
                self._now.alerts.append(alert := composer.alert(one))
                self._look_for_siblings(alert.host, one, alert.ts)
        events.size[0] = 0

    def _look_for_siblings(self, host: str, one: Weighed, ts: int) -> None:
        if said := self.siblings.note(host, one.evidence.fact(Fact.MAKE), ts):
            self._now.notices.append(said)

    def _drain_sessions(self, state: Tracking, composer: Composer, packet_time: int) -> None:
        records = state.records
        size = int(records.size[0])
        if not size:
            return
        records.size[0] = 0
        few = self._affordable(size, packet_time // SECOND)
        if not few:
            return
        ended = records.connections[:few], records.sessions[:few], records.ends[:few]
        sessions = self._read_sessions(*ended, composer)
        whose = records.suspects[:few]
        customers = (whose["hi"] >> np.uint64(56) == np.uint64(0xFF)).tolist()
        for k, (one, is_suspect) in enumerate(zip(sessions, whose["is_"].tolist(), strict=True)):
            if one is not None:
                suspect = composer.host(*whose[k].item()[:3]) if is_suspect else ""
                if customers[k]:
                    who = pseudonym(*whose[k].item()[:2])
                    one = msgspec.structs.replace(one, customer=who)
                self._now.sessions.append(EndedSession(one, suspect))

    def _read_sessions(
        self,
        connections: NDArray[np.void],
        sessions: NDArray[np.void],
        ends: NDArray[np.uint8],
        composer: Composer,
    ) -> "Sequence[Session | None]":
        """The records of connections that ended; None for one that cannot be read."""
        from sensor.smtp.record import session_records

        try:
            return session_records(connections, sessions, ends, composer.names)
        except Exception:  # which of them it was is found by reading each by itself
            found = []
            for k in range(len(ends)):
                alone = [column[k : k + 1] for column in (connections, sessions, ends)]
                one = self.door.read(session_records, *alone, composer.names)
                found.append(one[0] if one else None)
            return found

    def _affordable(self, size: int, now: int) -> int:
        """How many of ``size`` sessions may be given out in second ``now``."""
        if self._most_sessions is None:
            return size
        second, given = self._second
        if second != now:
            given = 0
        few = min(size, self._most_sessions - given)
        self._second = now, given + few
        self.passed_over += size - few
        return few
