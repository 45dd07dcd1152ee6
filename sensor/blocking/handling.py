"""How far the desk is with an alert: new, in work, done, or put off; whose it is, what it was.

Each act of a person is a row that stays; what they come to is kept beside them, for lists. An alert
that escalates after it was done or put off is new again: that is no act, and worked out by whoever
reads (``HANDLED``).
"""

from typing import Final, Literal

import msgspec

__all__ = [
    "HANDLED",
    "LARGEST_TICKET",
    "TABLES",
    "TICKETS",
    "Act",
    "ActError",
    "ActName",
    "Handling",
    "HandlingState",
    "Verdict",
    "after",
    "case_of",
]

HandlingState = Literal["new", "working", "done", "snoozed"]
ActName = Literal["note", "take", "assign", "done", "reopen", "snooze", "ticket"]
Verdict = Literal[
    "", "bot", "bulk_mail", "compromised", "own_server", "misconfigured", "test", "false_alarm",
    "unclear",
]  # fmt: skip
"""What it was. ``own_server``, ``misconfigured``, ``test`` and ``false_alarm``: no spam source."""
TABLES: Final = """
    ALTER TABLE acknowledged ADD COLUMN act TEXT NOT NULL DEFAULT 'done';
    ALTER TABLE acknowledged ADD COLUMN verdict TEXT NOT NULL DEFAULT '';
    ALTER TABLE acknowledged ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    ALTER TABLE acknowledged ADD COLUMN until INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE handling (
        alert TEXT PRIMARY KEY,
        ts INTEGER NOT NULL,
        state TEXT NOT NULL,
        owner TEXT NOT NULL,
        until INTEGER NOT NULL,
        verdict TEXT NOT NULL,
        revision INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO handling SELECT alert, max(ts), 'done', '', 0, '', 9223372036854775807
        FROM acknowledged GROUP BY alert;
    """
"""SQL that adds this to a desk of before; no alert is newer than notes from then."""
TICKETS: Final = """
    ALTER TABLE acknowledged ADD COLUMN ticket TEXT NOT NULL DEFAULT '';
    ALTER TABLE handling ADD COLUMN ticket TEXT NOT NULL DEFAULT '';
    """
"""SQL that adds tickets to a desk of before."""
LARGEST_TICKET: Final = 300
"""Characters of a ticket's number or address."""

HANDLED: Final = (
    "coalesce((SELECT CASE"
    " WHEN h.state IN ('done', 'snoozed') AND EXISTS (SELECT 1 FROM alerts AS later WHERE"
    " later.thread = heads.thread AND later.state = 'escalated' AND later.revision > h.revision)"
    " THEN 'new'"
    " WHEN h.state = 'snoozed' AND h.until <= ? THEN CASE h.owner WHEN '' THEN 'new'"
    " ELSE 'working' END ELSE h.state END FROM desk.handling AS h WHERE h.alert = heads.id), 'new')"
)
"""The state of an alert in SQL, on ``heads`` and an attached desk; its value is the time, ns."""


class Handling(msgspec.Struct, frozen=True):
    """How far the desk is with an alert."""

    state: HandlingState = "new"
    owner: str = ""
    until: int = 0
    """of one put off: when it comes back, wall time, nanoseconds since 1970"""
    verdict: Verdict = ""
    """what it was, in the last word on that"""
    reopened: bool = False
    """it escalated after it was done or put off"""
    ticket: str = ""
    """number or address of a ticket elsewhere: the alert's own, else that of its case"""


class Act(msgspec.Struct, frozen=True):
    """What a person does about an alert."""

    act: ActName
    by: str
    reason: str = ""
    owner: str = ""
    """of ``assign``: to whom"""
    until: int = 0
    """of ``snooze``: wall time, nanoseconds since 1970"""
    verdict: Verdict = ""
    ticket: str = ""
    """of ``ticket``: its number or address; empty: there is none any more"""


def case_of(host: str, customer: str = "") -> str:
    """The name of the case an alert belongs to: the customer's pseudonym, else the host.

    Persons act on it as on an alert: no alert's id looks like either.
    """
    return customer or host


class ActError(ValueError):
    """The act is not whole; the text says what is missing."""


def after(before: Handling, act: Act) -> Handling:
    """What an act makes of it. Raises ActError.

    >>> after(Handling(), Act("take", "ann")).owner
    'ann'
    """
    verdict, ticket = act.verdict or before.verdict, before.ticket
    match act.act:
        case "note":
            if not act.reason:
                raise ActError("a note needs a text (reason)")
            return msgspec.structs.replace(before, verdict=verdict)
        case "take":
            return Handling("working", act.by, 0, verdict, ticket=ticket)
        case "assign":
            if not act.owner:
                raise ActError("assign needs an owner")
            return Handling("working", act.owner, 0, verdict, ticket=ticket)
        case "done":
            if not act.reason and not act.verdict:
                raise ActError("what is done needs a verdict, or a text (reason)")
            return Handling("done", before.owner or act.by, 0, verdict, ticket=ticket)
        case "reopen":
            state: HandlingState = "working" if before.owner else "new"
            return Handling(state, before.owner, 0, verdict, ticket=ticket)
        case "snooze":
            if act.until <= 0:
                raise ActError("snooze needs an end (hours)")
            return Handling("snoozed", before.owner, act.until, verdict, ticket=ticket)
        case "ticket":
            if not act.ticket and not act.reason:
                raise ActError("ticket needs a number or an address, or a text why there is none")
            if len(act.ticket) > LARGEST_TICKET or not act.ticket.isprintable():
                raise ActError(f"ticket: {LARGEST_TICKET} printable characters at most")
            return msgspec.structs.replace(before, verdict=verdict, ticket=act.ticket)
