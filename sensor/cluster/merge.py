"""Batches of many sensors as one stream of segments in the order of packet time.

One partition's. Each sensor's own order always stands: a segment's place is the newest packet time
of that sensor so far; equal places go as ``decode.taps`` says, else by the sensors' names. The
stream goes on as far as the slowest living sensor has promised (the *frontier*), less the skew that
clocks may have. What comes for a place the stream has passed is late: left out, and counted.

A sensor is left behind when nothing came from it for ``patience``, by the log's own clock (Kafka's
time of each message), so that the same log always gives the same stream, whoever reads it and when.
For as long nothing goes on after the first message: other sensors may only be about to speak. When
all have said their end, nothing more moves the frontier; who reads calls :meth:`Merge.settle` then.

What waits is bounded: beyond the ceiling the older half waits no longer, and is counted.
"""

from collections import deque
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import INTERPRETED, copied, table
from sensor.base.units import SECOND
from sensor.cluster.batch import Batch
from sensor.cluster.parts import Ordered, Part, below, bytes_of, go, together
from sensor.cluster.speakers import MOST_SENSORS, Speakers
from sensor.decode.causes import ENDS, ENDS_ROWS, put_right
from sensor.decode.sharing import LEAD, unpack
from sensor.decode.taps import (
    BEGUN,
    BEGUN_ROWS,
    MOST_TAPS,
    TAPPED,
    TAPPED_ROWS,
    mark_copies,
    take_turns,
)

__all__ = ["COUNTERS", "Merge", "Stream", "Tap"]

COUNTERS: Final = (
    "segments_merged",
    "segments_copied",  # the same packet, from another sensor
    "segments_put_right",  # stamped after what answers them
    "segments_late",
    "segments_unwaited",  # beyond the ceiling of what may wait
    "batches_missing",  # numbers that never came
    "batches_repeated",
    "sensors_left_behind",  # times
    "sensors_forgotten",  # runs left behind, where too many are known
    "sensors_of_one_name",  # times that a run spoke again after another of its name
    "batches_crowded",  # of a run beyond the ceiling
    "streams_set_back",  # times all clocks were set back
)
_NEVER: Final = -(1 << 62)
_GAP: Final = 1000
"""Milliseconds that a silence of all sensors counts for, at most."""
_FACTS: Final = ("number", "highest", "mark", "last", "heard", "ended", "live", "left_behind")
"""What a snapshot holds of a tap."""


class Stream(NamedTuple):
    """Segments in order, ready to be followed."""

    segments: NDArray[np.void]
    """dtype SEGMENT"""
    data: NDArray[np.uint8]


class Tap:
    """One run of one sensor as this partition knows it."""

    def __init__(self, name: str, bit: int) -> None:
        self.name = name
        self.bit: Final = bit
        """that stands for it where copies are looked for"""
        self.number = 0
        """of the next batch"""
        self.highest = _NEVER
        """newest packet time"""
        self.mark = _NEVER
        """nothing older will come"""
        self.last = 0
        """packet time of its newest segment, or frame if it said so at its end"""
        self.heard = 0
        """when its newest message came, in milliseconds of the log's clock"""
        self.ended = False
        self.live = False
        self.left_behind = False
        self.waiting: deque[Part] = deque()


