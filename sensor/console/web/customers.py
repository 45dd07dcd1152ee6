"""Who the customer behind a pseudonym is, and which one has a name, by the API."""

from typing import Annotated

import msgspec

from sensor.console.naming import found_by_name, may_be_told, told_name
from sensor.console.web import schemas
from sensor.console.web.app_state import ApiError
from sensor.console.web.operation import ApiRequest

__all__ = ["CustomerCalled", "CustomerName", "CustomerOf", "find", "name"]


class CustomerOf(schemas.Body, frozen=True):
    """Whose name."""

    customer: Annotated[str, msgspec.Meta(pattern="^c-[0-9a-f]{24}$")]
    """the pseudonym, as alerts have it"""


class CustomerCalled(schemas.Body, frozen=True):
    """Who is looked for."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    """as the source of leases has it"""


class CustomerName(msgspec.Struct, frozen=True):
    """A name, as the source of leases has it."""

    customer: str
    name: str


def _check_role(request: ApiRequest) -> None:
    """Raises ApiError where whoever asks may be told no names."""
    customers = request.app.settings.customers
    if not customers.names:
        raise ApiError(409, "customers.names is not set: no names are kept")
    if not may_be_told(request.person, customers):
        raise ApiError(403, f"this needs the role {customers.names} (customers.names)")


def find(request: ApiRequest) -> CustomerName:
    """The customer of a name, of whom whoever asks sees an alert; that is a look as well."""
    _check_role(request)
    wanted = request.body.name
    customer = found_by_name(request.view, request.person.name, wanted)
    if not customer:
        raise ApiError(404, "no alert is about a customer of this name")
    return CustomerName(customer, wanted)


def name(request: ApiRequest) -> CustomerName:
    """Tell it; the look is written down before."""
    _check_role(request)
    customer = request.body.customer
    is_seen, found = told_name(request.view, request.person.name, customer)
    if not is_seen:
        raise ApiError(404, "nothing is known of this customer")
    if not found:
        raise ApiError(404, "no name is kept of this customer")
    return CustomerName(customer, found)
