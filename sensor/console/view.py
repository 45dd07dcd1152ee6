"""What there is to see in a state folder, and what a person at the desk can do about it.

Everything is read from the files a sensor writes, so a slow or dead screen slows nothing down. With
several workers their journals are seen as one.
"""

import contextlib
import copy
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from sensor.alerts.alert import Alert
from sensor.alerts.candidate import Candidate
from sensor.alerts.vitals import Vitals
from sensor.base.access import EVERYTHING, Reach
from sensor.base.addresses import network_of
from sensor.base.database import DatabaseError, NothingYetError
from sensor.base.units import SECOND
from sensor.blocking.decision import Decision
from sensor.blocking.desk import Acknowledged, Desk, Exempted
from sensor.blocking.handling import Act
from sensor.blocking.ledger import Ledger
from sensor.blocking.recovery import Pause
from sensor.cluster.brokers import brokers_of
from sensor.console.bounds import alerts_within, hosts_within
from sensor.console.listing import Asked, Listing, Seen
from sensor.console.status import Mode, Range, Status, together
from sensor.hosts.customer_key import parse_pseudonym
from sensor.sinks.outbox import Away, Outbox
from sensor.smtp.record import Session
from sensor.state.audit import Audit, Audited
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal, Wanted
from sensor.state.sessions import SessionStore

__all__ = [
    "Books",
    "Place",
    "Seen",
    "StateGoneError",
    "View",
]

_SILENT: Final = 30.0
"""Seconds without a word in the journal: a sensor that runs writes every ten."""
_CURRENT: Final = 3600.0
"""Seconds that packet time may be behind the clock on the wall in live traffic."""

Place = dict[str, int]
"""How far somebody is with the journals: the number of the last message, by folder."""


class Books(NamedTuple):
    """What is read; ledger and desk may not be there yet."""

    journals: list[Journal]
    ledger: Ledger | None
    desk: Desk | None


class StateGoneError(DatabaseError):
    """The files that were looked at are not those in the folder any more."""


