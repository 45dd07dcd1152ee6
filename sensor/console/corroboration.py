"""What others say of the host of an alert, beside what the sensor saw. It changes no score."""

import contextlib
import ipaddress
from collections.abc import Iterable
from typing import Final

import msgspec

from sensor.alerts.alert import Alert
from sensor.base.units import DAY
from sensor.complaints.book import Complaints, Refused
from sensor.complaints.complaint import Complaint, Weight, weigh
from sensor.console.bounds import hosts_within
from sensor.console.view import View
from sensor.customers.words import Address
from sensor.hosts.subscribers import where
from sensor.state.folder import StateFolder

__all__ = ["Corroboration", "beside", "had", "newest"]

_MOST: Final = 200


class Corroboration(msgspec.Struct, frozen=True):
    """Complaints near an alert, and what they come to."""

    weight: Weight
    complaints: list[Complaint]
    """the newest first, 200 at most"""


def _book(view: View) -> Complaints | None:
    path = StateFolder(view.state).complaints
    return Complaints(path, read_only=True) if path.exists() else None


def had(messages: Iterable[Alert]) -> list[Address]:
    """The addresses of a customer as messages of his alerts tell them, the newest first."""
    found: dict[tuple[str, int], Address] = {}
    for one in messages:
        for address in one.addresses or ():
            found[address.address, address.since] = address
    return sorted(found.values(), key=lambda one: (-one.since, one.address))


class _Leases:
    """Whose an address and port were."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._leases = [(*where(one.address), one.since, one.until) for one in addresses]

    def had(self, address: str, port: int, ts: int) -> bool:
        """Whether they were the customer's at ``ts`` (ns); of a shared address the port tells."""
        one = ipaddress.ip_address(address)
        return any(
            one in network
            and (ports is None or ports[0] <= port <= ports[1])
            and since <= ts
            and (until is None or ts < until)
            for network, ports, since, until in self._leases
        )


def beside(
    view: View, host: str, first: int, last: int, addresses: Iterable[Address] = (), days: int = 7
) -> Corroboration:
    """Of an alert on ``host`` from ``first`` to ``last`` (ns), and some days around.

    ``addresses``: of a known customer; then what was said of each while it was his.
    """
    leases = [one for one in addresses if view.reach.covers(one.address)]
    found: list[Complaint] = []
    span = first - days * DAY, last + days * DAY
    if (book := _book(view)) is not None:
        with contextlib.closing(book):
            if leases:
                found = book.of_times(_Leases(leases).had, *span, _MOST)
            elif view.reach.covers(host):
                found = book.of({host}, *span, _MOST)
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
