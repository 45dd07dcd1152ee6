"""What is in force becomes requests to NASes, and their answers become what a person is told.

A block is put on a *session*, never on an address alone if that can be helped, since the next
customer may have the address a second later. So it is put on the session that began before the
decision was made, or on a later one of the same user; if another user has the address by then, it
is left alone, and told. Where accounting does not know the session, the NAS whose prefix it is may
be asked by address: at once after the decision, or where no accounting is heard.

What a NAS refuses or does not answer is tried again, after half a minute, then twice as long, to
ten minutes. What was put on stays until it is taken off again: a NAS knows no end of it. So which
sessions have it is kept in a file, and a controller that is started again goes on with that.
"""

import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from sensor.base.extras import missing
from sensor.base.replacing import replace
from sensor.base.secret_file import read_secret
from sensor.base.units import SECOND
from sensor.blocking.coa.exchange import SILENT, Exchange, Result
from sensor.blocking.coa.request import GONE, Target, request
from sensor.blocking.coa.sessions import Accounting, Session
from sensor.blocking.coa.settings import CoaSettings, CoaSettingsError
from sensor.blocking.decision import Decision
from sensor.leases.listening import endpoint
from sensor.leases.settings import LeaseSettingsError

__all__ = ["Coa"]

_FIRST: Final = 30.0
_LONGEST: Final = 600.0
"""Seconds after which what was refused is tried again."""
_AT_ONCE: Final = 60 * SECOND
"""A decision so fresh is of who has the address now."""
_CLOCKS: Final = 2 * SECOND
"""By which NAS and sensor may differ."""
_LOOK: Final = 1.0
"""Seconds between looks at all blocks where nothing happened."""
_LARGEST: Final = 4096
_MOST: Final = 100_000
"""Sessions in hand. Beyond it those go first that have waited longest to be freed."""


class _State(msgspec.Struct):
    """Of one subscriber who is, or was, blocked."""

    target: Target
    on: bool
    """what was asked last: block, or take it off"""
    done: bool = False
    asked: bool = False
    why: str = ""
    tries: int = 0
    again: float = 0.0


class _Nas:
    """One NAS: its socket, and what is on its way."""

    def __init__(self, name: str, address: tuple[str, int], secret: bytes) -> None:
        self.name = name
        self.secret = secret
        self.exchange = Exchange()
        self.told_silent = False
        self._address = address
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(address)  # nobody else is heard

    def turn(self, now: float) -> list[Result]:
        """Send and hear; how requests ended."""
        found = []
        while True:
            try:
                data = self._socket.recv(_LARGEST)
            except BlockingIOError:
                break
            except OSError:  # nobody listens there: as no answer
                continue
            if result := self.exchange.hear(data):
                found.append(result)
        packets, given_up = self.exchange.say(now)
        for data in packets:
            try:
                self._socket.send(data)
            except OSError:  # it is sent again
                continue
        return found + given_up

    def close(self) -> None:
        """Ask nothing more."""
        self._socket.close()


