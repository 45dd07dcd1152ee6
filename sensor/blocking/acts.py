"""What persons do at the desk, for programs elsewhere: who, when, what, about which alert or host.

``docs/act.schema.json`` is exported from here. Acts lie in tables with numbers of their own: what
was done about alerts and cases and what was said of exemptions at the desk, releases and words that
let blocking go on in the ledger. A feed reads one of them; what came from another sensor is told
there, not here.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.base.ids import id_of
from sensor.base.json_schema import published
from sensor.blocking.desk import Desk
from sensor.blocking.handling import ActName, Verdict
from sensor.blocking.ledger import Ledger
from sensor.hosts.customer_key import parse_pseudonym
from sensor.state.folder import StateFolder
from sensor.state.journal import RAISED_ALONE, Journal

__all__ = [
    "ACTS",
    "SCHEMA",
    "ActFeed",
    "DeskAct",
    "feeds",
    "json_schema",
    "of_alerts",
    "of_resumes",
]

SCHEMA: Final = "port25.act/1"
ACTS: Final = "acts:alerts"
"""Name of the feed of what was done about alerts and cases."""
_ID: Final = re.compile("[0-9a-f]{32}")
Done = ActName | Literal["exempt", "lift", "release", "resume"]


class DeskAct(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person did."""

    schema: str = SCHEMA
    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    """the same whenever this act is told"""
    ts: int
    """when, nanoseconds since 1970: wall time; of a release packet time where that is behind"""
    time: str
    """the same, RFC 3339"""
    act: Done
    by: str
    """who; empty in exemptions of old that were lifted"""
    host: str = ""
    """the subscriber as alerts name it; empty: it is about blocking as a whole, or a customer"""
    customer: str = ""
    """his pseudonym, where leases tell whose the address is"""
    alert: str = ""
    """id; empty: it is about the case, or the host"""
    reason: str = ""
    verdict: Verdict = ""
    owner: str = ""
    """of ``assign``"""
    ticket: str = ""
    """of ``ticket``"""
    until: int = 0
    """of what ends: exempt, snooze, and a release that holds; nanoseconds since 1970"""
    sensor: str = ""
    """at which it was done, where it has a name"""
    revision: Annotated[int, msgspec.Meta(ge=0)] = 0
    """of the alert, as the person saw it"""
    whose: str = ""
    """of ``resume``: name of the sensor, or of who decides for all, whose blocking goes on"""

    @property
    def about(self) -> str:
        """The alert's id, else the case's name."""
        return self.alert or self.customer or self.host


Numbered = tuple[int, DeskAct | None]
"""A row's number, and the act; None: it is not to be told."""


def _made(act: Done, ts: int, by: str, where: str, **more: Any) -> DeskAct:
    text = "|".join((SCHEMA, act, str(ts), by, where, more.get("host", ""), more.get("alert", "")))
    id_ = id_of(text)
    return DeskAct(id=id_, ts=ts, time=rfc3339(ts), act=act, by=by, **more)


class ActFeed(NamedTuple):
    """One table of acts."""

    name: str
    """as a source, under which it is kept how far somebody is"""
    changes: Callable[[], int]
    """a number that differs after somebody has written"""
    last: Callable[[], int]
    """number of its newest row"""
    read: Callable[[int, int], list[Numbered]]
    """rows with numbers above one, so many at most"""


def _of_alerts(desk: Desk, journals: list[Journal], sensor: str, to_desks: bool = False) -> ActFeed:
    """``to_desks``: without what is about alerts that no other desk ever hears of."""

    def raised_alone(names: list[str]) -> set[str]:
        return {name for one in journals for name in one.fitting(names, RAISED_ALONE)}

    def whose(name: str) -> dict[str, str]:
        if not _ID.fullmatch(name):
            return _whom(name)
        head = next((h for journal in journals if (h := journal.head(name))), None)
        found = {"host": head.host, "customer": head.customer} if head is not None else {}
        return {"alert": name, **found}

    def read(after: int, most: int) -> list[Numbered]:
        done = desk.done_after(after, most)
        here = raised_alone([row.about for _, row, _ in done]) if to_desks else set()
        return [
            (number, None if row.sensor or row.about in here else _made(
                one.act, one.ts, one.by, f"alert {number}", reason=one.reason,
                verdict=one.verdict, owner=one.owner, ticket=one.ticket, until=one.until,
                sensor=sensor, revision=row.revision, **whose(row.about)))
            for number, row, one in done
        ]  # fmt: skip

    return ActFeed(ACTS, lambda: desk.changes, desk.last_done, read)


