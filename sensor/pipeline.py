"""The stages wired together: blocks of packets in, outputs out.

Live and replay are the same pipeline with another source. What comes in is a :class:`Block`, or the
passing of time; what comes out is an :class:`Output`, whoever asks and whatever for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detectors.detector import CENTIBANS
from sensor.alerts.abuse import KINDS
from sensor.alerts.alert import Alert
from sensor.alerts.compose import Composer
from sensor.alerts.flood import emit_flood, new_flood
from sensor.alerts.lifecycle import (
    FOLDED_ALERTS,
    OPEN_ALERTS,
    REFUSED_ALERTS,
    UNPROVEN_ALERTS,
    Levels,
    new_alert_table,
)
from sensor.base.clock import NOW, OFFSET, STEPS_BACK, STEPS_FORWARD, new_clock
from sensor.base.hash_index import in_use
from sensor.base.kernel import copied, in_pieces, table
from sensor.base.sentences import Sentence
from sensor.base.units import SECOND
from sensor.capture.block import FRAME, Block
from sensor.customers.layout import (
    CHANGE,
    LEASE_COUNTERS,
    UNFIT,
    in_force,
    new_changes,
    new_lease_table,
)
from sensor.decode.ahead import Decoded
from sensor.decode.decoder import Decoder
from sensor.decode.segment import Outcome, watched_ports
from sensor.dns.exchangers import NAMES
from sensor.dns.kept import RINGS, kept_of, room_for, take_over
from sensor.dns.known import ANSWER_COUNTERS
from sensor.dns.lookups import LOOKUP_COUNTERS, new_lookups
from sensor.hosts.histogram import STEPS, fan_out
from sensor.hosts.in_use import new_in_use
from sensor.hosts.layout import META, new_host_table
from sensor.hosts.meetings import MEETINGS, new_meetings
from sensor.hosts.subscribers import CLASS, class_of, parse_host
from sensor.hosts.table import index_again, reclassify
from sensor.settings import Settings, subscribers_of
from sensor.smtp.session import EARLY_FORGOTTEN, SESSIONS, new_sessions
from sensor.state.tables import SnapshotError, arrays_of, restore
from sensor.tcp.connections import EVICTED, FORGOTTEN, new_connections
from sensor.tcp.reassembly import PIECES, PIECES_REFUSED
from sensor.tracking.ahead import GROUP
from sensor.tracking.leasing import reclassify_customers
from sensor.tracking.loop import adopt, catch_up, end_all, track
from sensor.tracking.output import Drain, Output
from sensor.tracking.state import COUNTERS, DUE, MOMENTS, Tracking, new_events, new_records
from sensor.tracking.strain import Strain

__all__ = ["Pipeline"]

_EVENTS = 1024
_RECORDS = 4096
_VISIBILITY = {"auto": 0, "visible": 1, "hidden": 2}
_CLASSES = "subscribers.classes"
_KEPT = (
    "connections.", "sessions.", "lookups.", "hosts.", "in_use.", "meetings.", "alerts.", "flood.",
    "leases.", "clock", "counters", "moments", _CLASSES,
)  # fmt: skip
_MADE_ANEW = (RINGS, "hosts.rowindex.", "hosts.seeds")
_WAITING = "changes.rows"
_NO_FRAMES = table(0, FRAME)
_NEVER = 1 << 30
"""centibans"""


def _counted(meta: NDArray[np.int64], places: Mapping[str, int]) -> dict[str, int]:
    """Counters of a table by name, but for those that are its own affair (``_name``)."""
    return {name: int(meta[i]) for name, i in places.items() if not name.startswith("_")}


class Pipeline:
    """Blocks in, outputs out.

    ``feed``, ``catch_up`` and ``finish`` each give outputs as they are asked for, and work as far
    as they are asked: all of one must be taken before the next is called (else RuntimeError).
    """

    def __init__(
        self,
        settings: Settings,
        watch: str | None = None,
        sessions: Literal["none", "suspects", "all"] = "none",
        candidates: bool = False,
        most_sessions: int | None = None,
        alone: bool = False,
    ) -> None:
        """Say what outputs are to hold beside alerts.

        ``sessions``: the connections that ended, all or those of hosts with an alert or once a
        candidate; of each second of packet time ``most_sessions`` (what is beyond is counted).
        ``candidates``: each host that comes to be one, and again whenever its score grew by 5
        decibans. ``watch``: the evidence of that host. Raises ValueError when it names none.
        ``alone``: see ``Composer``.
        """
        self.settings = settings
        self.model = settings.model
        self.decoder = Decoder(settings.ports, settings.duplicate_window, settings.reads_dns)
        self._counts = self.decoder.counts
        self._limits = settings.limits
        self._strain = Strain()
        self._leases_unfit = dict.fromkeys(UNFIT, 0)
        self.leases_refused: dict[int, int] = {}
        """by reason (a place in REASONS) the line of the first lease the table refused"""
        self._last_ts: int | None = None
        subscribers = subscribers_of(settings)
        key = np.zeros(3, np.uint64)
        if watch is not None:
            key[:] = *parse_host(watch, subscribers), 1
        limits = self._limits
        self._candidates, self._alone = candidates, alone
        self._ends_sessions = sessions != "none"
        self._drain = Drain(most_sessions)
        self._giving = False
        self._state = Tracking(
            connections=new_connections(limits.max_connections),
            sessions=new_sessions(limits.max_sessions, limits.max_pieces),
            lookups=new_lookups(limits.max_exchangers),
            hosts=new_host_table(limits.max_hosts, limits.max_details, limits.max_sketches),
            alerts=new_alert_table(limits.max_alerts),
            in_use=new_in_use(),
            meetings=new_meetings(),
            flood=new_flood(),
            leases=new_lease_table(limits.max_leases),
            changes=new_changes(),
            events=new_events(_EVENTS),
            records=new_records(_RECORDS if sessions != "none" else 0, sessions == "all"),
            clock=new_clock(),
            counters=np.zeros(len(COUNTERS), np.int64),
            moments=np.zeros(MOMENTS, np.int64),
            ahead=np.zeros(GROUP, np.int64),
            peers=np.zeros(4, np.int64),
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
            state.lookups.known,
            self.settings.kafka.sensor,
            frozenset(self.settings.blocking.kinds),
            self._alone,
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
                round(alerts.candidate_at * CENTIBANS) if self._candidates else _NEVER,
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
        self.model = settings.model
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
        subscribers = new._replace(classes=classes[:needed])
        reclassify_customers(self._state.hosts, self._state.leases, subscribers)
        self._state = self._state._replace(subscribers=subscribers)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a snapshot must hold; with :meth:`facts`."""
        kept = {
            name: array
            for name, array in arrays_of(self._state)
            if name.startswith(_KEPT) and not name.startswith(_MADE_ANEW)
        }
        kept |= {f"decoder.{name}": a for name, a in self.decoder.arrays().items()}
        return kept | kept_of(self._state.lookups.known) | {_WAITING: self.leases_waiting}

    @property
    def leases_waiting(self) -> NDArray[np.void]:
        """Leases that were told and have not begun."""
        changes = self._state.changes
        return changes.rows[int(changes.at[0]) :]

    @property
    def packet_time(self) -> int:
        """Of the newest frame, nanoseconds since 1970; 0: none came yet."""
        return self._last_ts or 0

    def facts(self) -> dict[str, Any]:
        """What a snapshot must hold beside :meth:`arrays`."""
        return {"last_ts": self._last_ts}

    def restore(self, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
        """Take over a snapshot. Raises SnapshotError, and is as before then."""
        if _CLASSES not in arrays:
            raise SnapshotError(f"{_CLASSES} is missing")
        classes = table(len(arrays[_CLASSES]), CLASS)
        waiting = table(len(arrays.get(_WAITING, ())), CHANGE)
        own = {_CLASSES: classes, _WAITING: waiting} | (learnt := room_for(arrays))
        restore(self.arrays() | own, arrays)
        take_over(self._state.lookups.known, learnt)
        index_again(self._state.hosts)
        self._await(waiting)
        self._last_ts = facts["last_ts"]
        self._reclassify(classes)
        self._strain.begin(self._state)

    def adopt(self, alert: Alert) -> bool:
        """Take over an alert from the journal that is newer than the snapshot; False: no room."""
        subscribers = self._state.subscribers
        hi, lo = key = parse_host(alert.host, subscribers)
        if alert.customer:
            key = parse_host(alert.customer, subscribers)
        done: bool = adopt(
            self._state, np.uint64(key[0]), np.uint64(key[1]), class_of(subscribers, hi, lo),
            alert.opened,
            alert.revision,
            round(alert.score * CENTIBANS), alert.ts // SECOND, alert.severity != "medium",
            min(alert.proven, 0xFFFFFFFF), KINDS.index(alert.abuse), alert.state == "closed",
        )  # fmt: skip
        return done

    def lend(self, told: NDArray[np.void], unfit: dict[str, int]) -> None:
        """Leases that were told (dtype CHANGE); they wait for their time.

        ``unfit``: what was told and is no lease, by counter (UNFIT).
        """
        self._leases_unfit = {name: n + unfit[name] for name, n in self._leases_unfit.items()}
        waiting = self.leases_waiting
        rows = np.concatenate([in_pieces(waiting), in_pieces(told)]).view(CHANGE)
        self._await(copied(rows, np.argsort(rows["ts"], kind="stable")))

    def _await(self, rows: NDArray[np.void]) -> None:
        changes = new_changes(rows, self.settings.customers.ttl * SECOND)
        self._state = self._state._replace(changes=changes)
        self._state.moments[DUE] = 0

    @property
    def moment(self) -> int:
        """Packet time from which on what is told now may have an effect: all before is done."""
        return int(self._state.clock[NOW] - self._state.clock[OFFSET]) + 1

    def leases_in_force(self) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Leases that live now (dtype CHANGE), and when each was told, packet time."""
        return in_force(self._state.leases, self.settings.customers.ttl * SECOND)

    def pool_visibility(self, shown: NDArray[np.int64], mine: int) -> None:
        """Judge together with other workers whether the mirror shows replies.

        ``shown`` (int64[workers, 4]) is shared memory; row ``mine`` is written, the others read.
        """
        counters = self._state.counters
        seen = counters[COUNTERS["answered"]] + counters[COUNTERS["refused"]]
        others = "attempts", "replies_to_proven", "attempts_of_proven"
        shown[mine] = seen, *(counters[COUNTERS[name]] for name in others)
        self._state.peers[:] = shown.sum(axis=0) - shown[mine]

    def run(self, blocks: Iterable[Block | Decoded]) -> Iterator[Output]:
        """All that a capture gives: each block, then its end."""
        for block in blocks:
            yield from self.feed(block)
        yield from self.finish()

    def feed(self, block: Block | Decoded) -> Iterator[Output]:
        """Take one block. At least one output is given, the last with the end of its segments."""
        return self._one_at_a_time(self._feed(block))

    def follow(self, segments: NDArray[np.void], data: NDArray[np.uint8]) -> Iterator[Output]:
        """Take ``segments`` (dtype SEGMENT, at least one) that were decoded elsewhere.

        ``data`` has their headers and payloads, and what of an IP header says their TTL.
        """
        return self._one_at_a_time(self._follow(segments, data))

    def _follow(self, segments: NDArray[np.void], data: NDArray[np.uint8]) -> Iterator[Output]:
        newest = int(segments["ts"].max())
        self._last_ts = newest if self._last_ts is None else max(self._last_ts, newest)
        yield from self._track(Block(data, _NO_FRAMES, 0, ""), segments)

    @property
    def seed(self) -> np.uint64:
        """Of the flow hash; segments that are followed must have this one's."""
        return self.decoder.seed

    def catch_up(self, ts: int) -> Iterator[Output]:
        """Nothing more will come that is older than packet time ``ts``: what was due by then."""
        return self._one_at_a_time(self._catch_up(ts))

    def finish(self) -> Iterator[Output]:
        """The capture has ended: let happen what was due by its last frame.

        Where sessions are asked for, those still open end, too.
        """
        return self._one_at_a_time(self._finish())

    def _one_at_a_time(self, outputs: Iterator[Output]) -> Iterator[Output]:
        """The same, of which nobody forgets to take some: what is not taken is not done."""
        if self._giving:
            raise RuntimeError("outputs of the call before were not all taken")
        self._giving = True
        return self._given(outputs)

    def _given(self, outputs: Iterator[Output]) -> Iterator[Output]:
        try:
            yield from outputs
        finally:
            self._giving = False

    def _feed(self, block: Block | Decoded) -> Iterator[Output]:
        if isinstance(block, Decoded):
            block, segments, self._counts, _ = block
        else:
            segments, self._counts = self.decoder.decode(block), self.decoder.counts
        newest = int(block.frames["ts"].max())
        self._last_ts = newest if self._last_ts is None else max(self._last_ts, newest)
        yield from self._track(block, segments)

    def _track(self, block: Block, segments: NDArray[np.void]) -> Iterator[Output]:
        """Take segments whose bytes are those of ``block``."""
        given = at = 0
        while at < len(segments):
            at = track(segments, block.data, at, self._state)
            self._empty_buffers()
            if self._drain.is_much:
                yield self._drain.give(block, segments[given:at])
                given = at
        yield self._drain.give(block, segments[given:])

    def _catch_up(self, ts: int) -> Iterator[Output]:
        if self._last_ts is None:
            return
        yield from self._until_done(catch_up, ts)
        yield self._drain.give(None)

    def _finish(self) -> Iterator[Output]:
        if self._last_ts is None:
            return
        yield from self._until_done(catch_up, self._last_ts)
        emit_flood(self._state.flood)
        self._empty_buffers()
        if self._ends_sessions:
            yield from self._until_done(end_all, self._last_ts)
        yield self._drain.give(None)

    def _until_done(self, step: Callable[[Tracking, int], bool], ts: int) -> Iterator[Output]:
        """Call a kernel that stops when the buffers are full until it has done all by ``ts``."""
        done = False
        while not done:
            done = step(self._state, ts)
            self._empty_buffers()
            if self._drain.is_much:
                yield self._drain.give(None)

    def _empty_buffers(self) -> None:
        leases = self._state.leases
        if size := int(leases.meta[LEASE_COUNTERS["_refusals"]]):
            for line, reason in leases.refusals[:size].tolist():
                self.leases_refused.setdefault(reason, line)
            leases.meta[LEASE_COUNTERS["_refusals"]] = 0
        self._drain.drain(self._state, self._composer, self.packet_time)

    def fan_out(self) -> list[int]:
        """Hosts of the last hour by networks contacted in it, in the steps of ``histogram``."""
        steps = np.zeros(len(STEPS) + 1, np.int64)
        fan_out(self._state.hosts, steps)
        counts: list[int] = steps.tolist()
        return counts

    def counters(self) -> dict[str, dict[str, int]]:
        """Every counter, by stage. Those of ``frames`` add up to the frames read."""
        state = self._state
        return {
            "frames": {o.name.lower(): int(self._counts[o]) for o in Outcome},
            "connections": _counted(state.counters, COUNTERS)
            | {
                "connections_evicted": int(state.connections.meta[EVICTED]),
                "unanswered_forgotten": int(state.connections.meta[FORGOTTEN]),
                "sessions_open": int(state.sessions.meta[SESSIONS]),
                "sessions_passed_over": self._drain.passed_over,
                self._drain.door.counter: self._drain.door.refused,
                "pieces_held": int(state.sessions.meta[PIECES]),
                "pieces_refused": int(state.sessions.meta[PIECES_REFUSED]),
                "pipeconnect_forgotten": int(state.sessions.meta[EARLY_FORGOTTEN]),
            },
            "hosts": _counted(state.hosts.meta, META) | _counted(state.meetings.meta, MEETINGS),
            "customers": _counted(state.leases.meta, LEASE_COUNTERS) | self._leases_unfit,
            "dns": _counted(state.lookups.meta, LOOKUP_COUNTERS)
            | _counted(state.lookups.known.counts, ANSWER_COUNTERS)
            | {
                "exchangers_known": in_use(state.lookups.known.addresses.rowindex),
                NAMES.counter: NAMES.refused,
            },
            "alerts": {
                "alerts_open": int(state.alerts.meta[OPEN_ALERTS]),
                "alerts_refused": int(state.alerts.meta[REFUSED_ALERTS]),
                "alerts_open_unproven": int(state.alerts.meta[UNPROVEN_ALERTS]),
                "siblings_forgotten": self._drain.siblings.forgotten,
                "hosts_without_alert_in_floods": int(state.alerts.meta[FOLDED_ALERTS]),
            },
            "time": {
                "clock_steps_back": int(state.clock[STEPS_BACK]),
                "clock_steps_forward": int(state.clock[STEPS_FORWARD]),
            },
        }

    def reasons(self) -> dict[str, str]:
        """What readers did not expect, the first of each: why, by the counter it is told under."""
        return {door.counter: door.reason for door in (NAMES, self._drain.door) if door.refused}

    def strain(self) -> list[Sentence]:
        """What found no room since it was said last; each is said every ten minutes at most."""
        return self._strain.look(self._state, self.packet_time)
