"""A customer's name, told to who may be told it; each look is in the audit book before.

Whoever asks must see an alert of the customer: so who is bound to prefixes learns of nobody else.
"""

from sensor.base.access import ROLES, Person
from sensor.console.view import View
from sensor.leases.settings import CustomerSettings
from sensor.state.customer_names import name_of, pseudonyms_of
from sensor.state.folder import StateFolder

__all__ = ["found_by_name", "may_be_told", "told_name"]


def may_be_told(person: Person, settings: CustomerSettings) -> bool:
    """Whether somebody has the role that the settings name."""
    wanted = settings.names
    return wanted in ROLES and person.may(wanted)


def told_name(view: View, by: str, customer: str) -> tuple[bool, str]:
    """Whether ``by`` sees an alert of a customer, and then his name; empty: none is kept.

    Raises DatabaseError, and gives no name, where the look cannot be written down.
    """
    alerts = [one.head for one in view.of_host(customer) if one.head.customer == customer]
    if not alerts:
        return False, ""
    view.note(by, "name", [(alerts[0].host, alerts[0].id)], customer)
    return True, name_of(StateFolder(view.state), customer) or ""


def found_by_name(view: View, by: str, name: str) -> str:
    """The pseudonym of the customer of a name, of whom ``by`` sees an alert; empty: there is none.

    Raises DatabaseError, and tells nothing, where the look cannot be written down.
    """
    for customer in pseudonyms_of(StateFolder(view.state), name):
        if told_name(view, by, customer)[0]:
            return customer
    view.note(by, "name")  # that somebody looked, and not for whom
    return ""
