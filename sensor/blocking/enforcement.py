"""What became of blocks where they are carried out. ``docs/enforcement.schema.json`` is from here.

A controller says of each block whether it is in force, since when, how long after the decision that
was, why it is not, and how many packets it has stopped. It says it to Kafka (the key is the
subscriber and the controller), and to a state folder, where the page reads it:

    controller --(Reports)--> port25.enforcement ---> a sensor's folder: enforcement.json
               \\-------------------------------> a folder beside it: enforcement-NAME.json
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.base.json_schema import published
from sensor.base.replacing import replace
from sensor.blocking.decision import Decision
from sensor.state.folder import StateFolder

__all__ = ["SCHEMA", "Enforcement", "Reports", "json_schema", "keep", "kept"]

SCHEMA: Final = "port25.enforcement/1"
_LARGEST: Final = 64 << 20
"""Bytes of a file that is read."""
_SECOND: Final = 1e9


class Enforcement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one block at one controller."""

    schema: str = SCHEMA
    controller: str
    """name of who carries it out"""
    ts: int
    """when this was so, nanoseconds since 1970"""
    time: str
    """the same, RFC 3339"""
    host: str
    """the subscriber as alerts name it"""
    state: Literal["in force", "asked", "refused", "ended"]
    """asked: nobody has answered yet"""
    why: str = ""
    """why it is refused"""
    decision: str
    """id of the decision it goes by"""
    asked: int
    """when the block was decided on, nanoseconds since 1970"""
    since: int = 0
    """since when it is in force, nanoseconds since 1970; 0: it is not"""
    delay: float | None = None
    """seconds from the decision until it was in force; null: it was there when the controller
    began
    """
    dropped: int | None = None
    """packets it has stopped, as of the last look (a minute); null: nobody counts them"""
    expires: int
    """when the block ends by itself, nanoseconds since 1970"""
    customer: str | msgspec.UnsetType = msgspec.UNSET
    """pseudonym of the customer, where it is known"""

    @property
    def key(self) -> str:
        """In Kafka."""
        return f"{self.host}@{self.controller}"


class Carrying(Protocol):
    """Of a controller, what is reported."""

    def in_force(self, ts: int) -> list[Decision]:
        """Blocks that hold."""

    @property
    def unloaded(self) -> Mapping[str, str]:
        """Those that are refused, and why."""

    @property
    def waiting(self) -> Iterable[str]:
        """Those of which nobody has said yet whether they are in force."""

    @property
    def dropped(self) -> Mapping[str, int] | None:
        """Packets that were stopped, by host; None: nobody counts."""


class Reports:
    """What one controller says, and has said."""

    def __init__(self, controller: str, before: Iterable[Enforcement] = ()) -> None:
        """``before``: what it said before it was started again."""
        self.controller = controller
        self.standing: dict[str, Enforcement] = {}
        """of each block that holds"""
        self._before = {one.host: one for one in before if one.controller == controller}
        self._earlier: dict[str, int] = {}
        """to be added to what is counted of a host now"""
        self._has_begun = False

    @property
    def waits(self) -> bool:
        """Whether something was asked that is not answered."""
        return any(one.state == "asked" for one in self.standing.values())

    def look(self, carrying: Carrying, ts: int) -> list[Enforcement]:
        """What has changed since the last time, ends too. ``ts``: now, ns."""
        refused, waiting, dropped = carrying.unloaded, set(carrying.waiting), carrying.dropped
        now: dict[str, Enforcement] = {}
        for one in carrying.in_force(ts):
            count = None if dropped is None else dropped.get(one.host, 0)
            if one.host in refused:
                now[one.host] = self._of(one, ts, "refused", why=refused[one.host][:500])
            elif one.host in waiting:
                now[one.host] = self._of(one, ts, "asked")
            else:
                now[one.host] = self._in_force(one, ts, count)
        changed = [one for one in now.values() if self._is_news(one)]
        changed += [
            msgspec.structs.replace(one, ts=ts, time=rfc3339(ts), state="ended")
            for host, one in self.standing.items()
            if host not in now
        ]
        self.standing = now
        self._earlier = {host: n for host, n in self._earlier.items() if host in now}
        self._has_begun, self._before = True, {}
        return changed

    def _known(self, one: Decision) -> Enforcement | None:
        found = self.standing.get(one.host) or self._before.get(one.host)
        return found if found is not None and found.asked == (one.since or one.ts) else None

    def _of(self, one: Decision, ts: int, state: str, **more: Any) -> Enforcement:
        made: Any = {
            "controller": self.controller, "ts": ts, "time": rfc3339(ts), "host": one.host,
            "state": state, "decision": one.id, "asked": one.since or one.ts,
            "expires": one.expires, "customer": one.customer,
        }  # fmt: skip
        return Enforcement(**made, **more)

    def _in_force(self, one: Decision, ts: int, count: int | None) -> Enforcement:
        known = self._known(one)
        if known is not None and known.state == "in force":
            since, delay = known.since, known.delay
            if not self._has_begun:  # and who counts begins anew
                self._earlier[one.host] = known.dropped or 0
        else:
            since, delay = ts, None
            if self._has_begun:
                delay = max(0.0, (ts - one.ts) / _SECOND)
            self._earlier[one.host] = -(count or 0)
        dropped = None if count is None else count + self._earlier[one.host]
        return self._of(one, ts, "in force", since=since, delay=delay, dropped=dropped)

    def _is_news(self, one: Enforcement) -> bool:
        was = self.standing.get(one.host)
        return was is None or one != msgspec.structs.replace(was, ts=one.ts, time=one.time)


# --- in a state folder ---------------------------------------------------------------------------


def keep(path: Path, standing: Sequence[Enforcement]) -> None:
    """Leave what is so now, in place of what was. Raises OSError."""
    replace(path, msgspec.json.encode(standing))


def kept(state: Path) -> dict[str, list[Enforcement]]:
    """By host, the last word of each controller; of a file that cannot be read, nothing."""
    newest: dict[str, Enforcement] = {}
    for path in StateFolder(state).enforcement_files:
        try:
            with path.open("rb") as file:
                found = msgspec.json.decode(file.read(_LARGEST), type=list[Enforcement])
        except (OSError, msgspec.DecodeError):  # of a controller's own folder, or half of one
            continue
        for one in found:
            if one.key not in newest or newest[one.key].ts < one.ts:
                newest[one.key] = one
    by_host: dict[str, list[Enforcement]] = {}
    for one in sorted(newest.values(), key=lambda one: one.controller):
        by_host.setdefault(one.host, []).append(one)
    return by_host


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a report."""
    return published(Enforcement, SCHEMA)


if __name__ == "__main__":
    import json

    print(json.dumps(json_schema(), indent=2))
