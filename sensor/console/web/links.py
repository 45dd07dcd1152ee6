"""Links out, by templates of the settings: to a customer's record, a ticket, a lease."""

from urllib.parse import quote

from sensor.alerts.alert import rfc3339
from sensor.base.access import WebLink
from sensor.console.web.schemas import Link

__all__ = ["links_for"]


def links_for(
    templates: tuple[WebLink, ...], host: str, ts: int, customer: str = "", ticket: str = ""
) -> list[Link]:
    """Filled in and escaped; those left out that want a customer or ticket where there is none.

    >>> links_for((WebLink("CRM", "https://crm.example/?ip={host}"),), "2001:db8::/56", 0)
    [Link(name='CRM', url='https://crm.example/?ip=2001%3Adb8%3A%3A%2F56')]
    """
    values = {"host": host, "time": rfc3339(ts), "customer": customer, "ticket": ticket}
    filled = {key: quote(value, safe="") for key, value in values.items()}
    return [
        Link(one.name, one.url.format_map(filled))
        for one in templates
        if all(values[name] or f"{{{name}}}" not in one.url for name in ("customer", "ticket"))
    ]
