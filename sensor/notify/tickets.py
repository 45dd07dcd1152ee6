"""Tickets of alerts, as the desk has them."""

from collections.abc import Sequence

import msgspec

from sensor.alerts.alert import Alert
from sensor.base.database import DatabaseError
from sensor.blocking.desk import Desk
from sensor.blocking.handling import case_of
from sensor.notify.ticketed import Ticketed
from sensor.state.folder import StateFolder

__all__ = ["with_tickets"]


def with_tickets(state: StateFolder, alerts: Sequence[Alert]) -> list[Alert]:
    """The alerts, those that are linked with their ticket.

    A desk that cannot be read costs the ticket and not the message.
    """
    if not state.desk.exists():
        return list(alerts)
    try:
        desk = Desk(state.desk, read_only=True)
        cases = {one.id: case_of(one.host, one.customer or "") for one in alerts}
        known = desk.tickets([*cases, *cases.values()])
        desk.close()
    except DatabaseError:
        return list(alerts)
    found = {id_: known.get(id_) or known.get(case, "") for id_, case in cases.items()}
    return [
        Ticketed(**msgspec.structs.asdict(one), ticket=ticket) if (ticket := found[one.id]) else one
        for one in alerts
    ]
