"""What others say of the host of an alert, beside what the sensor saw. It changes no score."""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from sensor.base.units import DAY
from sensor.complaints.book import Complaints, Refused
from sensor.complaints.complaint import Complaint, Weight, weigh
from sensor.console.bounds import hosts_within
from sensor.console.view import View
from sensor.customers.words import Address
from sensor.state.folder import StateFolder

__all__ = ["Corroboration", "beside", "newest"]

_MOST: Final = 200


class Corroboration(msgspec.Struct, frozen=True):
    """Complaints near an alert, and what they come to."""

    weight: Weight
    complaints: list[Complaint]
    """the newest first, 200 at most"""


def _book(view: View) -> Complaints | None:
    path = StateFolder(view.state).complaints
    return Complaints(path, read_only=True) if path.exists() else None


def _his(one: Complaint, host: str, addresses: Sequence[Address]) -> bool:
    """Whether the address was the customer's at the time; who has none by leases is the host."""
    if not addresses:
        return one.host == host
    return any(
        at.address == one.host and at.since <= one.ts and (at.until is None or one.ts < at.until)
        for at in addresses
    )


def beside(
    view: View, host: str, first: int, last: int, addresses: Iterable[Address] = (), days: int = 7
) -> Corroboration:
    """Of an alert on ``host`` from ``first`` to ``last`` (ns), and some days around."""
    had = list(addresses)
    hosts = {host, *(one.address for one in had)}
    hosts = {one for one in hosts if view.reach.covers(one)}
    found: list[Complaint] = []
    if (book := _book(view)) is not None:
        with contextlib.closing(book):
            found = book.of(hosts, first - days * DAY, last + days * DAY, _MOST)
    found = [one for one in found if _his(one, host, had)]
    return Corroboration(weigh(found), found)


def newest(view: View, most: int) -> tuple[list[Complaint], list[Refused]]:
    """Complaints that came last, and what was refused, which is told to who sees everything."""
    if (book := _book(view)) is None:
        return [], []
    with contextlib.closing(book):
        if view.reach.everything:
            return book.newest(most, hosts_within(view.reach)), book.refused()
        book.db.teach(view.reach.sql_name, view.reach.covers)
        return book.newest(most, hosts_within(view.reach)), []
