"""What the server keeps between requests: settings, views, who follows, captures cut out."""

import collections
import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from sensor.alerts.alert import Alert
from sensor.base.access import Person, Reach
from sensor.base.name_server import NoResolverError
from sensor.console.gathering import Gathered, Gatherer
from sensor.console.networks import Networks
from sensor.console.view import View
from sensor.console.web.keys import Keys
from sensor.console.web.meanings import meanings
from sensor.console.web.names import Names
from sensor.console.web.oidc import Oidc
from sensor.console.web.places import seal_of
from sensor.console.web.stream import Follower
from sensor.console.web.view_pool import ViewPool
from sensor.evidence.export import EvidenceError, Export
from sensor.impact.report import Report
from sensor.impact.survey import Survey
from sensor.settings import Settings, subscribers_of
from sensor.state.folder import StateFolder

__all__ = ["ApiError", "AppState"]

_NOTHING: Final = Gathered(0, [])
_FILES: Final = 16
"""Captures kept for who turns the pages; the oldest go first."""
_ANSWERS: Final = 256
"""Kept at most; those worked out longest ago go first."""
_ANSWER_AGE: Final = 5.0
"""Seconds an answer is good for: what was put off comes back, and blocks end, by time alone."""
_REPORT_AGE: Final = 60.0
"""Seconds an impact report is good for."""


class ApiError(Exception):
    """A request that cannot be answered, with the HTTP status and what to tell."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class AppState:
    """Of one server."""

    def __init__(self, settings: Settings, state: Path, config: str | None) -> None:
        self.settings = settings
        self.config = config
        self.subscribers = subscribers_of(settings)
        self.export = Export(self.subscribers, settings.ports)
        self.gatherer = Gatherer(settings.web, settings.kafka.sensor)
        self.views = ViewPool(state)
        self.keys = Keys(StateFolder(state).keys)
        self.oidc = Oidc(settings.web)
        self.post = settings.notify.letters.opened()
        """sends letters; None: none are sent from here"""
        self.meanings = dict(meanings(Settings))
        self.seal = seal_of(StateFolder(state).cursors)
        mode = settings.blocking.mode
        self.follower = Follower(self.views, settings.web.max_streams, mode, self.seal)
        self.networks = Networks(settings.web.asn_table) if settings.web.asn_table else None
        self.names: Names | None = None
        self.nameless = ""
        """why no names are asked for, though they should be"""
        if settings.web.ptr:
            try:
                self.names = Names(settings.web.resolver)
            except NoResolverError as error:
                self.nameless = str(error)
        self._folder = Path(tempfile.mkdtemp(prefix="port25-web-"))
        self._extracting = threading.Lock()
        self._keeping = threading.Lock()
        self._files: collections.OrderedDict[tuple[str, int, str], tuple[Path, Gathered]]
        self._files = collections.OrderedDict()
        self._answering = threading.Lock()
        self._answers: collections.OrderedDict[str, tuple[int, float, bytes]] = (
            collections.OrderedDict()
        )
        self._surveying = threading.Lock()
        self._report: tuple[float, int, Report] | None = None

    def shared(self, question: str, answer: Callable[[], bytes]) -> bytes:
        """An answer that stays the same until something changes, worked out once for everybody.

        Two hundred pages ask for the same when an event tells them to.
        """
        generation, now = self.follower.generation, time.monotonic()
        with self._answering:
            made, until, kept = self._answers.get(question, (-1, 0.0, b""))
            if made == generation and now < until:
                return kept
        fresh = answer()
        with self._answering:
            self._answers[question] = generation, now + _ANSWER_AGE, fresh
            self._answers.move_to_end(question)
            while len(self._answers) > _ANSWERS:
                self._answers.popitem(last=False)
        return fresh

    def packets_of(self, view: View, alert: Alert, person: Person) -> tuple[Path, Gathered]:
        """A capture of an alert's packets, and from where; in the log once for each who asks.

        Other sensors are asked where those saw it, and again where one of them did not answer.
        """
        key = alert.id, alert.revision, person.name
        folder = view.folder(alert.id)
        assert folder is not None
        far = self.gatherer.asks(alert, folder)
        with contextlib.nullcontext() if far else self._extracting:
            if (kept := self._kept(key)) is not None:
                return kept
            file = self.new_file()
            try:
                if far:
                    found = self.gatherer.gather(alert, folder, self.export, file, person.name)
                else:
                    total, _ = self.export.write(folder, alert, file, person.name)
                    found = Gathered(total, [])
            except (EvidenceError, OSError, ValueError) as error:
                raise ApiError(503, str(error)) from None
            self.keep(key if found.whole else (*key[:2], f"{person.name} {file.name}"), file, found)
            return file, found

    def new_file(self) -> Path:
        """For a capture that :meth:`keep` is to be told of."""
        return self._folder / f"{time.monotonic_ns()}-{os.urandom(4).hex()}.pcapng"

    def _kept(self, key: tuple[str, int, str]) -> tuple[Path, Gathered] | None:
        with self._keeping:
            return self._files.get(key)

    def keep(self, key: tuple[str, int, str], file: Path, found: Gathered = _NOTHING) -> None:
        """Keep a capture for who asks again; the oldest goes."""
        with self._keeping:
            if (before := self._files.pop(key, None)) is not None:
                before[0].unlink(missing_ok=True)
            self._files[key] = file, found
            while len(self._files) > _FILES:
                self._files.popitem(last=False)[1][0].unlink(missing_ok=True)

    def impact(self, state: Path, since: int, reach: Reach) -> Report:
        """What ``port25 impact --journal`` says. Raises DatabaseError where no usage was kept."""
        whole = self._impact(state, since)
        if reach.everything:
            return whole
        mine = [one for one in whole.subscribers if reach.covers(one.host)]
        return msgspec.structs.replace(
            whole,
            subscribers=mine,
            first=min((one.first for one in mine), default=0),
            last=max((one.last for one in mine), default=0),
            left_out=0,
        )

    def _impact(self, state: Path, since: int) -> Report:
        with self._surveying:
            if self._report is not None:
                made, of, report = self._report
                if of == since and time.monotonic() - made < _REPORT_AGE:
                    return report
            survey = Survey(subscribers_of(self.settings), self.settings.limits.max_hosts)
            survey.recall(state, since)
            report = survey.report("[date]")
            self._report = time.monotonic(), since, report
            return report

    def give_to(self, uid: int, gid: int) -> None:
        """Captures will be cut out by another user."""
        os.chown(self._folder, uid, gid)

    def close(self) -> None:
        """Let everything go."""
        self.views.close()
        shutil.rmtree(self._folder, ignore_errors=True)