class Coa:
    """In the place of a firewall: see ``Loads`` of the controller."""

    phrase = "RADIUS"
    counted = "by RADIUS"

    def __init__(
        self,
        settings: CoaSettings,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``tell`` is given lines for a person. Raises CoaSettingsError and OSError."""
        try:
            import pyrad.packet  # noqa: F401
        except ImportError:
            raise CoaSettingsError(f"blocking.coa: {missing('pyrad')}") from None
        if not settings.nas:
            raise CoaSettingsError("blocking.coa.nas: missing; who is to be asked?")
        self._settings = settings
        self._tell = tell
        self._clock = clock
        self._nas: dict[str, _Nas] = {}
        self._prefixes: list[tuple[Any, str]] = []
        for one in settings.nas:
            if one.name in self._nas:
                raise CoaSettingsError(f"blocking.coa.nas: two are named {one.name!r}")
            try:
                at = endpoint(f"blocking.coa.nas {one.name}", one.address)
            except LeaseSettingsError as error:
                raise CoaSettingsError(str(error)) from None
            self._nas[one.name] = _Nas(one.name, at, read_secret(one.secret_file))
            self._prefixes += [(ipaddress.ip_network(text), one.name) for text in one.prefixes]
        self._accounting = Accounting(settings) if settings.listen else None
        self._wanted: dict[str, Decision] | None = None
        """None: not known yet"""
        self._states: dict[str, _State] = {}
        self._why: dict[str, str] = {}
        self._reported: set[str] = set()
        self._forgotten = 0
        self._looked = -_LOOK
        self._kept = b""
        self._faults: set[str] = set()
        self._take_up()

    # --- as the controller sees it ---------------------------------------------------------------

    @property
    def refused(self) -> dict[str, str]:
        """Hosts that are not blocked, and why; not those that are being asked for."""
        silent = {
            host: f"NAS {one.target.nas}: {SILENT}"
            for host, one in self._states.items()
            if one.on and one.asked and self._nas[one.target.nas].exchange.silent
        }
        return self._why | silent

    @property
    def waiting(self) -> set[str]:
        """Hosts whose NAS has not answered yet."""
        states, wanted = self._states, self._wanted or {}
        return {host for host in wanted if not ((one := states.get(host)) and one.done)}

    @property
    def dropped(self) -> dict[str, int] | None:
        """A NAS does not say."""
        return None

    @property
    def counters(self) -> dict[str, int]:
        """What was asked, and what was heard."""
        total = {"waiting": 0, "forgotten": self._forgotten}
        for nas in self._nas.values():
            total["waiting"] += nas.exchange.waiting
            for name, value in nas.exchange.counters.items():
                total[name] = total.get(name, 0) + value
        if self._accounting:
            total |= {f"accounting_{n}": v for n, v in self._accounting.counters.items()}
        return total

    def intact(self) -> bool:
        """Nobody can tell: a NAS is not asked what it has."""
        return True

    def load(self, blocks: Sequence[Decision], ts: int) -> list[str]:
        """Blocks in force from now on; the hosts refused since it was last called."""
        self._wanted = {one.host: one for one in blocks}
        self._reconcile(ts)
        self._send()
        before, self._reported = self._reported, set(self.refused)
        return sorted(self._reported - before)

    def turn(self, ts: int) -> bool:
        """Hear, send, try again; whether what is refused has changed. ``ts``: now, ns."""
        before = self.refused
        heard = self._accounting.turn() if self._accounting else False
        if heard or self._clock() - self._looked >= _LOOK:
            self._reconcile(ts)
        self._send()
        return self.refused != before

    def close(self) -> None:
        """What was put on stays."""
        for nas in self._nas.values():
            nas.close()
        if self._accounting:
            self._accounting.close()

    # --- what is to be asked ---------------------------------------------------------------------

    def _reconcile(self, ts: int) -> None:
        if self._wanted is None:
            return
        self._looked = self._clock()
        wanted = {host: one for host, one in self._wanted.items() if one.in_force(ts)}
        self._why = {host: why for host, why in self._why.items() if host in wanted}
        # First, as a customer who moved is to be freed where he was before he is blocked again.
        for host in [host for host in self._states if host not in wanted]:
            self._free(host)
        for host, one in wanted.items():
            self._block(host, one, ts)
        excess = max(0, len(self._states) - _MOST)
        for host in [host for host, state in self._states.items() if not state.on][:excess]:
            del self._states[host]
            self._forgotten += 1
        self._keep()  # before it is asked for

    def _block(self, host: str, one: Decision, ts: int) -> None:
        state = self._states.get(host)
        found = self._target(one, state, ts)
        if isinstance(found, str):
            self._why[host] = found
            there = self._session(one.source)
            if state and there and not state.target.session and there.nas in self._nas:
                # It was put on by address, and this session may have it.
                mine = Target(there.nas, there.id, there.user, one.source)
                self._states[host] = _State(mine, on=False)
            elif state and there and state.on:
                del self._states[host]  # what was put on went with its session
            if host in self._states:
                self._free(host)
            return
        if state is None or state.target != found or not state.on:
            state = self._states[host] = _State(found, on=True)
        if not state.done and not state.asked and self._clock() >= state.again:
            self._ask(state, host)
        if state.why:
            self._why[host] = state.why
        else:
            self._why.pop(host, None)

    def _free(self, host: str) -> None:
        """Take off what is on, where it is still the same session."""
        state = self._states[host]
        there = self._session(state.target.source)
        gone = there is not None and state.target.session and there.id != state.target.session
        if gone or self._settings.action == "disconnect" or state.target.nas not in self._nas:
            del self._states[host]
            return
        if state.on:
            del self._states[host]  # as the last in line
            self._states[host] = state = _State(state.target, on=False)
        if not state.asked and self._clock() >= state.again:
            self._ask(state, host)

    def _session(self, source: str) -> Session | None:
        return self._accounting.find(source) if self._accounting else None

    def _target(self, one: Decision, state: _State | None, ts: int) -> Target | str:
        """Whose session it is; else why none is asked for."""
        if one.ports:
            return "the address is shared, and a session has no ports"
        there = self._session(one.source)
        if there is None:
            return self._by_address(one, state, ts)
        same = state is not None and bool(there.user) and state.target.user == there.user
        if self._settings.action == "disconnect" and state is not None and state.done:
            return state.target  # once for each block
        # Without a customer a renewed block is still about who had the address when it began.
        made = one.ts if isinstance(one.customer, str) else min(one.ts, one.since or one.ts)
        if there.since > made + _CLOCKS and not same:
            return f"another session has the address since, {there.id[:60]!r} on {there.nas[:60]}"
        if there.nas not in self._nas:
            return f"its NAS {there.nas[:60]!r} is not in blocking.coa.nas"
        return Target(there.nas, there.id, there.user, one.source)

    def _by_address(self, one: Decision, state: _State | None, ts: int) -> Target | str:
        if state is not None and state.on:
            return state.target
        if self._accounting and ts - one.ts > _AT_ONCE:
            return "its session is not known: accounting has not told of it"
        source = ipaddress.ip_network(one.source)
        for prefix, nas in self._prefixes:
            if source.version == prefix.version and source.subnet_of(prefix):
                return Target(nas, "", "", one.source)
        return "its session is not known, and it is in no prefix of blocking.coa.nas"

    def _ask(self, state: _State, host: str) -> None:
        nas = self._nas.get(state.target.nas)
        if nas is None:
            state.why = f"its NAS {state.target.nas[:60]!r} is not in blocking.coa.nas"
            return
        state.asked = True
        target, on, secret = state.target, state.on, nas.secret
        nas.exchange.ask(
            host, lambda: request(target, on, self._settings, secret, int(time.time()))
        )

    # --- what is answered ------------------------------------------------------------------------

    def _send(self) -> None:
        now = self._clock()
        for nas in self._nas.values():
            for result in nas.turn(now):
                self._answered(nas, result, now)
            if nas.exchange.silent != nas.told_silent:
                nas.told_silent = nas.exchange.silent
                waits = f"does not answer; {nas.exchange.waiting} more requests wait"
                said = waits if nas.told_silent else "answers again"
                self._tell(f"coa: NAS {nas.name} {said}")

    def _answered(self, nas: _Nas, result: Result, now: float) -> None:
        host = result.key
        state = self._states.get(host)
        if state is None or state.target.nas != nas.name:
            return
        state.asked = False
        if not result.why:
            state.done, state.tries, state.why = True, 0, ""
            self._why.pop(host, None)
            if not state.on:
                self._forget(host)
            return
        if not state.on and result.why.startswith(GONE):
            self._forget(host)
            return
        wait = min(_LONGEST, _FIRST * 2**state.tries)
        state.tries += 1
        state.again = now + wait
        what = "" if state.on else "still blocked, "
        state.why = f"{what}NAS {nas.name}: {result.why}"
        if state.on:
            self._why[host] = state.why
        else:
            self._tell(f"coa: {host}: {state.why}; again in {wait:.0f} s")

    def _forget(self, host: str) -> None:
        del self._states[host]
        self._keep()

    # --- what a restart goes on with -------------------------------------------------------------

    def _take_up(self) -> None:
        if not self._settings.kept:
            return
        try:
            raw = Path(self._settings.kept).read_bytes()
            found = msgspec.json.decode(raw, type=dict[str, Target])
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as error:
            self._tell(f"coa: {self._settings.kept}: {error}; what was blocked is not known")
            return
        self._states = {host: _State(target, on=True) for host, target in found.items()}

    def _keep(self) -> None:
        """Write down which sessions may have it."""
        if not self._settings.kept:
            return
        raw = msgspec.json.encode({host: one.target for host, one in self._states.items()})
        if raw == self._kept:
            return
        path = Path(self._settings.kept)
        try:
            replace(path, raw)
            self._kept = raw
        except OSError as error:
            said = f"coa: {path}: {error.strerror or error}; a restart will not know who is blocked"
            if said not in self._faults:
                self._faults.add(said)
                self._tell(said)
