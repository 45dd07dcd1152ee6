"""Server-sent events: what is new, told to everybody who follows (WHATWG HTML, section 9.2).

One thread looks at the files five times a second and writes each event once; all who follow get the
same bytes. Who is too slow loses what it has not read and is told ``reset``: to ask anew. A library
(sse-starlette) turns a generator into a response and writes each event anew for each who follows;
the bounded queues and the ``reset``, which are what this is about, would still be here.

    alert   a message of an alert (``AlertEvent``); the event's id is the place in the journals
    vitals  how it goes (``Vitals``)
    desk    somebody acknowledged an alert or exempted a host
    blocks  a decision was made
    status  whether a sensor runs, and what is blocked (``Status``), whenever that changed
    reset   something was left out

Who is bound to prefixes is told of alerts, blocks and figures within them alone.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Set
from typing import Final, NamedTuple

import msgspec

from sensor.alerts.alert import Alert
from sensor.alerts.gist import gist
from sensor.base.access import EVERYTHING, Reach
from sensor.base.database import DatabaseError
from sensor.console.status import Mode, Status
from sensor.console.view import Place, StateGoneError, View
from sensor.console.web.auth import log
from sensor.console.web.places import Seal, place_text
from sensor.console.web.schemas import AlertEvent
from sensor.console.web.view_pool import ViewPool

__all__ = ["Follower", "alert_event"]

_LOOK: Final = 0.2
"""Seconds."""
_MOST_AT_ONCE: Final = 500
_FAR_BEHIND: Final = 10_000
"""Messages: what is older is left out, and everybody told so."""
_WAITING: Final = 64
"""Chunks for one who follows."""
_HEARTBEAT: Final = 15.0
_RESET: Final = b"event: reset\ndata: {}\n\n"


def alert_event(alert: Alert) -> AlertEvent:
    """What the stream tells of a message."""
    fields = [name for name in AlertEvent.__struct_fields__ if name != "gist"]
    return AlertEvent(**{name: getattr(alert, name) for name in fields}, gist=gist(alert))


def _event(name: str, data: object, id_: str = "") -> bytes:
    line = f"id: {id_}\n".encode() if id_ else b""
    return line + f"event: {name}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"


class _Told(NamedTuple):
    at: Place
    id: str
    alert: Alert
    event: bytes
    """for who sees everything"""


class Follower:
    """Looks on for everybody."""

    def __init__(
        self, views: ViewPool, most: int, mode: Mode = "dry-run", seal: Seal | None = None
    ) -> None:
        """``mode``: of blocking, where nothing was decided yet."""
        self._seal = seal or Seal(secrets.token_bytes(32))
        self._views = views
        self._most = most
        self._mode: Mode = mode
        self._last: dict[Reach, Status] = {}
        self._looked = 0.0
        self._following: dict[asyncio.Queue[bytes | None], Reach] = {}
        self._place: Place | None = None
        self._vitals = 0
        self._changes: dict[str, int] = {}
        self._fault = ""
        self.resets = 0
        self.generation = 0
        """goes up before anything new is told"""

    def __len__(self) -> int:
        return len(self._following)

    @property
    def full(self) -> bool:
        """Whether nobody more can follow."""
        return len(self._following) >= self._most

    async def run(self) -> None:
        """For ever, after :meth:`look`."""
        while True:
            await asyncio.sleep(_LOOK)
            await self.look()

    async def look(self) -> None:
        """Tell what is new; the first time nothing but how it is: all before that is old.

        To be called before anybody can follow, who would miss what comes before the first look.
        """
        reaches = {EVERYTHING, *self._following.values()}
        try:
            news = await self._views.watch(lambda view: self._look(view, reaches))
        except (DatabaseError, msgspec.DecodeError, OSError) as error:
            if str(error) != self._fault:  # it may be read later: said once
                self._fault = str(error)
                log(f"nothing new is told: {error}")
                self._tell(_event("status", _unknown(self._fault)))
            if isinstance(error, StateGoneError):
                self._place, self._last = None, {}
                self._tell(_RESET)
            return
        self._fault = ""
        for reach, chunks in news.items():
            for chunk in chunks:
                self._tell(chunk, reach)

    def stop(self) -> None:
        """Let everybody go."""
        for queue in self._following:
            _replace(queue, None)

    def _look(self, view: View, reaches: Set[Reach]) -> dict[Reach, list[bytes]]:
        """What is new, as events, for each of some reaches."""
        changed = view.refresh()
        if self._place is None:
            self._place, self._changes = view.end, view.decided
            return self._how_it_is(view, reaches)
        if not changed:
            # A sensor that died changes nothing: that is looked for once a second.
            return self._how_it_is(view, reaches) if time.monotonic() > self._looked + 1 else {}
        self.generation += 1
        news = self._how_it_is(view, reaches)
        end = view.end
        common = []
        if sum(end.values()) - sum(self._place.values()) > _FAR_BEHIND:
            self._place = end
            common.append(_RESET)
        found, self._place = view.each_after(self._place, _MOST_AT_ONCE)
        if _before(self._place, end):
            view.look_again()
        told = [_Told(at, alert.id, alert, _event("alert", alert_event(alert), place_text(at)))
                for alert, at in found]  # fmt: skip
        changes = view.decided
        new = {name for name in changes if changes[name] != self._changes.get(name)}
        self._changes = changes
        common += [_event(name, {}) for name in ("desk", "blocks") if name in new]
        vitals, last = {}, self._vitals
        for reach in reaches:
            for one in view.within(reach).rates(60, 1)[-1:]:
                last = one.ts
                vitals[reach] = _event("vitals", one)
        for reach in reaches:
            seen = view.within(reach).may_see({one.id for one in told})
            mine = b"".join(self._event_of(one, reach) for one in told if one.id in seen)
            news[reach] = [*news.get(reach, []), *common, *([mine] if mine else [])]
            if last != self._vitals:
                news[reach].append(vitals[reach])
        self._vitals = last
        return news

    def _event_of(self, one: _Told, reach: Reach) -> bytes:
        if reach.everything:
            return one.event
        return _event("alert", alert_event(one.alert), self._seal.text(one.at, reach))

    def _how_it_is(self, view: View, reaches: Set[Reach]) -> dict[Reach, list[bytes]]:
        """The status as an event, where anything but the time has changed."""
        self._looked = time.monotonic()
        news, last = {}, self._last
        self._last = {}
        for reach in reaches:
            status = view.within(reach).status(self._mode)
            self._last[reach] = msgspec.structs.replace(status, silent=None, now=0)
            if self._last[reach] != last.get(reach):
                news[reach] = [_event("status", status)]
        self.generation += bool(news)
        return news

    def _tell(self, chunk: bytes, to: Reach | None = None) -> None:
        """To those of a reach; without one, to everybody."""
        for queue, reach in self._following.items():
            if to is not None and reach != to:
                continue
            if queue.full():
                self.resets += 1
                _replace(queue, _RESET)
            else:
                queue.put_nowait(chunk)

    async def follow(
        self,
        after: Place | None,
        welcome: Callable[[], bool] = lambda: True,
        reach: Reach = EVERYTHING,
    ) -> AsyncIterator[bytes]:
        """Events from now on, or from a place on, for as long as who follows is ``welcome``.

        A comment where there is nothing to tell.
        """
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self._following[queue] = reach
        try:
            yield b"retry: 2000\n: port25\n\n"
            if after is not None:
                missed = await self._views.read(lambda v: self._missed(v.within(reach), after))
                yield missed
            while True:
                try:
                    chunk = await asyncio.wait_for(queue.get(), _HEARTBEAT)
                except TimeoutError:
                    chunk = f": {int(time.time())}\n\n".encode()
                if chunk is None or not welcome():
                    return
                yield chunk
        finally:
            del self._following[queue]

    def _missed(self, view: View, after: Place) -> bytes:
        """What came after a place; ``reset`` where that is too much, or no place of ours."""
        end = view.end
        if any(number > end.get(name, 0) for name, number in after.items()):
            return _RESET
        found, reached = view.each_after(after, _MOST_AT_ONCE)
        if _before(reached, end):
            return _RESET
        return b"".join(
            _event("alert", alert_event(one), self._seal.text(at, view.reach)) for one, at in found
        )


def _before(place: Place, end: Place) -> bool:
    """Whether there is more."""
    return any(place.get(name, 0) < number for name, number in end.items())


def _unknown(fault: str) -> Status:
    """The status while the state folder cannot be read."""
    return Status(False, None, 0, "off", 0, 0, False, fault)


def _replace(queue: "asyncio.Queue[bytes | None]", chunk: bytes | None) -> None:
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(chunk)
