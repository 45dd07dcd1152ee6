"""Sparing somebody: a person exempts a subscriber, lifts that, or ends his blocks.

Where leases tell whose an address is, all of this is about the customer: what is said of an address
is said of who has it now, holds for him wherever he goes, and for nobody who has it afterwards.
"""

import time

from sensor.base.sentences import sentence
from sensor.blocking.decision import Decision
from sensor.blocking.desk import Desk, Exempted
from sensor.blocking.ledger import Ledger
from sensor.console.view import View
from sensor.hosts.customer_key import parse_pseudonym
from sensor.state.folder import StateFolder

__all__ = ["exempt", "exempted", "lift", "release", "whose"]


def whose(view: View, host: str) -> str:
    """The customer who has a host now, by what is blocked there and by alerts; else the host.

    What whoever asks does not see says nothing, nor does an alert that is over: nobody told of the
    address since then, which may be another's by now.
    """
    if parse_pseudonym(host) is not None:
        return host
    ledger = view.books.ledger
    if ledger is not None and (found := ledger.whose(host, view.now)) and view.sees(found):
        return found
    heads = [one.head for one in view.of_host(host) if one.head.customer and one.head.host == host]
    for head in sorted(heads, key=lambda head: head.ts, reverse=True):
        last = view.messages(head.id)[-1]
        if last.state != "closed" and any(
            one.address == host and one.until is None for one in last.addresses or ()
        ):
            return head.customer
    return host


def exempted(view: View, host: str) -> Exempted | None:
    """The exemption in force of a host, or of the customer who has it."""
    found = {one.host: one for one in view.exempted()}
    return found.get(host) or (found.get(whose(view, host)) if found else None)


def exempt(view: View, host: str, days: int, by: str, reason: str) -> Exempted:
    """Exempt who has a host, and end his blocks.

    Raises ValueError for a port block that is no known customer's, or beyond reach.
    """
    if not view.sees(host):
        raise ValueError(f"{host}: nothing is known of this host")
    whom = whose(view, host)
    view.note(by, "exempt", [(host, "")], f"{days} days: {reason}")
    files = StateFolder(view.state)
    desk = Desk(files.desk)
    made = desk.exempt(whom, days, max(view.now, time.time_ns()), by, reason)
    desk.close()
    if view.books.ledger is not None:
        ledger = Ledger(files.ledger)
        because = sentence("ledger.exempt", reason=reason)
        ledger.release(lambda one: _is_of(one, whom), view.now, because, by)
        ledger.close()
    return made


def lift(view: View, host: str, by: str) -> bool:
    """End the exemption of a host, or of who has it; False where there was none."""
    found = exempted(view, host) if view.sees(host) else None
    if found is None:
        return False
    view.note(by, "lift", [(found.host, "")])
    desk = Desk(StateFolder(view.state).desk)
    done = desk.lift(found.host, view.now, by)
    desk.close()
    return done


def release(view: View, host: str, by: str, reason: str) -> int:
    """End the blocks of who has a host; how many there were.

    Where there are none, other sensors may block him: they are told. Raises ValueError where it
    is no host.
    """
    if view.books.ledger is None or not view.sees(host):
        return 0
    whom = whose(view, host)
    view.note(by, "release", [(host, "")], reason)
    ledger = Ledger(StateFolder(view.state).ledger)
    ended = ledger.release(lambda one: _is_of(one, whom), view.now, reason, by)
    if not ended and ledger.shared:
        ledger.tell(whom, max(view.now, time.time_ns()), reason, by)
    ledger.close()
    return len(ended)


def _is_of(one: Decision, whom: str) -> bool:
    return whom in (one.host, one.customer)