def _inode(path: Path) -> tuple[int, int]:
    """What tells a file from another of its name; (0, 0): it is gone."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


class View:
    """A state folder, looked at. What goes wrong raises DatabaseError."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.reach = EVERYTHING
        """whose hosts are seen and acted on"""
        self._state = StateFolder(state)
        self._journals: dict[Path, Journal] = {}
        self._ledger: Ledger | None = None
        self._desk: Desk | None = None
        self._stores: dict[Path, SessionStore] = {}
        self._changes: list[int] = []
        self._files: dict[Path, tuple[int, int]] = {}
        self.refresh()
        if not self._journals:
            raise DatabaseError(f"{state}: no journal; no sensor ran here")

    def within(self, reach: Reach) -> "View":
        """The same files, for who is bound to prefixes: nothing beyond is seen or acted on."""
        if reach.everything:
            return self
        bound = copy.copy(self)
        bound.reach = reach
        for journal in self._journals.values():
            journal.db.teach(reach.sql_name, reach.covers)
        return bound

    def may_see(self, ids: Iterable[str]) -> set[str]:
        """Of some alerts those that whoever asks may see."""
        asked = list(ids)
        if self.reach.everything:
            return set(asked)
        condition = alerts_within(self.reach)
        return {one for j in self._journals.values() for one in j.fitting(asked, condition)}

    def sees(self, name: str) -> bool:
        """Whether whoever asks sees all of a host, or of a customer by his pseudonym."""
        if self.reach.covers(name):
            return True
        if parse_pseudonym(name) is None:
            return False
        his = {head.id for one in self._journals.values() for head in one.heads_of(name)}
        return bool(his) and self.may_see(his) == his

    def refresh(self) -> bool:
        """Whether there may be anything new since the last time.

        Raises StateGoneError where a file is another than the one that was opened, or gone.
        """
        for path, known in self._files.items():
            if _inode(path) != known:
                raise StateGoneError(f"{path}: it was taken away or replaced")
        for path in self._state.journals:
            if path not in self._journals:
                self._journals[path] = Journal(path, read_only=True)
        for path in self._state.session_stores:
            if path not in self._stores:
                self._stores[path] = SessionStore(path, read_only=True)
        if self._ledger is None and (path := self._state.ledger).exists():
            self._ledger = Ledger(path, read_only=True)
        if self._desk is None and (path := self._state.desk).exists():
            with contextlib.suppress(DatabaseError):
                Desk(path).close()  # brings one of before up to date, where we may
            self._desk = Desk(path, read_only=True)
        opened = [*self._journals, *self._stores]
        opened += [self._state.ledger] if self._ledger is not None else []
        opened += [self._state.desk] if self._desk is not None else []
        for path in opened:
            self._files.setdefault(path, _inode(path))
        self._attach()
        files = [*self._journals.values(), self._ledger, self._desk]
        changes = [file.changes for file in files if file is not None]
        changed, self._changes = changes != self._changes, changes
        return changed

    def _attach(self) -> None:
        """Have journals know of what else lists are searched by."""
        for path, journal in self._journals.items():
            others = {"sessions": path.with_name(self._state.sessions.name)}
            others = {name: file for name, file in others.items() if file in self._stores}
            others |= {"desk": self._state.desk} if self._desk is not None else {}
            others |= {"ledger": self._state.ledger} if self._ledger is not None else {}
            for name in others.keys() - journal.attached:
                journal.attach(name, others[name])

    def look_again(self) -> None:
        """Have :meth:`refresh` say yes once more."""
        self._changes = []

    @property
    def decided(self) -> dict[str, int]:
        """Numbers that differ after somebody did something at the ``desk``, or about ``blocks``."""
        files = {"desk": self._desk, "blocks": self._ledger}
        return {name: file.changes for name, file in files.items() if file is not None}

    @property
    def newest(self) -> int:
        """Packet time of the newest thing known, ns."""
        newest = [v.ts for journal in self._journals.values() for v in journal.vitals(1)]
        newest += [head.ts for j in self._journals.values() for head in j.heads(1)]
        return max(newest, default=time.time_ns())

    @property
    def now(self) -> int:
        """What "now" means on this screen, ns: the newest packet time.

        After live traffic it is the clock on the wall, which goes on when the sensor does not, and
        so do blocks.
        """
        newest, age = self.newest, self.age
        clock = time.time_ns()
        written = clock - round((age or 0.0) * SECOND)
        return max(newest, clock) if abs(written - newest) < _CURRENT * SECOND else newest

    @property
    def age(self) -> float | None:
        """Seconds since a sensor wrote to its journal, by the clock on the wall; None: never."""
        logs = [path.with_name(f"{path.name}-wal") for path in self._journals]
        found = [file.stat() for file in (*self._journals, *logs) if file.exists()]
        # Whoever only reads makes a log as well: an empty one.
        times = [file.st_mtime for file in found if file.st_size]
        return max(0.0, time.time() - max(times)) if times else None

    @property
    def silence(self) -> float | None:
        """Seconds since a sensor wrote here; of a folder fed by Kafka, since anybody was heard."""
        told = brokers_of(self.state)
        if told is None:
            return self.age
        return max(0.0, time.time() - told.heard / SECOND) if told.heard else None

    def status(self, mode: Mode) -> Status:
        """How sensor and blocking are; ``mode`` where nothing was decided yet."""
        age = self.silence
        ledger = self._ledger
        enforcing = ledger.enforcing if ledger is not None else None
        if enforcing is not None:
            mode = "enforce" if enforcing else "dry-run"
        blocks = self.blocks()
        enforced = sum(one.enforced for one in blocks)
        return Status(
            running=age is not None and age <= _SILENT,
            silent=age,
            now=self.newest,
            mode=mode,
            blocked=enforced,
            would_block=len(blocks) - enforced,
            stopped=self.stopped(),
            step=self.step(),
        )

    @property
    def books(self) -> Books:
        """The files it is made of."""
        return Books(list(self._journals.values()), self._ledger, self._desk)

    @property
    def listing(self) -> Listing:
        """For lists of alerts."""
        journals = list(self._journals.values())
        exempted = self.exempted()
        return Listing(journals, self._desk, self._ledger, self.now, exempted, self.reach)

    def alerts(self, most: int, wanted: Wanted | None = None) -> list[Seen]:
        """Those raised last, or as they are wanted. Raises SearchError."""
        listing = self.listing
        return listing.seen(listing.heads(most, Asked(wanted or Wanted())))

    def of_host(self, host: str) -> list[Seen]:
        """All alerts on a host."""
        found = [head for journal in self._journals.values() for head in journal.heads_of(host)]
        seen = self.may_see(head.id for head in found)
        found = [head for head in found if head.id in seen]
        return self.listing.seen(sorted(found, key=lambda h: (h.opened, h.id), reverse=True))

    def alert(self, id_: str) -> Seen | None:
        """One of them."""
        seen = self.may_see([id_])
        heads = [h for j in self._journals.values() if seen and (h := j.head(id_)) is not None]
        return next(iter(self.listing.seen(heads)), None)

    def messages(self, id_: str) -> list[Alert]:
        """Of one alert, in order."""
        found = [alert for journal in self._journals.values() for alert in journal.find(id_)]
        seen = self.may_see({alert.id for alert in found})
        return [alert for alert in found if alert.id in seen]

    def folder(self, id_: str) -> Path | None:
        """The state folder of the worker that raised an alert."""
        found = (p.parent for p, j in self._journals.items() if j.head(id_) is not None)
        return next(found, None)

    def each_after(self, place: Place, most: int) -> tuple[list[tuple[Alert, Place]], Place]:
        """Messages of all alerts as they were written, from a place on, each with the next.

        And the place reached, which is further where the last ones are not to be seen.
        """
        reached, found = dict(place), []
        for name, journal in self._named().items():
            while most > 0 and (rows := journal.page(reached.get(name, 0), most=most)):
                seen = self.may_see({row.alert.id for row in rows})
                for row in rows:
                    reached[name] = row.number
                    if row.alert.id in seen:
                        most -= 1
                        found.append((row.alert, dict(reached)))
        return found, reached

    @property
    def end(self) -> Place:
        """The place after the newest message."""
        return {name: journal.last for name, journal in self._named().items()}

    def _named(self) -> dict[str, Journal]:
        return {
            "journal" if path.parent == self.state else path.parent.name: journal
            for path, journal in self._journals.items()
        }

    def sessions(self, host: str, most: int) -> list[Session]:
        """What a host, or a customer by his pseudonym, said last, the newest first."""
        stores = self._stores.values() if self.sees(host) else ()
        found = [one for store in stores for one in store.of(host, most)]
        return sorted(found, key=lambda one: one.ts, reverse=True)[:most]

    def ranges(self, most: int) -> list[Range]:
        """Networks with most hosts that have an open alert."""
        counts: dict[str, list[int]] = {}
        for journal in self._journals.values():
            for host, recommended in journal.open_hosts(alerts_within(self.reach)):
                mine = counts.setdefault(network_of(host), [0, 0])
                mine[0] += 1
                mine[1] += recommended
        found = [Range(prefix, *numbers) for prefix, numbers in counts.items()]
        return sorted(found, key=lambda r: (-r.hosts, r.prefix))[:most]

    def candidate(self, host: str) -> Candidate | None:
        """What is known of a host that once came to even odds."""
        journals = self._journals.values() if self.sees(host) else ()
        found = (j.candidate(host) for j in journals)
        return next((one for one in found if one is not None), None)

    def candidates(self, most: int) -> list[Candidate]:
        """Hosts without an alert, those with the highest score first."""
        within = hosts_within(self.reach)
        found = [
            c for j in self._journals.values() for c in j.candidates(most=most, condition=within)
        ]
        return sorted(found, key=lambda c: (-c.score, c.host))[:most]

    def vitals(self, most: int) -> list[Vitals]:
        """The last ones, the oldest first; of several workers, side by side."""
        found = [v for journal in self._journals.values() for v in journal.vitals(most)]
        return [self._own(v) for v in sorted(found, key=lambda v: v.ts)[-most:]]

    def _own(self, one: Vitals) -> Vitals:
        """Without figures of hosts, where whoever asks does not see all of them."""
        if self.reach.everything:
            return one
        return msgspec.structs.replace(one, hosts=0, alerts_open=0, fan_out=[])

    def rates(self, seconds: int, points: int) -> list[Vitals]:
        """The vitals of the last seconds, all workers together, as so many points at most."""
        step = max(10, -(-seconds // points)) * SECOND
        first = self.newest // step * step - (seconds * SECOND // step - 1) * step
        bins: dict[int, list[list[Vitals]]] = {}
        for number, journal in enumerate(self._journals.values()):
            for one in journal.vitals_since(first):
                mine = bins.setdefault(one.ts // step, [[] for _ in self._journals])
                mine[number].append(one)
        return [self._own(together(bins[key])) for key in sorted(bins)]

    def blocks(self) -> list[Decision]:
        """In force, those of a dry run as well."""
        if self._ledger is None:
            return []
        now = self.now
        return [
            one
            for enforced in (True, False)
            for one in self._ledger.in_force(now, enforced)
            if one.action == "block" and self.reach.covers(one.host)
        ]

    def decisions(self, host: str, most: int) -> list[Decision]:
        """On a host, or on a customer by his pseudonym, the newest first."""
        found = self._ledger.of_case(host, most) if self._ledger is not None else []
        return [one for one in found if self.sees(one.customer or one.host)]

    def stopped(self) -> bool:
        """Whether blocking has stopped itself and does not yet go on as before."""
        return bool(self.pause())

    def _pause(self) -> Pause | None:
        if self._ledger is None:
            return None
        return self._ledger.pause(True) or self._ledger.pause(False)

    def step(self) -> int:
        """The step it has come to since it stopped itself; 0: none."""
        pause = self._pause()
        return pause.last.level if pause else 0

    def pause(self) -> Decision | None:
        """The newest stop or step since it stopped itself; None: it has not."""
        pause = self._pause()
        return pause.last if pause else None

    def waiting(self) -> dict[str, int]:
        """Alert messages that each sink is not done with; of those that alerts are passed on to."""
        path = self._state.outbox
        if not path.exists():
            return {}
        outbox = Outbox(path, read_only=True)
        left = {
            sink: sum(
                max(0, journal.last - outbox.position(sink, self._state.source(path)))
                for path, journal in self._journals.items()
            )
            for sink in outbox.sinks()
        }
        outbox.close()
        return left

    def away(self) -> list[Away]:
        """Sinks that take nothing now."""
        path = self._state.outbox
        if not path.exists():
            return []
        # A file that no sensor has opened since it has this table has none.
        with (
            contextlib.suppress(DatabaseError),
            contextlib.closing(Outbox(path, read_only=True)) as outbox,
        ):
            return outbox.away()
        return []

    def notes(self, id_: str) -> list[Acknowledged]:
        """All that persons said of an alert, the oldest first."""
        return self._desk.notes(id_) if self._desk is not None and self.may_see([id_]) else []

    def exempted(self) -> list[Exempted]:
        """Hosts exempt by the desk."""
        found = self._desk.in_force(self.now) if self._desk is not None else []
        return [one for one in found if self.sees(one.host)]

    # --- what a person does ----------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the files."""
        files = [*self._journals.values(), *self._stores.values(), self._ledger, self._desk]
        for file in files:
            if file is not None:
                file.close()

    def note(
        self, by: str, act: str, about: Sequence[tuple[str, str]] = (), detail: str = ""
    ) -> None:
        """Write down what somebody is about to do or to look at, and about which host and alert."""
        book = Audit(self._state.audit)
        try:
            book.add(by, act, about, detail)
        finally:
            book.close()

    def audited(self, most: int, before: int) -> list[Audited]:
        """Who looked at packets and who did what, the newest first."""
        if not self._state.audit.exists():
            return []
        try:
            opened = Audit(self._state.audit, read_only=True)
        except NothingYetError:  # the first act is being written down
            return []
        with contextlib.closing(opened) as book:
            if not self.reach.everything:
                book.db.teach(self.reach.sql_name, self.reach.covers)
            found = book.page(most, before, hosts_within(self.reach))
        seen = self.may_see({one.alert for one in found if one.alert})
        return [one for one in found if not one.alert or self.reach.everything or one.alert in seen]

    def acknowledge(self, alert: str, by: str, reason: str) -> None:
        """Somebody is done with an alert; what was noted before stays."""
        self.act([alert], Act("done", by, reason))

    def act(self, alerts: Sequence[str], act: Act) -> int:
        """What a person does about some alerts; how many of them there are. Raises ActError."""
        known: dict[str, int] = {}
        for journal in self._journals.values():
            known |= journal.revisions(list(self.may_see(alerts)))
        heads = [h for id_ in known for j in self._journals.values() if (h := j.head(id_))]
        said = act.reason or act.ticket
        self.note(act.by, act.act, [(h.host, h.id) for h in heads], said)
        desk = Desk(self._state.desk)
        desk.act(known, time.time_ns(), act)
        desk.close()
        return len(known)
