"""An alert with the ticket that the desk has linked it or its case to, for those who are told."""

from sensor.alerts.alert import Alert

__all__ = ["Ticketed", "ticket_of"]


class Ticketed(Alert, frozen=True, kw_only=True):
    """An alert, and its ticket."""

    ticket: str = ""


def ticket_of(alert: Alert) -> str:
    """Its ticket; empty: none is known."""
    return alert.ticket if isinstance(alert, Ticketed) else ""
