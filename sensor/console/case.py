"""A case: all that is known of one subscriber, and all that was done about him, in order of time.

It is named by the customer's pseudonym where leases tell whose an address is, else by the host.
Nothing of it is kept twice: alerts are the journal's, blocks the ledger's; notes, tickets, letters
and exemptions the desk's. What is said of the case itself, and not of one of its alerts, stands in
the desk's book under the case's name. Times of alerts and blocks are of packets, those of persons
the clock's; of live traffic they are the same.
"""

import time
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from sensor.alerts.alert import Alert
from sensor.base.sentences import Sentence
from sensor.blocking.decision import Decision
from sensor.blocking.desk import Acknowledged, Desk, Exempted, Letter
from sensor.blocking.handling import Act, ActError, ActName, Verdict, case_of
from sensor.complaints.complaint import Complaint, Weight
from sensor.console.corroboration import beside, had
from sensor.console.listing import Seen
from sensor.console.view import View
from sensor.customers.words import Address
from sensor.state.folder import StateFolder

__all__ = ["Case", "CaseEvent", "act_on", "case"]

_ALERTS: Final = 200
_EVENTS: Final = 1000
"""Shown at most; the newest."""
_SAID: Final[tuple[ActName, ...]] = ("note", "ticket")
"""What can be done about a case as a whole."""

What = Literal["alert", "decision", "act", "letter", "exempt", "complaint"]


class CaseEvent(msgspec.Struct, frozen=True):
    """Something that happened, or that somebody did."""

    ts: int
    """nanoseconds since 1970: packet time of ``alert`` and ``decision``, else wall time"""
    what: What
    kind: str
    """of an alert its state, of a decision its action, of an act its name, of a letter its kind;
    exempt: ``exempt``, ``lift``; of a complaint its kind
    """
    host: str = ""
    alert: str = ""
    """id of the alert it is about; empty: it is about the case"""
    by: str = ""
    """the person, or who complains; empty: the sensor"""
    text: str = ""
    """a person's words, a letter's recipient and subject, a reason"""
    cause: Sentence | None = None
    """a reason as code and figures"""
    until: int = 0
    """of what ends: when, nanoseconds since 1970"""
    owner: str = ""
    verdict: Verdict = ""
    ticket: str = ""
    enforced: bool | None = None
    """of a decision: whether it is carried out; null: it is none"""
    score: float | None = None
    """of an alert: decibans"""


class Case(msgspec.Struct, frozen=True):
    """What is known of it."""

    name: str
    customer: str
    """his pseudonym; empty: the case is a host's"""
    ticket: str
    """its own, that its alerts have too; empty: none"""
    addresses: list[Address]
    """of a customer, as his alerts tell them; the newest first"""
    alerts: list[Seen]
    """raised last first"""
    events: list[CaseEvent]
    """the newest first"""
    weight: Weight
    """what complaints come to; they change no score"""
    left_out: int
    """alerts and events that are older than those"""


def _alert(one: Alert) -> CaseEvent:
    return CaseEvent(one.ts, "alert", one.state, one.host, one.id, score=one.score)


def _decision(one: Decision) -> CaseEvent:
    by = "" if one.by == "port25" else one.by
    cause = next(iter(one.causes), None)
    ends = one.expires if one.action in ("block", "lookup") else 0
    return CaseEvent(
        one.ts, "decision", one.action, one.host, one.alert, by, "; ".join(one.reasons[:1]), cause,
        ends, enforced=one.enforced,
    )  # fmt: skip


def _act(one: Acknowledged, host: str, alert: str) -> CaseEvent:
    return CaseEvent(
        one.ts, "act", one.act, host, alert, one.by, one.reason, None, one.until, one.owner,
        one.verdict, one.ticket,
    )  # fmt: skip


def _letter(one: Letter, host: str, alert: str) -> CaseEvent:
    sent = "" if one.sent else " (not sent)"
    text = f"{one.recipient}: {one.subject}{sent}"
    return CaseEvent(one.ts, "letter", one.kind, host, alert, one.by, text)


