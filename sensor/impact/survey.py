"""A survey: who uses foreign port 25 for what, from sessions and alerts as they come."""

from collections.abc import Iterable
from pathlib import Path

from sensor.alerts.alert import Alert
from sensor.base.database import DatabaseError
from sensor.hosts.subscribers import Subscribers
from sensor.impact.judgement import KINDS, Judgement, judge
from sensor.impact.report import Report
from sensor.impact.store import UsageStore
from sensor.impact.usage import Usages
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from sensor.tracking.output import Output

__all__ = ["Survey"]


class Survey:
    """Sessions and alerts in, judgements out."""

    def __init__(self, subscribers: Subscribers, most: int) -> None:
        self.usages = Usages(subscribers, most)
        self._alerts: dict[str, Alert] = {}
        self._blocked: set[str] = set()

    def add(self, outputs: Iterable[Output]) -> None:
        """Sessions and alerts of a pipeline."""
        for output in outputs:
            self.usages.add(one.session for one in output.sessions)
            self.alerts(output.alerts)

    def alerts(self, told: Iterable[Alert]) -> None:
        """Messages of alerts, in order."""
        for alert in told:
            whose = alert.customer or alert.host
            if alert.state != "closed":
                self._alerts[whose] = alert
            if alert.block_recommended:
                self._blocked.add(whose)

    def recall(self, state: Path, since: int) -> None:
        """What a live sensor kept, of days since ``since`` (ns). Raises DatabaseError."""
        stores = StateFolder(state).usage_stores
        if not stores:
            raise DatabaseError(f"{state}: no usage was kept; set live.usage = true")
        for path in stores:
            store = UsageStore(path, read_only=True)
            for usage in store.read(since):
                self.usages.put(usage)
            store.close()
        for path in StateFolder(state).journals:
            journal = Journal(path, read_only=True)
            self.alerts(alert for _, alert in journal.read(since=since))
            journal.close()

    def judgements(self) -> list[Judgement]:
        """Of every subscriber, by kind, those with most sessions first."""
        judged = [
            judge(one, self._alerts.get(one.host), one.host in self._blocked) for one in self.usages
        ]
        return sorted(judged, key=lambda one: (KINDS.index(one.kind), -one.sessions, one.host))

    def report(self, date: str) -> Report:
        """The whole of it; ``date`` is for the notices' text."""
        judged = self.judgements()
        return Report(
            first=min((one.first for one in judged), default=0),
            last=max((one.last for one in judged), default=0),
            date=date,
            subscribers=judged,
            left_out=self.usages.left_out,
        )
