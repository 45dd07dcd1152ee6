"""The stages wired together. Live and replay are the same pipeline with another source."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.detector import CENTIBANS
from detectors.score import Model
from sensor.alerts.alert import Alert
from sensor.alerts.candidate import Candidate
from sensor.alerts.compose import Composer, Watched, Weighed
from sensor.alerts.flood import PENDING, describe, new_flood, tell_flood
from sensor.alerts.lifecycle import (
    FOLDED_ALERTS,
    OPEN_ALERTS,
    REFUSED_ALERTS,
    UNPROVEN_ALERTS,
    Levels,
    new_alert_table,
)
from sensor.base.clock import STEPS_BACK, STEPS_FORWARD, new_clock
from sensor.base.door import Door
from sensor.base.kernel import table
from sensor.base.units import SECOND
from sensor.capture.block import FRAME, Block
from sensor.decode.decoder import Decoder
from sensor.decode.segment import SEGMENT, Outcome, watched_ports
from sensor.dns.exchangers import Exchangers, get_ready
from sensor.dns.lookups import LOOKUP_COUNTERS, expect, new_lookups, taken
from sensor.hosts.census import STEPS, fan_out
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.in_use import new_in_use
from sensor.hosts.subscribers import CLASS, class_of, classify, parse_host
from sensor.hosts.table import META, new_host_table, reclassify
from sensor.hosts.windows import WINDOWS
from sensor.settings import Limits, Settings, subscribers_of
from sensor.smtp.connections import EVICTED, FORGOTTEN, new_connections
from sensor.smtp.record import Session, session_records
from sensor.smtp.session import PIECES, PIECES_REFUSED, SESSIONS, new_sessions
from sensor.state.snapshot import SnapshotError, arrays_of, restore
from sensor.tracking.loop import (
    COUNTERS,
    MOMENTS,
    NOTED,
    WATCHED,
    Tracking,
    adopt,
    catch_up,
    end_all,
    new_records,
    new_told,
    track,
)

__all__ = ["MOST_SESSIONS", "Pipeline", "compile_kernels"]

_EVENTS = 1024
_RECORDS = 4096
_VISIBILITY = {"auto": 0, "visible": 1, "hidden": 2}
_KEPT = (
    "connections", "sessions", "lookups", "hosts", "in_use", "alerts", "flood", "clock",
    "counters", "moments",
)  # fmt: skip
_CLASSES = "subscribers.classes"
_STRAIN = ("hosts_evicted_proven", "details_evicted_proven", "hosts_refused")
_STRAIN_PAUSE = 600_000_000_000
_NEVER = 1 << 30
"""centibans"""
MOST_SESSIONS = 2000
"""Sessions a second that are told of where that must not take long; some 3 % of a core."""


def compile_kernels() -> None:
    """Have all code of the pipeline compiled, or read from the cache, before packets come.

    And all modules imported: who has given up its privileges may not be able to read them.
    """
    least = Limits(
        max_hosts=16, max_details=16, max_sketches=0, max_connections=64, max_sessions=16,
        max_pieces=16, max_exchangers=16, max_alerts=1,
    )  # fmt: skip
    get_ready()
    pipeline = Pipeline(Settings(limits=least))
    frame = table(1, FRAME)
    frame["ts"] = SECOND * 86_400 * 9
    pipeline.feed(Block(np.zeros(64, np.uint8), frame, 1, ""))
    segments = table(1, SEGMENT)
    segments["ts"] = frame["ts"]
    pipeline.follow(segments, np.zeros(64, np.uint8))
    pipeline.catch_up(int(frame["ts"][0]) + 1)
    pipeline.reload(pipeline.settings)
    pipeline.fan_out()
    state = pipeline._state
    zero = np.uint64(0)
    adopt(state, zero, zero, classify(state.subscribers, zero, zero), 0, 0, 0, 0, False, True)
    expect(state.lookups, np.frombuffer(b"\0", np.uint8))
    taken(state.lookups)
    evidence = Evidence(
        np.zeros((len(Count), len(WINDOWS)), np.int64), np.zeros(len(Fact), np.int64)
    )
    pipeline.model.explain(evidence)
    evidence.facts[Fact.REPLIES_VISIBLE] = 1
    pipeline.model.explain(evidence)
    pipeline.model.proof.missing(pipeline.model.proof.explain(evidence))
    tell_flood(state.flood)


class Pipeline:
    """Blocks in, alerts out."""

    def __init__(
        self,
        settings: Settings,
        watch: str | None = None,
        on_sessions: Callable[[list[Session]], None] | None = None,
        on_candidate: Callable[[Candidate], None] | None = None,
        on_suspects: Callable[[list[tuple[str, Session]]], None] | None = None,
        most_sessions: int | None = None,
    ) -> None:
        """With ``watch``, keep the evidence of that host for :attr:`watched`.

        ``on_sessions`` is given the connections that ended, many at a time, ``on_suspects`` those
        of hosts with an alert or once a candidate, with the host; of each second of packet time
        ``most_sessions`` (what is beyond is counted). ``on_candidate`` is given each host that
        comes to be one, and again whenever its score grew by 5 decibans. Raises ValueError when
        ``watch`` names no host.
        """
        self.settings = settings
        self.model = Model(settings.score, settings.detectors)
        self.decoder = Decoder(settings.ports, settings.duplicate_window, settings.reads_dns)
        self.watched: Watched | None = None
        self.notices: list[tuple[int, str]] = []
        """packet time (ns) and text of what a person should know, until the caller takes it"""
        self._limits = settings.limits
        self._strain: dict[str, int] = {}
        self._strained = 0
        self._last_ts: int | None = None
        subscribers = subscribers_of(settings)
        key = np.zeros(3, np.uint64)
        if watch is not None:
            key[:] = *parse_host(watch, subscribers), 1
        limits = self._limits
        self._on_sessions = on_sessions
        self._on_suspects = on_suspects
        self._most_sessions = most_sessions
        self._second = 0, 0
        self._sessions_passed_over = 0
        self._sessions_door = Door("sessions_unreadable")
        self._on_candidate = on_candidate
        lookups = new_lookups()
        self._exchangers = Exchangers(lookups, limits.max_exchangers)
        self._state = Tracking(
            connections=new_connections(limits.max_connections),
            sessions=new_sessions(limits.max_sessions, limits.max_pieces),
            lookups=lookups,
            hosts=new_host_table(limits.max_hosts, limits.max_details, limits.max_sketches),
            alerts=new_alert_table(limits.max_alerts),
            in_use=new_in_use(),
            flood=new_flood(),
            told=new_told(_EVENTS),
            records=new_records(
                _RECORDS if on_sessions or on_suspects else 0, on_sessions is not None
            ),
            clock=new_clock(),
            counters=np.zeros(len(COUNTERS), np.int64),
            moments=np.zeros(MOMENTS, np.int64),
            peers=np.zeros(2, np.int64),
            watch=key,
            subscribers=subscribers,
            **self._set(),
        )

    @property
    def _composer(self) -> Composer:
        """With the settings in force; an event names its host's class by row."""
        state = self._state
        return Composer(
            self.model,
            state.levels.enough_proof,
            state.subscribers.classes,
            self._exchangers,
            self.settings.kafka.sensor,
        )

    def _set(self) -> dict[str, Any]:
        """The parts of the state that only the settings make."""
        settings, alerts, limits = self.settings, self.settings.alerts, self._limits
        return {
            "model": self.model.tables,
            "proof": self.model.proof.tables,
            "levels": Levels(
                self.model.raise_at,
                self.model.clear_at,
                round(alerts.escalate_step * CENTIBANS),
                alerts.refresh,
                round(alerts.enough_proof * CENTIBANS),
                round(alerts.candidate_at * CENTIBANS) if self._on_candidate else _NEVER,
                min(limits.max_unproven_alerts, limits.max_alerts - limits.max_alerts // 8),
            ),
            "watched": watched_ports(list(settings.ports)),
            "timeout": round(settings.syn_timeout * 1e9),
            "visibility": _VISIBILITY[settings.replies],
            "reads": settings.reads,
            "checks": settings.checksums == "auto",
        }

    def reload(self, settings: Settings) -> None:
        """Go on with other settings and all the evidence there is; ``limits`` stay as they were."""
        self.settings = settings
        self.model = Model(settings.score, settings.detectors)
        self.decoder.set(settings.ports, settings.duplicate_window, settings.reads_dns)
        self._state = self._state._replace(**self._set())
        self._reclassify(self._state.subscribers.classes)

    def _reclassify(self, old: NDArray[np.void]) -> None:
        """Find the class of each host anew, whose classes were ``old``.

        Old ones stay only as far as a host still needs them.
        """
        new = subscribers_of(self.settings)
        before = len(new.classes)
        classes = table(before + len(old), CLASS)
        classes[:before], classes[before:] = new.classes, old
        needed = reclassify(self._state.hosts, new._replace(classes=classes), before)
        self._state = self._state._replace(subscribers=new._replace(classes=classes[:needed]))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a snapshot must hold; with :meth:`facts`."""
        kept = {
            name: array
            for name, array in arrays_of(self._state)
            if name.partition(".")[0] in _KEPT or name == _CLASSES
        }
        return kept | {f"decoder.{name}": a for name, a in self.decoder.arrays().items()}

    @property
    def packet_time(self) -> int:
        """Of the newest frame, nanoseconds since 1970; 0: none came yet."""
        return self._last_ts or 0

    def facts(self) -> dict[str, Any]:
        """What a snapshot must hold beside :meth:`arrays`."""
        return {"last_ts": self._last_ts, "exchangers": self._exchangers.state()}

    def restore(self, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
        """Take over a snapshot. Raises SnapshotError, and is as before then."""
        if _CLASSES not in arrays:
            raise SnapshotError(f"{_CLASSES} is missing")
        classes = table(len(arrays[_CLASSES]), CLASS)
        restore(self.arrays() | {_CLASSES: classes}, arrays)
        self._last_ts = facts["last_ts"]
        self._exchangers.restore(facts["exchangers"])
        self._reclassify(classes)

    def adopt(self, alert: Alert) -> bool:
        """Take over an alert from the journal that is newer than the snapshot; False: no room."""
        subscribers = self._state.subscribers
        hi, lo = parse_host(alert.host, subscribers)
        done: bool = adopt(
            self._state, np.uint64(hi), np.uint64(lo), class_of(subscribers, hi, lo), alert.opened,
            alert.revision,
            round(alert.score * CENTIBANS), alert.ts // SECOND, alert.severity != "medium",
            alert.state == "closed",
        )  # fmt: skip
        return done

    def share(self, shown: NDArray[np.int64], mine: int) -> None:
        """Judge together with other workers whether the mirror shows replies.

        ``shown`` (int64[workers, 2]) is shared memory; row ``mine`` is written, the others read.
        """
        counters = self._state.counters
        seen = counters[COUNTERS["answered"]] + counters[COUNTERS["refused"]]
        shown[mine] = seen, counters[COUNTERS["attempts"]]
        self._state.peers[:] = shown.sum(axis=0) - shown[mine]

    def catch_up(self, ts: int) -> list[Alert]:
        """Nothing more will come that is older than packet time ``ts``: what was due by then."""
        return [] if self._last_ts is None else self._until_done(catch_up, ts)

    def _until_done(self, step: Callable[[Tracking, int], bool], ts: int) -> list[Alert]:
        """Call a kernel that stops when the buffers are full until it has done all by ``ts``."""
        alerts: list[Alert] = []
        done = False
        while not done:
            done = step(self._state, ts)
            alerts += self._take()
        return alerts

    def feed(self, block: Block) -> list[Alert]:
        """Take one block; the alerts it gave rise to, in order."""
        return self.read(block)[0]

    def read(self, block: Block) -> tuple[list[Alert], NDArray[np.void]]:
        """The same as :meth:`feed`, with the segments found, which are valid until the next."""
        newest = int(block.frames["ts"].max())
        self._last_ts = newest if self._last_ts is None else max(self._last_ts, newest)
        segments = self.decoder.decode(block)
        return self.follow(segments, block.data), segments

    def follow(self, segments: NDArray[np.void], data: NDArray[np.uint8]) -> list[Alert]:
        """Take decoded segments (dtype SEGMENT) whose bytes lie in ``data``."""
        alerts: list[Alert] = []
        at = 0
        while at < len(segments):
            at = track(segments, data, at, self._state)
            alerts += self._take()
        return alerts

    def finish(self) -> list[Alert]:
        """The capture has ended: let happen what was due by its last frame.

        Where sessions are asked for, those still open are told, too.
        """
        if self._last_ts is None:
            return []
        alerts = self._until_done(catch_up, self._last_ts)
        tell_flood(self._state.flood)
        alerts += self._take()
        if self._on_sessions or self._on_suspects:
            alerts += self._until_done(end_all, self._last_ts)
        return alerts

    def fan_out(self) -> list[int]:
        """Hosts of the last hour by networks contacted in it, in the steps of ``census``."""
        steps = np.zeros(len(STEPS) + 1, np.int64)
        fan_out(self._state.hosts, steps)
        counts: list[int] = steps.tolist()
        return counts

    def counters(self) -> dict[str, dict[str, int]]:
        """Every counter, by stage. Those of ``frames`` add up to the frames read."""
        state = self._state
        return {
            "frames": {o.name.lower(): int(self.decoder.counts[o]) for o in Outcome},
            "connections": {name: int(state.counters[i]) for name, i in COUNTERS.items()}
            | {
                "connections_evicted": int(state.connections.meta[EVICTED]),
                "unanswered_forgotten": int(state.connections.meta[FORGOTTEN]),
                "sessions_open": int(state.sessions.meta[SESSIONS]),
                "sessions_passed_over": self._sessions_passed_over,
                self._sessions_door.counter: self._sessions_door.refused,
                "pieces_held": int(state.sessions.meta[PIECES]),
                "pieces_refused": int(state.sessions.meta[PIECES_REFUSED]),
            },
            "hosts": {
                name: int(state.hosts.meta[i])
                for name, i in META.items()
                if not name.startswith("_")
            },
            "dns": {name: int(state.lookups.meta[i]) for name, i in LOOKUP_COUNTERS.items()}
            | self._exchangers.counters
            | {"exchangers_known": len(self._exchangers)},
            "alerts": {
                "alerts_open": int(state.alerts.meta[OPEN_ALERTS]),
                "alerts_refused": int(state.alerts.meta[REFUSED_ALERTS]),
                "alerts_open_unproven": int(state.alerts.meta[UNPROVEN_ALERTS]),
                "hosts_without_alert_in_floods": int(state.alerts.meta[FOLDED_ALERTS]),
            },
            "time": {
                "clock_steps_back": int(state.clock[STEPS_BACK]),
                "clock_steps_forward": int(state.clock[STEPS_FORWARD]),
            },
        }

    def reasons(self) -> dict[str, str]:
        """What readers did not expect, the first of each: why, by the counter it is told under."""
        doors = (*self._exchangers.doors, self._sessions_door)
        return {door.counter: door.reason for door in doors if door.refused}

    def _take(self) -> list[Alert]:
        """Take all that was told: first what ended before a DNS answer, last the answer."""
        self._take_sessions()
        told = self._state.told
        composer = self._composer
        alerts = []
        for n in range(int(told.size[0])):
            evidence = Evidence(told.counts[n], told.facts[n])
            one = Weighed(told.events[n], evidence, told.his[n], told.los[n], told.ticks[n])
            state = one.event["state"]
            if state == WATCHED:
                if self.watched is None or one.event["score"] > self.watched.score:
                    self.watched = composer.watched(one)
            elif state == NOTED:
                if self._on_candidate:
                    self._on_candidate(composer.candidate(one))
            else:
                alerts.append(composer.alert(one))
        told.size[0] = 0
        if self._state.flood.facts[PENDING]:
            self.notices.append((self.packet_time, describe(self._state.flood)))
        self._exchangers.take()
        return alerts

    def strain(self) -> str:
        """What is proven and found no room since it was said last, ten minutes ago; else empty."""
        if self._strained and self.packet_time < self._strained + _STRAIN_PAUSE:
            return ""
        state = self._state
        now = {name: int(state.hosts.meta[META[name]]) for name in _STRAIN}
        now["alerts_refused"] = int(state.alerts.meta[REFUSED_ALERTS])
        grown = {name: n - self._strain.get(name, 0) for name, n in now.items()}
        self._strain = now
        said = ", ".join(f"{name} {n:,}" for name, n in grown.items() if n)
        if said:
            self._strained = self.packet_time
        return said and f"tables are too small for what is proven: {said} (see [limits])"

    def _take_sessions(self) -> None:
        records = self._state.records
        size = int(records.size[0])
        if not size:
            return
        records.size[0] = 0
        few = self._affordable(size)
        ended = records.connections[:few], records.sessions[:few], records.ends[:few]
        sessions = self._read_sessions(*ended)
        if self._on_sessions:
            self._on_sessions([one for one in sessions if one is not None])
        if self._on_suspects:
            whose = records.suspects[:few]
            mine = np.flatnonzero(whose["is_"]).tolist()
            self._on_suspects(
                [
                    (self._composer.host(int(w["hi"]), int(w["lo"]), int(w["class_"])), one)
                    for k, w in zip(mine, whose[mine], strict=True)
                    if (one := sessions[k]) is not None
                ]
            )

    def _read_sessions(
        self, connections: NDArray[np.void], sessions: NDArray[np.void], ends: NDArray[np.uint8]
    ) -> Sequence[Session | None]:
        """The records of connections that ended; None for one that cannot be read."""
        name = self._exchangers.name
        try:
            return session_records(connections, sessions, ends, name)
        except Exception:  # which of them it was is found by reading each by itself
            found = []
            for k in range(len(ends)):
                alone = [column[k : k + 1] for column in (connections, sessions, ends)]
                one = self._sessions_door.read(session_records, *alone, name)
                found.append(one[0] if one else None)
            return found

    def _affordable(self, size: int) -> int:
        """How many of ``size`` sessions may be told of in this second."""
        if self._most_sessions is None:
            return size
        second, told = self._second
        if second != (now := self.packet_time // SECOND):
            told = 0
        few = min(size, self._most_sessions - told)
        self._second = now, told + few
        self._sessions_passed_over += size - few
        return few
