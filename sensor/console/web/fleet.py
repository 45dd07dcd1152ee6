"""All machines that work together: what who decides has heard of them."""

import time

import msgspec

from sensor.cluster.fleet import SILENT, Member, members_of
from sensor.console.web.operation import ApiRequest

__all__ = ["FleetPage", "fleet"]


class FleetPage(msgspec.Struct, frozen=True):
    """Sensors, those who correlate, and who decides."""

    now: int
    """nanoseconds since 1970"""
    silent_after: int
    """nanoseconds without a word after which something is amiss"""
    members: list[Member]


def fleet(request: ApiRequest) -> FleetPage:
    """As it is written in the state folder; nobody where nobody decides there."""
    return FleetPage(time.time_ns(), SILENT, members_of(request.view.state))
