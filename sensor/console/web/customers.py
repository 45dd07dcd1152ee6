"""Who the customer behind a pseudonym is, by the API."""

from typing import Annotated

import msgspec

from sensor.console.naming import may_be_told, told_name
from sensor.console.web import schemas
from sensor.console.web.app_state import ApiError
from sensor.console.web.operation import ApiRequest

__all__ = ["CustomerName", "CustomerOf", "name"]


class CustomerOf(schemas.Body, frozen=True):
    """Whose name."""

    customer: Annotated[str, msgspec.Meta(pattern="^c-[0-9a-f]{24}$")]
    """the pseudonym, as alerts have it"""


class CustomerName(msgspec.Struct, frozen=True):
    """A name, as the source of leases has it."""

    customer: str
    name: str


def name(request: ApiRequest) -> CustomerName:
    """Tell it; the look is written down before."""
    customers = request.app.settings.customers
    if not customers.names:
        raise ApiError(409, "customers.names is not set: no names are kept")
    if not may_be_told(request.person, customers):
        raise ApiError(403, f"this needs the role {customers.names} (customers.names)")
    customer = request.body.customer
    is_seen, found = told_name(request.view, request.person.name, customer)
    if not is_seen:
        raise ApiError(404, "nothing is known of this customer")
    if not found:
        raise ApiError(404, "no name is kept of this customer")
    return CustomerName(customer, found)
