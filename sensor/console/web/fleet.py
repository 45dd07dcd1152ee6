"""All machines that work together: what who decides has heard of them."""

import time

import msgspec

from sensor.cluster.brokers import Brokers, brokers_of
from sensor.cluster.fleet import SILENT, STALE, Member, members_of, written_at
from sensor.console.web.operation import ApiRequest

__all__ = ["FleetPage", "fleet"]


class FleetPage(msgspec.Struct, frozen=True):
    """Sensors, those who correlate, and who decides."""

    now: int
    """nanoseconds since 1970"""
    silent_after: int
    """nanoseconds without a word after which something is amiss"""
    written: int
    """when who decides last wrote here what he heard; 0: never"""
    stale_after: int
    """nanoseconds after which that is of before: nobody decides in this folder now"""
    members: list[Member]
    kafka: Brokers | None
    """whether Kafka answers who follows its topics in this folder; null: nobody does"""


def fleet(request: ApiRequest) -> FleetPage:
    """As it is written in the state folder; nobody where nobody decides there."""
    state = request.view.state
    return FleetPage(
        time.time_ns(), SILENT, written_at(state), STALE, members_of(state), brokers_of(state)
    )
