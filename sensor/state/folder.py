"""What a state folder holds: every file in it, by name. No other file of the program names one.

    journal.sqlite     alerts; what all that comes after the sensor reads
    blocking.sqlite    decisions to block (the ledger)
    desk.sqlite        what persons at the abuse desk decide
    outbox.sqlite      how far each sink is
    audit.sqlite       who looked at packets, and who did what
    keys.sqlite        who is logged in to the page, and tokens made on it
    complaints.sqlite  reports of abuse, and lists that subscribers are on (port25 complaints)
    cursors.key        what seals cursors of who is bound to prefixes
    sessions.sqlite    what hosts with an alert, or near one, said
    usage.sqlite       what subscribers use foreign port 25 for (``live.usage``)
    evidence/          packets, and the log of who was given some
    state.p25          snapshot of the tables
    decide.json        how far the topic of alerts is in the journal (port25 decide)
    fleet.json         all machines that work together, by their last word (port25 decide)
    kafka.json         whether Kafka answers, and its brokers (port25 decide, web --from-kafka)
    follower.lock      held by the process that builds all this from Kafka's topics for a page
    spool/             segments that wait for Kafka (cluster.mode = "forward")
    names.sqlite       names behind pseudonyms, where the settings have them kept
    templates.json     templates of exporters of flows (port25 flows)
    leases.csv         whose addresses were, as it was told; leases-TIME.csv: before
    source-NAME.lock   held by the process that hears a source of leases
    feed-NAME.json     what a block feed refuses
    enforcement.json   what controllers say is in force; enforcement-NAME.json: one beside us
    writer.lock        who writes here
    delivery.lock      held by the process that passes alerts on
    delivery.json      what that process goes by, for who starts it alone; no secrets
    worker-N-of-M/     of several workers each has journal, sessions, usage, evidence and snapshot
                       in a folder of its own

The folder itself need not exist.
"""

from pathlib import Path
from typing import Final

__all__ = ["StateFolder"]

_JOURNAL: Final = "journal.sqlite"
_SESSIONS: Final = "sessions.sqlite"
_USAGE: Final = "usage.sqlite"
_FEED: Final = "feed-"
_ENFORCEMENT: Final = "enforcement"
_LEASES: Final = "leases"
_SNAPSHOT: Final = "state.p25"


class StateFolder:
    """The files of one folder, there or not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / _JOURNAL
        self.ledger = path / "blocking.sqlite"
        self.desk = path / "desk.sqlite"
        self.outbox = path / "outbox.sqlite"
        self.audit = path / "audit.sqlite"
        self.keys = path / "keys.sqlite"
        self.cursors = path / "cursors.key"
        self.complaints = path / "complaints.sqlite"
        self.sessions = path / _SESSIONS
        self.usage = path / _USAGE
        self.evidence = path / "evidence"
        self.access_log = self.evidence / "access.log"
        self.snapshot = path / _SNAPSHOT
        self.refused_snapshot = path / "state.refused"
        """one that could not be taken up, kept for who wants to know why"""
        self.decide_positions = path / "decide.json"
        self.fleet = path / "fleet.json"
        self.kafka = path / "kafka.json"
        self.follower_lock = path / "follower.lock"
        self.spool = path / "spool"
        self.writer_lock = path / "writer.lock"
        self.delivery_lock = path / "delivery.lock"
        self.delivery_settings = path / "delivery.json"
        self.leases = path / f"{_LEASES}.csv"
        self.templates = path / "templates.json"
        self.names = path / "names.sqlite"

    def worker(self, number: int, of: int) -> "StateFolder":
        """That of one of ``of`` workers, counted from 0."""
        return StateFolder(self.path / f"worker-{number + 1}-of-{of}")

    def _all(self, name: str) -> list[Path]:
        """The files of a name: one, or one for each worker there ever was."""
        return sorted([*self.path.glob(name), *self.path.glob(f"worker-*/{name}")])

    @property
    def journals(self) -> list[Path]:
        """Those there are."""
        return self._all(_JOURNAL)

    @property
    def journals_to_read(self) -> list[Path]:
        """Those there are, or the one there should be, for who must say that it is missing."""
        return self.journals or [self.journal]

    @property
    def session_stores(self) -> list[Path]:
        """Those there are."""
        return self._all(_SESSIONS)

    @property
    def usage_stores(self) -> list[Path]:
        """Those there are."""
        return self._all(_USAGE)

    @property
    def with_packets(self) -> list[Path]:
        """This folder and those of workers, as far as they keep packets."""
        return [path.parent for path in self._all(self.evidence.name) if path.is_dir()]

    @property
    def snapshots(self) -> list[Path]:
        """Those there are."""
        return self._all(_SNAPSHOT)

    def source(self, path: Path) -> str:
        """The name under which it is kept how far somebody is with a journal."""
        return str(path.relative_to(self.path))

    def source_lock(self, name: str) -> Path:
        """Held by the process that hears a source of leases."""
        return self.path / f"source-{name}.lock"

    def leases_before(self, ts: int) -> Path:
        """Leases that were told before a moment, ns since 1970."""
        return self.path / f"{_LEASES}-{ts:019}.csv"

    @property
    def names_files(self) -> list[Path]:
        """Names and their log, those there are."""
        return sorted(self.path.glob(f"{self.names.name}*"))

    @property
    def old_leases(self) -> list[Path]:
        """Those there are, the oldest first."""
        return sorted(self.path.glob(f"{_LEASES}-*.csv"))

    def feed_fault(self, feed: str) -> Path:
        """What a block feed refuses."""
        return self.path / f"{_FEED}{feed}.json"

    def enforcement(self, controller: str = "") -> Path:
        """What a controller beside the sensor says is in force; without a name what Kafka told."""
        if not controller:
            return self.path / f"{_ENFORCEMENT}.json"
        name = "".join(c if c.isalnum() or c in "._-" else "-" for c in controller)
        return self.path / f"{_ENFORCEMENT}-{name}.json"

    @property
    def enforcement_files(self) -> list[Path]:
        """Those there are."""
        return sorted(self.path.glob(f"{_ENFORCEMENT}*.json"))

    @property
    def feed_faults(self) -> dict[str, Path]:
        """Those there are, by feed."""
        found = sorted(self.path.glob(f"{_FEED}*.json"))
        return {path.stem.removeprefix(_FEED): path for path in found}
