"""Leases by asking: whose is this address, with this port, at this time?

Some systems of a provider tell nothing by themselves and answer questions. They are asked by HTTP
about hosts that came near an alert, or have one, as the journal has them; never about packets:

    journal (candidates, open alerts) --> waiting --> GET url --> a lease

    {"customer": "alice", "prefix": "203.0.113.7", "ports": "1024-2047", "from": ..., "until": ...}

All but ``customer`` may be left out; no customer (``null``, or 404) is an answer too. One must
be about what was asked: a prefix or ports beside it, or a time after it, would put somebody's
evidence on a bystander. It counts for ``valid`` seconds, and is asked for again at half of that
while the host still does something, so that a lease does not end under an alert.
"""

import ipaddress
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.base.database import DatabaseError
from sensor.base.secret_file import read_secret
from sensor.base.sentences import sentence
from sensor.base.units import SECOND
from sensor.hosts.subscribers import where
from sensor.leases.asking import AnswerError, Asker
from sensor.leases.file import kind_of
from sensor.leases.intake import Intake
from sensor.leases.lines import LineError
from sensor.leases.settings import CustomerSettings, LeaseSettingsError
from sensor.state.journal import Journal

__all__ = ["RESOLVER_COUNTERS", "Resolver"]

RESOLVER_COUNTERS: Final = (
    "resolver_asked", "resolver_answered", "resolver_unknown", "resolver_failed",
    "resolver_redirects", "resolver_too_large", "resolver_ill_formed", "resolver_elsewhere",
    "resolver_not_asked",
)  # fmt: skip
_LOOK: Final = 1.0
"""Seconds between looks into the journal."""
_WAITING: Final = 10_000
_KNOWN: Final = 100_000
_AT_ONCE: Final = 1000
_BACK: Final = 3600 * SECOND
"""How far a start looks back."""
_CLOCKS: Final = 2 * SECOND
_LONGEST_PAUSE: Final = 60.0


class _Host(NamedTuple):
    """Who is asked about."""

    source: Any
    ports: tuple[int, int] | None


class _Said(msgspec.Struct, frozen=True):
    """An answer; more fields may stand in it."""

    customer: str | None = None
    prefix: str = ""
    ports: str = ""
    from_: str | int = msgspec.field(default="", name="from")
    until: str | int | None = None


