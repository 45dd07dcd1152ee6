"""The recorder: keeps in a state folder what a pipeline gives, for live and replay alike.

    alerts      in the journal, before they are told (:mod:`sensor.service.alert_writer`)
    candidates  in the journal
    samples     in the journal: how it goes, in figures
    sessions    of hosts with an alert or once a candidate, as soon as some have come together
    packets     in the evidence store
    usage       counted here, written by whoever takes it: live with each snapshot, so that after a
                crash no connection is counted twice. A replay keeps none, for ``port25 impact``
                counts it from the captures themselves.

What the disk refuses stops nobody: it is said once, and counted.
"""

from collections.abc import Callable
from typing import Final

from sensor.alerts.alert import Alert
from sensor.alerts.candidate import Candidate
from sensor.alerts.vitals import Vitals
from sensor.base.database import DatabaseError
from sensor.base.sentences import Sentence, sentence
from sensor.evidence.store import Store
from sensor.impact.store import UsageStore
from sensor.impact.usage import Usages
from sensor.pipeline import Pipeline
from sensor.service.alert_writer import AlertWriter
from sensor.settings import Settings, subscribers_of
from sensor.smtp.record import Session
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from sensor.state.sessions import SessionStore
from sensor.tracking.output import EndedSession, Output

__all__ = ["Recorder", "Sampler"]

_SESSIONS_AT_ONCE: Final = 5_000
"""Sessions that come together before they are written in any case."""
_MOST_SESSIONS: Final = 2000
"""Sessions a second that are read at all, for keeping must not take long; some 3 % of a core."""


