"""Leases on their way into a live sensor: a process for each source, and what comes of its word.

    source (file, RADIUS, ...) ---> its process: reads, judges ---> the sensor: keeps, then lends

The sensor forks the processes before it allocates its tables (``supervisor`` starts one again that
dies) and speaks with each through a pair of sockets (``messages``). A process hands over what it
has, and waits until that is on disk; meanwhile what comes waits where it came from: in the file, in
the socket. So nothing is heard faster than it is taken, and nobody waits for a source.

A lease has an effect from its ``from`` on, or from the packet time at which it was told, whichever
is later: what was done is done. That moment is kept with it, so a replay does the same.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import table
from sensor.base.sentences import Sentence, sentence
from sensor.customers.layout import CHANGE, REASONS
from sensor.leases.cgn_log import CgnLog
from sensor.leases.computed import Computed
from sensor.leases.dhcp import Dhcp
from sensor.leases.followed import FollowedFile
from sensor.leases.ipfix import Ipfix
from sensor.leases.journal import LeaseJournal
from sensor.leases.kea import Kea
from sensor.leases.naming import Naming
from sensor.leases.radius import Radius
from sensor.leases.resolver import Resolver
from sensor.leases.settings import CustomerSettings
from sensor.leases.source import Source
from sensor.pipeline import Pipeline
from sensor.service import privileges
from sensor.service.messages import (
    LARGEST,
    Asked,
    Began,
    Lent,
    Remarked,
    Resumed,
    Taken,
    ToSource,
    decode_of_source,
    decode_to_source,
    encode,
)
from sensor.service.supervisor import supervise
from sensor.settings import Settings
from sensor.state.folder import StateFolder

__all__ = ["LeaseSources", "prepare_sources"]

_BUFFER: Final = 8 << 20
"""Bytes that may be on their way, if the kernel lets us."""
_MOST_ROWS: Final = 8000
_WORDS: Final = 16
"""Of a source, at a time."""
_TURN: Final = 0.1
_SNDBUFFORCE: Final = 32
"""Of socket(7); Python does not name it."""
_UNIT: Final = 120
"""Bytes of a lease on its way, and some."""


def prepare_sources(
    settings: CustomerSettings, most: int = 1_000_000, folder: StateFolder | None = None
) -> list[Source]:
    """Those the settings want, not yet open; at ``most`` so many leases are computed.

    ``folder``: of the sensor, in whose journal is who to ask about.

    Raises LeaseFileError, LeaseSettingsError.
    """
    sources: list[Source] = []
    if settings.file:
        sources.append(FollowedFile(settings))
    if settings.radius.listen:
        sources.append(Radius(settings))
    if settings.kea.files:
        sources.append(Kea(settings))
    if settings.cgn_log.listen:
        sources.append(CgnLog(settings))
    if settings.dhcp.interfaces:
        sources.append(Dhcp(settings))
    if settings.ipfix.listen:
        sources.append(Ipfix(settings))
    if settings.resolver.url and folder is not None:
        sources.append(Resolver(settings, folder.journal))
    if settings.has_rules:
        sources.append(Computed(settings, most))
    if settings.names and folder is not None:
        for source in sources:
            source.intake.have_names(Naming(folder, 2 * most))
    return sources


# --- the process of a source ---------------------------------------------------------------------


class _GoneError(Exception):
    """The sensor is."""


class _Hearing:
    """What the process of a source does until the sensor is gone."""

    def __init__(self, source: Source, sock: socket.socket) -> None:
        self._source = source
        self._sock = sock
        room = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2
        self._most = min(_MOST_ROWS, room // _UNIT)
        self._counted: dict[str, int] = {}

    def run(self, again: bool) -> None:
        with contextlib.suppress(_GoneError, ConnectionError):
            if again:
                self._say(Remarked(sentence("leases.again", source=self._source.intake.source)))
            self._say(Asked())
            while not isinstance(said := self._hear(), Resumed):
                pass  # words to one before us that died
            self._source.open(said.position)
            while self._is_there():
                self._source.turn(_TURN)
                self._pass_on()
                self._source.taken()

    def _pass_on(self) -> None:
        source = self._source
        more = True
        while more:
            heard = source.intake.drain(self._most)
            more = len(source.intake) > 0
            for said in heard.said:
                self._say(Remarked(said))
            counters = source.counters() | source.intake.counters
            grown = {name: n - self._counted.get(name, 0) for name, n in counters.items()}
            if heard.rows or any(heard.unfit.values()) or any(grown.values()):
                self._counted = dict(counters)
                position = "" if more else source.position
                self._say(Lent(heard.rows, heard.unfit, grown, position))
                while not isinstance(self._hear(), Taken):
                    pass

    def _say(self, what: Lent | Remarked | Asked) -> None:
        self._sock.send(encode(what))

    def _hear(self) -> ToSource:
        said = self._sock.recv(LARGEST)
        if not said:
            raise _GoneError
        return decode_to_source(said)

    def _is_there(self) -> bool:
        try:
            return self._sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True


def _with_ends(rows: NDArray[np.void]) -> NDArray[np.void]:
    """The rows, but that a lease whose end is told as well has it from the beginning.

    Where many moves are told at once, as to a sensor that was away, the customer is not to be
    looked for at an address which he has no longer.
    """
    over = rows["until"] > 0
    opened = rows["until"] == 0
    if not over.any() or not np.isin(rows["since"][over], rows["since"][opened]).any():
        return rows
    began: dict[bytes, int] = {}
    made, kept = rows.copy(), np.ones(len(rows), bool)
    names = [name for name in CHANGE.names or () if name not in ("ts", "until", "line")]
    for n in range(len(rows)):
        key = b"".join(rows[name][n].tobytes() for name in names)
        if opened[n]:
            began[key] = n
        elif (before := began.pop(key, -1)) >= 0:
            made["until"][before] = rows["until"][n]
            kept[n] = False
    return made[kept]


# --- as the sensor sees it -----------------------------------------------------------------------


class _Link:
    """One process."""

    def __init__(self, source: Source, settings: Settings, folder: StateFolder) -> None:
        """Fork; it waits for Began."""
        self.name = source.name
        self.title = source.intake.source
        self.gone = False
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            theirs.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, _BUFFER)
        except OSError:  # without the right, as much as there is
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.sock.close()

                def settle() -> None:
                    privileges.drop_privileges(settings.live.user)

                def hear(again: bool) -> None:
                    _Hearing(source, theirs).run(again)

                lock = folder.source_lock(source.name)
                supervise(theirs, lock, settle, hear, f"leases of {self.title}")
            finally:
                os._exit(0)
        theirs.close()
        self.sock.setblocking(False)

    def say(self, what: ToSource) -> None:
        with contextlib.suppress(OSError):
            self.sock.send(encode(what))

    def heard(self) -> Asked | Lent | Remarked | None:
        """A word of it, None: there is none."""
        try:
            said = self.sock.recv(LARGEST)
        except OSError:
            return None
        if not said:
            self.gone = True
            return None
        return decode_of_source(said)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        os.waitpid(self.pid, 0)
        self.sock.close()


class LeaseSources:
    """All of them, and the files in which what they told is kept."""

    def __init__(
        self, settings: Settings, folder: StateFolder, sources: Sequence[Source] = ()
    ) -> None:
        """Fork a process for each; they wait for :meth:`begin`."""
        self.positions: dict[str, str] = {}
        """by source, how far what is lent goes; to be restored, before :meth:`begin`"""
        self._settings = settings
        self._folder = folder
        self._links: list[_Link] = []
        for source in sources:
            self._links.append(_Link(source, settings, folder))
        self._journal: LeaseJournal | None = None
        self._notify: Callable[[str, Sentence], None] = lambda _kind, _said: None
        self._pipeline: Pipeline | None = None
        self._said: set[int] = set()
        self._fault = ""
        self._heard = self._not_kept = 0
        self._counted: dict[str, int] = {}

    def attach(self, pipeline: Pipeline, notify: Callable[[str, Sentence], None]) -> None:
        """Whom leases are lent to, and who is told what a person should know. Begins a file."""
        self._pipeline, self._notify = pipeline, notify
        most = self._settings.customers.keep_megabytes
        self._journal = LeaseJournal(self._folder, most, pipeline.leases_in_force)
        if self._links:  # now, for where there are many this takes a while
            self._guarded(self._journal.begin)

    def begin(self) -> None:
        """The state folder is there and belongs to whom the sensor runs as.

        Names go where the settings have none kept any more.
        """
        if not self._settings.customers.names:
            for path in self._folder.names_files:
                path.unlink(missing_ok=True)
        for link in self._links:
            link.say(Began())

    def turn(self) -> None:
        """Take what there is."""
        for link in self._links:
            if not link.gone:
                for _ in range(_WORDS):
                    if (word := link.heard()) is None:
                        break
                    self._on_word(link, word)
                if link.gone:
                    self._notify("customers", sentence("leases.gone", source=link.title))

    def _on_word(self, link: _Link, word: Asked | Lent | Remarked) -> None:
        match word:
            case Asked():
                link.say(Resumed(self.positions.get(link.name, "")))
            case Remarked(said):
                self._notify("customers", said)
            case Lent(rows, unfit, counters, position):
                self._lend(rows, unfit)
                if position:
                    self.positions[link.name] = position
                for name, n in counters.items():
                    self._counted[name] = self._counted.get(name, 0) + n
                link.say(Taken())

    def _lend(self, told: bytes, unfit: dict[str, int]) -> None:
        pipeline = self._pipeline
        assert pipeline is not None
        raw = np.frombuffer(told, CHANGE)
        moment = pipeline.moment
        room = self._settings.limits.max_leases - len(pipeline.leases_waiting)
        if len(raw) > room:
            raw, beyond = raw[:room], raw[max(0, room) :]
            unfit = unfit | {"leases_early": unfit["leases_early"] + len(beyond)}
        self._heard += len(raw)
        raw = _with_ends(raw)
        rows = table(len(raw), CHANGE)
        rows[:] = raw
        rows["ts"] = np.maximum(rows["since"], moment)
        if len(rows):
            self._keep(rows, moment)
        pipeline.lend(rows, unfit)

    def _keep(self, rows: NDArray[np.void], moment: int) -> None:
        journal = self._journal
        assert journal is not None
        if not self._guarded(lambda: journal.add(rows, moment)):
            self._not_kept += len(rows)

    def _guarded(self, write: Callable[[], None]) -> bool:
        """Whether it was written. What the disk refuses is said once."""
        assert self._journal is not None
        try:
            write()
            self._fault = ""
        except OSError as error:
            if (fault := error.strerror or str(error)) != self._fault:
                self._fault = fault
                path = str(self._journal.path)
                self._notify("customers", sentence("leases.unwritten", file=path, error=fault))
            return False
        return True

    def say_refused(self) -> None:
        """Say which lease was the first that the table refused, for each reason."""
        if self._pipeline is None or self._journal is None:
            return
        for reason, line in self._pipeline.leases_refused.items():
            if reason not in self._said:
                self._said.add(reason)
                where = sentence("leases.line", line=line)
                why = Sentence(f"leases.{REASONS[reason]}")
                path = str(self._journal.path)
                said = sentence("leases.first", source=path, where=where, why=why)
                self._notify("customers", said)

    @property
    def counters(self) -> dict[str, int]:
        """What was told, what waits, and what sources count."""
        waiting = len(self._pipeline.leases_waiting) if self._pipeline is not None else 0
        return {
            "leases_heard": self._heard,
            "leases_waiting": waiting,
            "leases_not_kept": self._not_kept,
            "lease_sources_gone": sum(link.gone for link in self._links),
        } | self._counted

    def stop(self) -> None:
        """End them all."""
        for link in self._links:
            link.stop()
        if self._journal is not None:
            self._journal.close()