class Resolver:
    """``customers.resolver``; see ``Source``."""

    name = "resolver"

    def __init__(
        self,
        settings: CustomerSettings,
        journal: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``journal``: the sensor's. Raises LeaseSettingsError."""
        one = settings.resolver
        try:
            token = read_secret(one.token_file).decode() if one.token_file else ""
            self._asker = Asker(one.url, token, one.ca_file, one.timeout)
        except (OSError, ValueError) as error:
            raise LeaseSettingsError(f"customers.resolver: {error}") from None
        self._valid = one.valid
        self._pause = 1.0 / one.per_second
        self.intake = Intake("the resolver", settings)
        self._reader = self.intake.new_reader()
        self._path = journal
        self._clock = clock
        self._journal: Journal | None = None
        self._counts = dict.fromkeys(RESOLVER_COUNTERS, 0)
        self._since = 0
        self._waiting: dict[str, int] = {}
        """hosts and the packet times they are asked about"""
        self._known: dict[str, float] = {}
        """hosts, and when they may be asked about again"""
        self._looked = -_LOOK
        self._next = 0.0
        self._failures = 0
        self._said: set[str] = set()

    @property
    def position(self) -> str:
        """See ``Source``: packet time up to which the journal was read."""
        return str(self._since) if self._since else ""

    def open(self, position: str) -> None:
        """See ``Source``."""
        self._since = int(position) if position.isdecimal() else self.intake.now() - _BACK

    def turn(self, seconds: float) -> None:
        """See ``Source``: one question at most."""
        now = self._clock()
        if now - self._looked >= _LOOK:
            self._looked = now
            self._look(now)
        if self._waiting and now >= self._next:
            host = next(iter(self._waiting))
            self._ask(host, self._waiting.pop(host))
        else:
            time.sleep(min(seconds, max(0.01, self._next - now)) if self._waiting else seconds)

    def taken(self) -> None:
        """See ``Source``."""

    def counters(self) -> dict[str, int]:
        """See ``Source``."""
        return self._counts

    # --- whom to ask about ------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        try:
            if self._journal is None:
                self._journal = Journal(self._path, read_only=True)
            found = self._journal.suspects(self._since, _AT_ONCE)
        except DatabaseError as error:
            self._journal = None
            if self._first("journal"):
                self.intake.say_unread(str(self._path), str(error))
            return
        for host, ts in found:
            self._since = max(self._since, ts)
            if self._known.get(host, 0.0) <= now:
                self._waiting.setdefault(host, ts)
        while len(self._waiting) > _WAITING:
            del self._waiting[next(iter(self._waiting))]
            self._counts["resolver_not_asked"] += 1

    def _first(self, kind: str) -> bool:
        """Whether it is the first of a kind, which is said."""
        first = kind not in self._said
        self._said.add(kind)
        return first

    # --- questions and answers --------------------------------------------------------------------

    def _ask(self, name: str, ts: int) -> None:
        try:
            host = _Host(*where(name))
        except ValueError:  # a name that is none: it is not of us
            self._counts["resolver_not_asked"] += 1
            return
        self._counts["resolver_asked"] += 1
        address = str(host.source.network_address)
        try:
            answer = self._asker.ask(address, str(host.ports[0] if host.ports else ""), rfc3339(ts))
            if answer.status >= 500 or answer.status in (401, 403, 429):
                raise AnswerError("failed", f"status {answer.status}")
        except AnswerError as error:
            self._refuse(error.kind, name, str(error))
            self._failures += 1
            wait = min(_LONGEST_PAUSE, 2.0**self._failures)
            self._next = self._clock() + wait
            self._remember(name, wait)
            if error.kind == "failed":
                self._waiting.setdefault(name, ts)
            return
        self._failures = 0
        self._next = self._clock() + self._pause
        self._remember(name, self._valid / 2)
        if 300 <= answer.status < 400:
            self._refuse("redirects", name, f"status {answer.status}")
        elif answer.status in (204, 404):
            self._counts["resolver_unknown"] += 1
        elif answer.status != 200:
            self._refuse("ill_formed", name, f"status {answer.status}")
        else:
            self._on_answer(name, host, ts, answer.body)

    def _remember(self, name: str, seconds: float) -> None:
        self._known.pop(name, None)
        self._known[name] = self._clock() + seconds
        if len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]

    def _refuse(self, kind: str, name: str, why: str) -> None:
        self._counts[f"resolver_{kind}"] += 1
        if self._first(kind):
            said = sentence("leases.answer", source=self.intake.source, host=name, error=why)
            self.intake.say(said)

    def _on_answer(self, name: str, host: _Host, ts: int, body: bytes) -> None:
        try:
            said = msgspec.json.decode(body, type=_Said)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            self._refuse("ill_formed", name, str(error)[:200])
            return
        if not said.customer:
            self._counts["resolver_unknown"] += 1
            return
        ports = said.ports or (f"{host.ports[0]}-{host.ports[1]}" if host.ports else "")
        prefix = said.prefix or str(host.source)
        if fault := _elsewhere(host, prefix, ports):
            self._refuse("elsewhere", name, fault)
            return
        until = said.until or self.intake.now() + self._valid * SECOND
        line = {
            "from": said.from_ or ts, "until": until, "prefix": prefix, "ports": ports,
            "customer": said.customer,
        }  # fmt: skip
        self._tell(name, ts, msgspec.json.encode(line).decode())

    def _tell(self, name: str, ts: int, line: str) -> None:
        at = sentence("leases.asked", host=name)
        try:
            told = list(self._reader.read(line))
        except LineError as error:
            self.intake.refuse(kind_of(error), at, error.why)
            return
        if any(one.since > ts + _CLOCKS or one.until <= ts for one in told):
            self._refuse("elsewhere", name, "it is of another time")
            return
        self._counts["resolver_answered"] += 1
        self.intake.tell(told, at)


def _elsewhere(host: _Host, prefix: str, ports: str) -> str:
    """Why an answer is not about who was asked about; empty: it is."""
    try:
        network = ipaddress.ip_network(prefix)
    except ValueError:
        return ""  # who reads the line says why
    if network.version != host.source.version or not host.source.subnet_of(network):
        return f"it is about {network}, asked was {host.source}"
    first, _, last = ports.partition("-")
    if host.ports and first.isdecimal() and last.isdecimal():
        if not int(first) <= host.ports[0] <= int(last):
            return f"it is about ports {ports[:20]}, asked was {host.ports[0]}"
    return ""