def _whom(name: str) -> dict[str, str]:
    """A host, or a customer by his pseudonym."""
    return {"customer": name} if parse_pseudonym(name) is not None else {"host": name}


def _of_exemptions(desk: Desk, sensor: str) -> ActFeed:
    def read(after: int, most: int) -> list[Numbered]:
        return [
            (number, None if elsewhere else _made(
                "exempt" if one.until > one.ts else "lift", one.ts, one.by, f"word {number}",
                **_whom(one.host), reason=one.reason, until=max(0, one.until), sensor=sensor))
            for number, elsewhere, one in desk.said(after, most)
        ]  # fmt: skip

    return ActFeed("acts:exemptions", lambda: desk.changes, lambda: desk.last, read)


def _of_ledger(ledger: Ledger, sensor: str) -> ActFeed:
    def read(after: int, most: int) -> list[Numbered]:
        found: list[Numbered] = []
        for number, one in ledger.by_persons(after, most):
            made = None
            exempt = any(cause.code == "ledger.exempt" for cause in one.causes)
            if not one.desk and not exempt and one.action == "release":
                made = _made(
                    one.action, one.ts, one.by, one.id, alert=one.alert,
                    **{**_whom(one.host), "customer": one.customer or ""},
                    reason="; ".join(one.reasons),
                    until=one.held_until, sensor=sensor or one.sensor,
                )  # fmt: skip
            found.append((number, made))
        return found

    return ActFeed("acts:ledger", lambda: ledger.changes, lambda: ledger.last, read)


def of_resumes(ledger: Ledger, sensor: str, here: str = "") -> ActFeed:
    """Whose blocking was let go on here; ``here``: whose the ledger is, if not ``sensor``'s."""

    def read(after: int, most: int) -> list[Numbered]:
        return [
            (number, None if one.sensor else _made(
                "resume", one.ts, one.by, f"resumed {number}", reason=one.reason,
                sensor=sensor, whose=one.whose or here or sensor))
            for number, one in ledger.resumes.page(after, most)
        ]  # fmt: skip

    return ActFeed("acts:resumes", lambda: ledger.changes, lambda: ledger.resumes.last, read)


def of_alerts(state: StateFolder, sensor: str) -> ActFeed:
    """What was done about alerts and cases, for all other desks. Raises DatabaseError.

    What is done about an alert that a sensor raised alone stays with it (``Alert.alone``).
    """
    Desk(state.desk).close()  # brings one of before up to date
    journals = [Journal(path, read_only=True) for path in state.journals]
    return _of_alerts(Desk(state.desk, read_only=True), journals, sensor, to_desks=True)


def feeds(state: StateFolder, sensor: str = "") -> list[ActFeed]:
    """All there are in a state folder now. Raises DatabaseError."""
    found: list[ActFeed] = []
    if state.desk.exists():
        Desk(state.desk).close()  # brings one of before up to date
        journals = [Journal(path, read_only=True) for path in state.journals]
        desk = Desk(state.desk, read_only=True)
        found += [_of_alerts(desk, journals, sensor), _of_exemptions(desk, sensor)]
    if state.ledger.exists():
        Ledger(state.ledger).close()  # the same
        ledger = Ledger(state.ledger, read_only=True)
        found += [_of_ledger(ledger, sensor), of_resumes(ledger, sensor)]
    return found


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an act."""
    return published(DeskAct, SCHEMA)


if __name__ == "__main__":
    import json

    print(json.dumps(json_schema(), indent=2))
