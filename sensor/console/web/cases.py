"""A customer's case by the API: what is known of it, notes on it, its ticket."""

from typing import Annotated, Literal

import msgspec

from sensor.blocking.handling import LARGEST_TICKET, Act, ActError
from sensor.complaints.complaint import Weight
from sensor.console.case import Case, CaseEvent, act_on, case
from sensor.console.web import schemas
from sensor.console.web.alert_lists import listed
from sensor.console.web.app_state import ApiError
from sensor.console.web.links import links_for
from sensor.console.web.operation import ApiRequest
from sensor.customers.words import Address

__all__ = ["CaseAct", "CasePage", "CaseQuery", "act", "page"]


class CaseQuery(schemas.Query, frozen=True):
    """Which one."""

    host: schemas.Host
    """a host as alerts name it, or a customer's pseudonym"""


class CaseAct(schemas.Body, frozen=True):
    """What somebody does about a case; what is done about its alerts is done to these."""

    host: schemas.Host
    """a host as alerts name it, or a customer's pseudonym"""
    act: Literal["note", "ticket"]
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    ticket: Annotated[str, msgspec.Meta(max_length=LARGEST_TICKET)] = ""
    """of ``ticket``: its number or address; empty, with a reason: there is none any more"""


class CasePage(msgspec.Struct, frozen=True):
    """All that is known of a subscriber, and all that was done about him."""

    name: str
    """the customer's pseudonym, or the host"""
    customer: str
    """empty: the case is a host's"""
    ticket: str
    """that its alerts have too, but those with one of their own"""
    addresses: list[Address]
    """of a customer, as his alerts tell them; the newest first"""
    alerts: list[schemas.Listed]
    """raised last first"""
    events: list[CaseEvent]
    """the newest first"""
    weight: Weight
    """what complaints come to; they change no score"""
    left_out: int
    """alerts and events that are older"""
    links: list[schemas.Link]


def _page(request: ApiRequest, found: Case) -> CasePage:
    newest = max((one.head.ts for one in found.alerts), default=request.view.newest)
    host = found.alerts[0].head.host if found.alerts else found.name
    templates = request.app.settings.web.links
    links = links_for(templates, host, newest, found.customer, found.ticket)
    return CasePage(
        found.name, found.customer, found.ticket, found.addresses,
        [listed(one) for one in found.alerts], found.events, found.weight,
        found.left_out, links,
    )  # fmt: skip


def page(request: ApiRequest) -> CasePage:
    """As it is now."""
    found = case(request.view, request.query.host)
    if found is None:
        raise ApiError(404, "nothing is known of this host")
    return _page(request, found)


def act(request: ApiRequest) -> CasePage:
    """Note something about it, or link it to a ticket."""
    body: CaseAct = request.body
    made = Act(body.act, request.person.name, body.reason.strip(), ticket=body.ticket.strip())
    try:
        done = act_on(request.view, body.host, made)
    except ActError as error:
        raise ApiError(409, str(error)) from None
    if not done:
        raise ApiError(404, "nothing is known of this host")
    request.view.refresh()
    found = case(request.view, body.host)
    assert found is not None
    return _page(request, found)