class Merge:
    """Take batches in the order of the log with :meth:`add`; then :meth:`take` what is ready."""

    def __init__(
        self, seed: np.uint64, skew: float, copies: float, patience: float, ceiling: int
    ) -> None:
        """``seed`` of the flow hash; copies of a packet come within ``copies`` s (0: none do).

        ``ceiling``: bytes that may wait.
        """
        self._seed = seed
        self._skew = round(skew * 1e9)
        self._copies = round((copies + skew) * 1e9) if copies else -1
        self._patience = round(patience * 1000)
        self._clock = 0
        """the log's, in milliseconds, as far as it is worth; see :meth:`_time`"""
        self._heard_at: int | None = None
        self._ceiling = ceiling
        self._tapped = table(TAPPED_ROWS, TAPPED)
        self._begun_flows = table(BEGUN_ROWS, BEGUN)
        self._ends = table(ENDS_ROWS, ENDS)
        self._work = np.zeros((2, MOST_TAPS), np.int64)
        self.ahead = np.zeros((MOST_TAPS, MOST_TAPS), np.int64)
        """by how many nanoseconds, at least, the clock of the first is ahead of the second's"""
        self._held = 0
        self._begun: int | None = None
        self._last = 0
        self.taps: dict[tuple[str, str], Tap] = {}
        """by sensor and run"""
        self.speakers = Speakers(self._patience)
        self._crowded: int | None = None
        """when a batch was crowded out last"""
        self._behind: int | None = None
        """since when all sensors are behind the frontier"""
        self.frontier = _NEVER
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.news: list[tuple[str, str]] = []
        """what happened, and to which sensor, for who tells people"""

    @property
    def all_ended(self) -> bool:
        """Whether every sensor has said its end, or was left behind."""
        return all(tap.ended or tap.left_behind for tap in self.taps.values())

    @property
    def waits(self) -> bool:
        """Whether any segment waits."""
        return self._held > 0

    def add(self, batch: Batch, at: int, waiting: bool = False) -> None:
        """Take a batch, which came at ``at`` (ms of the log's clock); the frontier moves on.

        With ``waiting`` it does not, unless too much waits.
        """
        head = batch.head
        again, several = self.speakers.meet(head.sensor, head.run, self._clock)
        self.counters["sensors_of_one_name"] += again
        if several:
            self.news.append(("another that runs has its name", head.sensor))
        tap = self.taps.get((head.sensor, head.run)) or self._new(head.sensor, head.run)
        if tap is None:
            self._crowd_out(head.sensor)
            return
        if head.number < tap.number:
            self.counters["batches_repeated"] += 1
            return
        self.counters["batches_missing"] += head.number - tap.number
        tap.number = head.number + 1
        at = self._time(at)
        self._begun = at if self._begun is None else self._begun
        tap.heard = at
        if tap.left_behind:
            tap.left_behind = False
            self.news.append(("back", tap.name))
        tap.live, tap.ended = head.live, head.end
        if head.segments:
            self._put(tap, batch)
        tap.mark = max(tap.mark, head.mark or _NEVER)
        # What it sends out of order has its place where the sensor is by then.
        tap.highest = max(tap.highest, tap.mark)
        tap.last = max(tap.last, head.last)
        self._last = max(self._last, head.last)
        if not waiting:
            self._go_on(at)
        if self._held > self._ceiling:
            self._hurry()

    def _time(self, at: int) -> int:
        """The time by which silence is measured: the log's, but no gap counts for much.

        Sensors that live send twice a second. Where nothing at all came for long, it was the
        brokers that were away, and no sensor is to be left behind for that.
        """
        gap = 0 if self._heard_at is None else at - self._heard_at
        self._heard_at = at
        self._clock += max(0, min(gap, self._patience // 2, _GAP))
        return self._clock

    def _crowd_out(self, sensor: str) -> None:
        """There is no room for what it sent: said once, and again if there was room for long."""
        self.counters["batches_crowded"] += 1
        if self._crowded is None or self._clock - self._crowded > self._patience:
            self.news.append((f"left out, for {MOST_SENSORS} runs of sensors are known", sensor))
        self._crowded = self._clock

    def _new(self, sensor: str, run: str) -> Tap | None:
        """A sensor began; what it was before is over. None: there are too many."""
        # What those that ended have waiting is bounded by the ceiling.
        running = {k: t for k, t in self.taps.items() if not t.ended}
        if len(running) >= MOST_SENSORS:
            silent = [(t.heard, k) for k, t in running.items() if t.left_behind and not t.waiting]
            if not silent:
                return None
            self._leave(min(silent)[1])
            self.counters["sensors_forgotten"] += 1
        if not self.speakers.several(sensor):
            for tap in self.taps.values():
                tap.ended |= tap.name == sensor
        used = {tap.bit for tap in self.taps.values()}
        bit = next((bit for bit in range(MOST_TAPS) if bit not in used), 0)
        if bit not in used:  # what was known of another's clock
            self.ahead[bit] = self.ahead[:, bit] = 0
        tap = self.taps[sensor, run] = Tap(sensor, bit)
        tap.number = self.speakers.next_batch(sensor, run)
        self.taps = dict(sorted(self.taps.items()))
        return tap

    def _leave(self, which: tuple[str, str]) -> None:
        """Follow a run no more; what comes late of it is known by its number."""
        self.speakers.leave(*which, self.taps.pop(which).number)

    def _put(self, tap: Tap, batch: Batch) -> None:
        """Let the segments of a batch wait, but for those that are late."""
        rows = batch.rows
        size = int(rows["captured"].sum(dtype=np.int64) + rows["header"].sum(dtype=np.int64))
        data = np.empty(size + LEAD * len(rows), np.uint8)
        unpack(rows, batch.ttls, batch.packed, self._seed, 0, data)
        places = np.maximum(np.maximum.accumulate(rows["ts"]), tap.highest)
        tap.highest = int(places[-1])
        late = int(np.searchsorted(places, self.frontier))
        self.counters["segments_late"] += late
        if late < len(rows):
            part = Part(places, rows, data, np.zeros(len(rows), np.bool_)).cut(late, len(rows))
            tap.waiting.append(part)
            self._held += bytes_of(part)

    def _go_on(self, at: int) -> None:
        """Move the frontier on, as a message came at ``at``."""
        for tap in self.taps.values():
            if not tap.ended and not tap.left_behind and at - tap.heard > self._patience:
                tap.left_behind = True
                self.counters["sensors_left_behind"] += 1
                self.news.append(("left behind", tap.name))
        if self._begun is None or at - self._begun < self._patience:
            return
        if running := self._running():
            self.frontier = max(self.frontier, min(t.mark for t in running) - self._skew)
            self._go_back(running, at)

    def _running(self) -> list[Tap]:
        """Those that have not ended and are not left behind."""
        return [t for t in self.taps.values() if not t.ended and not t.left_behind]

    def _go_back(self, running: list[Tap], at: int) -> None:
        """Where all that run are behind the frontier for ``patience``, their clocks were set back.

        Or those ahead are gone. What they send would be late until their clocks are there again;
        that of the pipeline bears it that time goes back.
        """
        known = [t for t in running if t.mark > _NEVER]
        if not known or max(t.mark for t in known) >= self.frontier:
            self._behind = None
            return
        self._behind = at if self._behind is None else self._behind
        if at - self._behind <= self._patience:
            return
        newest = max(known, key=lambda tap: tap.mark)
        far = (self.frontier - newest.mark) / SECOND
        self.news.append(
            (f"it runs {far:,.0f} s behind what was followed: time goes back", newest.name)
        )
        self.counters["streams_set_back"] += 1
        self.frontier = min(tap.mark for tap in known) - self._skew
        self._last = max(tap.last for tap in known)
        self._behind = None

    def awaited(self) -> list[Tap]:
        """Sensors that live and have the others wait for what they capture."""
        return [t for t in self._running() if t.live]

    def lags(self) -> dict[Tap, float]:
        """Of each sensor that runs, by how many seconds it is behind the others; below 0: ahead.

        They are where the one in the middle is of those awaited, of two the newer. Those that
        have not said how far they are have no lag.
        """
        places = sorted(tap.highest for tap in self.awaited() if tap.highest > 0)
        middle = places[len(places) // 2] if places else self._last
        running = (t for t in self.taps.values() if not t.ended and t.highest > 0)
        return {tap: (middle - tap.highest) / SECOND for tap in running}

    def settle(self) -> None:
        """All have said their end, and nothing more comes: what waits need not."""
        for tap in self.taps.values():
            if tap.waiting:  # not by marks: a wrong one would make all that comes later late
                self.frontier = max(self.frontier, int(tap.waiting[-1].places[-1]) + 1)

    def _hurry(self) -> None:
        """Too much waits: the older half of it no longer does."""
        places = np.concatenate([p.places for t in self.taps.values() for p in t.waiting])
        middle = len(places) // 2
        self.frontier = max(self.frontier, int(np.partition(places, middle)[middle]) + 1)
        self.counters["segments_unwaited"] += int((places < self.frontier).sum())

    @property
    def last(self) -> int:
        """Packet time of the newest segment, or end, of all sensors; 0: none yet."""
        return self._last

    def take(self) -> Stream | None:
        """All segments below the frontier, in order; None when there are none.

        Those within ``skew`` beyond it are looked at, for one may be what another answers.
        """
        parts: list[Part] = []
        taps: list[int] = []
        if self._who_waits(self.frontier):
            beyond = self.frontier + self._skew
            alone = self._who_waits(beyond) == 1  # then nobody answers another
            for tap in self.taps.values():
                for part in below(tap.waiting, self.frontier if alone else beyond):
                    parts.append(part)
                    taps.append(tap.bit)
        stream = self._emit(parts, taps) if parts else None
        for tap in self.taps.values():
            self._drop(tap)
        for which in [k for k, t in self.taps.items() if t.ended and not t.waiting]:
            self._leave(which)
        return stream

    def _who_waits(self, place: int) -> int:
        """How many sensors have segments below a place."""
        return sum(bool(t.waiting) and t.waiting[0].places[0] < place for t in self.taps.values())

    def _emit(self, parts: list[Part], taps: list[int]) -> Stream:
        whole = self._in_turn(together(parts, taps))
        stop = int(np.searchsorted(whole.places, self.frontier))
        segments, whose = whole.segments[:stop], whole.taps[:stop]
        if len(set(taps)) > 1 and (order := self._put_right(whole, stop)) is not None:
            segments = copied(whole.segments, order)
            whose = whole.taps[order]
            go(parts, whole.origin[order[order >= stop]])
        copies = 0
        if self._copies >= 0:
            copies = mark_copies(segments, whose, self._copies, self._tapped)
        self.counters["segments_copied"] += int(copies)
        self.counters["segments_merged"] += len(segments)
        return Stream(segments, whole.data)

    def _put_right(self, whole: Ordered, stop: int) -> NDArray[np.int64] | None:
        """The numbers of those whose turn it is, where clocks differ; None: as they stand."""
        new = np.zeros(len(whole.segments), np.int64)
        first = np.zeros(len(whole.segments), np.int64)
        given = whole.segments, whole.data, whole.places, whole.taps
        moved = put_right(*given, stop, self._skew, self._ends, self.ahead, new, first)
        if not moved:
            return None
        self.counters["segments_put_right"] += int(moved)
        order = np.lexsort((first, new))
        return order[new[order] < self.frontier].astype(np.int64)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays and facts that a snapshot must hold."""
        arrays: dict[str, NDArray[Any]] = {
            "copies": self._tapped, "flows": self._begun_flows, "ends": self._ends,
            "ahead": self.ahead,
        }  # fmt: skip
        taps = []
        for n, ((name, run), tap) in enumerate(self.taps.items()):
            taps.append([name, run, tap.bit, {f: getattr(tap, f) for f in _FACTS}])
            for k, part in enumerate(tap.waiting):
                for field, array in part._asdict().items():
                    arrays[f"tap.{n}.{k}.{field}"] = array
        return arrays, {
            "taps": taps, "frontier": self.frontier, "begun": self._begun, "last": self._last,
            "counters": self.counters, "clock": self._clock, "heard_at": self._heard_at,
            "speakers": self.speakers.state(), "behind": self._behind,
        }  # fmt: skip

    def restore(
        self, seed: np.uint64, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]
    ) -> None:
        """Go on from what :meth:`state` gave, with the flow hash's ``seed`` of then."""
        self._seed = seed
        own, _ = self.state()
        for name, array in own.items():
            array[:] = arrays[name]
        self.frontier, self._begun, self._last = facts["frontier"], facts["begun"], facts["last"]
        self._behind = facts.get("behind")
        self.counters |= facts["counters"]
        self._clock, self._heard_at = facts["clock"], facts["heard_at"]
        self.speakers.restore(facts["speakers"])
        for n, (name, run, bit, known) in enumerate(facts["taps"]):
            tap = self.taps[name, run] = Tap(name, bit)
            for field in _FACTS:
                setattr(tap, field, known[field])
            k = 0
            while f"tap.{n}.{k}.places" in arrays:
                part = Part(*(arrays[f"tap.{n}.{k}.{field}"] for field in Part._fields))
                if INTERPRETED:
                    part = part._replace(rows=part.rows.view(np.recarray))
                tap.waiting.append(part)
                self._held += bytes_of(part)
                k += 1

    def skew(self) -> dict[str, int]:
        """Of each sensor, by how many nanoseconds at least its clock is ahead of another's.

        Where one began anew, as its last run has it.
        """
        taps = sorted(self.taps.values(), key=lambda tap: not tap.ended)
        return {tap.name: int(self.ahead[tap.bit].max()) for tap in taps}

    def _in_turn(self, stream: Ordered) -> Ordered:
        """The same, with equal places by turns."""
        order = np.zeros(len(stream.segments), np.int64)
        heads, ends = self._work
        given = stream.segments, stream.places, stream.taps
        if not take_turns(*given, self._begun_flows, heads, ends, order):
            return stream
        rows = copied(stream.segments, order)
        taps, origin = stream.taps[order], stream.origin[order]
        return stream._replace(segments=rows, taps=taps, origin=origin)

    def _drop(self, tap: Tap) -> None:
        """Forget what one sensor had below the frontier."""
        while tap.waiting and tap.waiting[0].places[0] < self.frontier:
            part = tap.waiting.popleft()
            self._held -= bytes_of(part)
            n = int(np.searchsorted(part.places, self.frontier))
            if n < len(part.places):
                rest = part.cut(n, len(part.rows))
                tap.waiting.appendleft(rest)
                self._held += bytes_of(rest)