class Recorder:
    """Keeps the outputs of one pipeline; the only writer of its files."""

    def __init__(
        self,
        files: StateFolder,
        settings: Settings,
        notify: Callable[[str, Sentence], None],
        usage: bool,
    ) -> None:
        """``notify`` is given kind and text of what a person should know; ``usage``: keep it.

        The folder must be there. Raises DatabaseError, OSError.
        """
        files.evidence.mkdir(exist_ok=True)
        self.journal = Journal(files.journal)
        self._files = files
        self._settings = settings
        self._notify = notify
        self._sessions = SessionStore(files.sessions)
        evidence = settings.evidence
        self._packets = Store(
            files.evidence, evidence.max_megabytes * 1_000_000, evidence.max_hours
        )
        self._usages: Usages | None = None
        if usage:
            self._usages = Usages(subscribers_of(settings), settings.limits.max_hosts)
        self._sampler: Sampler | None = None
        self._alerts = AlertWriter(self.journal, notify)
        self._sessions_waiting: list[tuple[str, Session]] = []
        self._not_kept = {"journal_failures": 0, "sessions_not_kept": 0, "candidates_not_kept": 0}

    def new_pipeline(self) -> Pipeline:
        """A pipeline whose outputs hold what is to be kept."""
        suspects = self._settings.evidence.sessions > 0
        return Pipeline(
            self._settings,
            sessions="all" if self._usages is not None else "suspects" if suspects else "none",
            candidates=True,
            most_sessions=_MOST_SESSIONS,
        )

    def reload(self, settings: Settings) -> None:
        """Other settings say who is a subscriber, and what may be kept of a packet."""
        self._settings = settings
        if self._usages is not None:
            self._usages.reload(subscribers_of(settings))

    def keep(self, output: Output) -> list[Alert]:
        """Keep an output; its alerts that are to be told: those the journal did not hold before."""
        self._keep_candidates(output.candidates)
        fresh = self._alerts.write(output.alerts)
        self._keep_sessions(output.sessions)
        self._keep_packets(output)
        return fresh

    def flush(self) -> None:
        """Try again what waits, and write what has come together."""
        self._alerts.write([])
        self._write_sessions()

    def begin_samples(self, pipeline: Pipeline) -> None:
        """Samples are of what comes from now on."""
        self._sampler = Sampler(pipeline)

    def sample(
        self, seconds: float, packets: int | None = None, dropped: int = 0, loss: float = 0.0
    ) -> None:
        """Keep a sample of the last ``seconds``, as :class:`Sampler` takes it.

        One that the disk refuses is gone, as the next comes.
        """
        sample = self._sampler.sample(seconds, packets, dropped, loss) if self._sampler else None
        if sample is not None:
            try:
                self.journal.add_sample(sample)
            except DatabaseError:
                self._not_kept["journal_failures"] += 1

    def take_usage(self) -> Callable[[], None]:
        """What was used since it was last taken, as a function that writes it.

        Any process may call that. It raises DatabaseError.
        """
        used = self._usages.drain() if self._usages is not None else []

        def write() -> None:
            if used:
                store = UsageStore(self._files.usage)
                store.add(used, self._settings.live.usage_days)
                store.close()

        return write

    def close(self) -> int:
        """Write what is left and close the files; how many alerts are not on disk."""
        self.flush()
        self._sessions.close()
        self._packets.close()
        self.journal.close()
        return self._alerts.waiting

    @property
    def counters(self) -> dict[str, int]:
        """What was kept, what waits, and what was not kept."""
        alerts = {
            "outbox_alerts": self._alerts.waiting,
            "journal_failures": self._not_kept["journal_failures"] + self._alerts.failures,
        }
        return self._packets.counters | self._not_kept | alerts

    def _keep_candidates(self, candidates: list[Candidate]) -> None:
        if candidates:
            try:
                self.journal.note(candidates)
            except DatabaseError:  # nobody waits for them
                self._not_kept["candidates_not_kept"] += len(candidates)

    def _keep_sessions(self, ended: list[EndedSession]) -> None:
        if self._usages is not None:
            self._usages.add(one.session for one in ended)
        if self._settings.evidence.sessions:
            self._sessions_waiting += [(one.suspect, one.session) for one in ended if one.suspect]
            if len(self._sessions_waiting) >= _SESSIONS_AT_ONCE:
                self._write_sessions()

    def _write_sessions(self) -> None:
        evidence, waiting = self._settings.evidence, self._sessions_waiting
        if waiting:
            try:
                self._sessions.add(waiting, evidence.sessions, evidence.max_hours)
            except DatabaseError:
                self._not_kept["sessions_not_kept"] += len(waiting)
            self._sessions_waiting = []

    def _keep_packets(self, output: Output) -> None:
        if output.block is None:
            return
        fault = self._packets.fault
        payload = self._settings.privacy == "evidence"
        self._packets.keep(output.block, output.segments, payload)
        if self._packets.fault and not fault:
            self._notify("evidence", sentence("evidence.packets", error=self._packets.fault))


class Sampler:
    """Takes samples of how it goes with one pipeline, from now on."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._before = self._count()

    def _count(self) -> tuple[int, int, int]:
        counters = self._pipeline.counters()
        connections = counters["connections"]
        return sum(counters["frames"].values()), connections["attempts"], connections["answered"]

    def sample(
        self, seconds: float, packets: int | None = None, dropped: int = 0, loss: float = 0.0
    ) -> Vitals | None:
        """What happened in the last ``seconds``; None: nothing can be said of that time.

        ``packets``: those that came, if some were ``dropped`` before they could be read.
        """
        pipeline = self._pipeline
        now, before = self._count(), self._before
        self._before = now
        frames, syns, answered = (n - m for n, m in zip(now, before, strict=True))
        if not pipeline.packet_time or seconds <= 0:
            return None
        counters = pipeline.counters()
        return Vitals(
            ts=pipeline.packet_time,
            seconds=round(seconds, 3),
            packets=frames if packets is None else packets,
            dropped=dropped,
            syns=syns,
            answered=answered,
            loss=loss,
            hosts=counters["hosts"]["hosts"],
            alerts_open=counters["alerts"]["alerts_open"],
            fan_out=pipeline.fan_out(),
        )
