"""Where an alert's host went: whose the addresses are, by a table; their names, if DNS is asked.

Off unless the settings say so.
"""

import time
from typing import Final

import msgspec

from sensor.console.networks import NetworksError
from sensor.console.web.app_state import ApiError
from sensor.console.web.operation import ApiRequest

__all__ = ["DestinationInfo", "Destinations", "page"]

_ALL: Final = 4.0
"""Seconds for all names of one alert."""


class DestinationInfo(msgspec.Struct, frozen=True):
    """What is known of an address."""

    address: str
    asn: int
    """number of its autonomous system; 0: not known"""
    network: str
    """name of that"""
    ptr: str
    """its name by DNS, which its owner writes; empty: none, or not asked"""


class Destinations(msgspec.Struct, frozen=True):
    """Of an alert, in the order of its message."""

    destinations: list[DestinationInfo]
    asked: bool
    """whether there is a table, or DNS is asked"""
    fault: str = ""
    """why the table or DNS could not be used"""


def page(request: ApiRequest) -> Destinations:
    """Of an alert's last message."""
    messages = request.view.messages(request.path["id"])
    if not messages:
        raise ApiError(404, "there is no such alert")
    networks, names, fault = request.app.networks, request.app.names, request.app.nameless
    until, found = time.monotonic() + _ALL, []
    for one in messages[-1].destinations:
        number, network = 0, ""
        if networks is not None:
            try:
                number, network = networks.of(one.address)
            except NetworksError as error:
                fault = str(error)
        ptr = names.of(one.address, until) if names is not None else ""
        found.append(DestinationInfo(one.address, number, network, ptr))
    return Destinations(found, networks is not None or names is not None, fault)