def _complaint(one: Complaint) -> CaseEvent:
    return CaseEvent(one.ts, "complaint", one.kind, one.address, "", one.reporter, one.detail)


def _exempt(one: Exempted) -> CaseEvent:
    kind = "exempt" if one.until > one.ts else "lift"
    return CaseEvent(one.ts, "exempt", kind, one.host, "", one.by, one.reason, None, one.until)


def _his(one: Exempted, name: str, addresses: list[Address]) -> bool:
    """Whether the address was the case's at that time."""
    if one.host == name:
        return True
    return any(
        at.address == one.host and at.since <= one.ts and (at.until is None or one.ts < at.until)
        for at in addresses
    )


def _said(desk: Desk, name: str, alerts: list[Seen], addresses: list[Address], whole: bool
          ) -> Iterator[CaseEvent]:  # fmt: skip
    """What persons did."""
    for one in alerts:
        host, id_ = one.head.host, one.head.id
        yield from (_act(note, host, id_) for note in desk.notes(id_))
        yield from (_letter(letter, host, id_) for letter in desk.letters(id_))
    if whole:
        yield from (_act(note, "", "") for note in desk.notes(name))
    for host in {name, *(one.head.host for one in alerts)}:
        yield from (_exempt(one) for one in desk.said_of(host) if _his(one, name, addresses))


def _whole(view: View, name: str, alerts: list[Seen]) -> bool:
    """Whether whoever asks sees all of the case, and not some of a customer's alerts alone."""
    if view.sees(name):
        return True
    there = {head.id for journal in view.books.journals for head in journal.heads_of(name)}
    return len(there) == len(alerts)


def case(view: View, name: str) -> Case | None:
    """The case of a host, or of a customer by his pseudonym; None: nothing is known of either."""
    books, alerts = view.books, view.of_host(name)
    customer = name if any(one.head.customer == name for one in alerts) else ""
    shown = alerts[:_ALERTS]
    ids = [one.head.id for one in shown]
    turns = [turn for journal in books.journals for turn in journal.turns(ids)]
    addresses = had(turns) if customer else []
    events = [_alert(turn) for turn in turns if turn.state != "refreshed"]
    if books.ledger is not None:
        found = books.ledger.of_case(name, _EVENTS)
        events += [_decision(one) for one in found if view.sees(one.customer or one.host)]
    ticket, whole = "", _whole(view, name, alerts)
    if books.desk is not None:
        if not customer and not view.reach.covers(name):
            whole = False
        events += _said(books.desk, name, shown, addresses, whole)
        ticket = books.desk.tickets([name]).get(name, "") if whole else ""
    if not alerts and not events:
        return None
    first = min((one.head.opened for one in shown), default=view.now)
    said = beside(view, name, first, max(view.now, time.time_ns()), addresses)
    events += [_complaint(one) for one in said.complaints]
    events.sort(key=lambda one: (-one.ts, one.what, one.alert))
    left = len(alerts) - len(shown) + max(0, len(events) - _EVENTS)
    return Case(name, customer, ticket, addresses, shown, events[:_EVENTS], said.weight, left)


def act_on(view: View, name: str, act: Act) -> bool:
    """What a person does about a case as a whole; False: there is none. Raises ActError."""
    if act.act not in _SAID:
        raise ActError(f"of a case there are {' and '.join(_SAID)}")
    alerts = view.of_host(name)
    if not alerts or not _whole(view, name, alerts):
        return False
    if all(case_of(one.head.host, one.head.customer) != name for one in alerts):
        return False
    view.note(act.by, act.act, [(name, "")], act.reason or act.ticket)
    desk = Desk(StateFolder(view.state).desk)
    try:
        desk.act({name: 0}, time.time_ns(), act)
    finally:
        desk.close()
    return True
