"""Are own mail servers missing in the settings? The busiest candidates."""

from collections.abc import Iterator
from typing import Final

from sensor.base.addresses import span, text
from sensor.doctor.finding import Finding, Patient
from sensor.doctor.traffic import Client, Traffic
from sensor.settings import Settings

__all__ = ["PLACE", "candidates", "look"]

PLACE: Final = 90
_SERVERS: Final = 10
"""Servers that one speaks to who relays others' mail."""
_ANSWERED: Final = 0.8
_CALLERS: Final = 5
_SHARE: Final = 0.1
"""Of all clients, that speak to the same server."""
_SHOWN: Final = 5
_LOW: Final = (1 << 64) - 1


def look(patient: Patient) -> Iterator[Finding]:
    """Servers that are named and silent; hosts that look like servers and are not named."""
    traffic, settings = patient.traffic, patient.settings
    if traffic is None or not traffic.segments:
        return
    own = [span(name) or (1, 0) for name in settings.own_mail_servers]
    seen = traffic.clients.keys() | traffic.callers.keys()
    for name, (first, last) in zip(settings.own_mail_servers, own, strict=True):
        if not any(first <= one <= last for one in seen):
            yield Finding(
                "mail servers", "advice", f"{name}: no mail from or to it was seen",
                "look for longer; else it is not mirrored here, which may be as you want it",
            )  # fmt: skip
    found = candidates(traffic, own)
    for said, address in found:
        yield Finding("mail servers", "advice", said, _todo(settings, address))
    if not found:
        yield Finding("mail servers", "fine", "nobody else looks like one of the provider's")


def candidates(traffic: Traffic, own: list[tuple[int, int]]) -> list[tuple[str, int]]:
    """What looks like the provider's and is none of ``own``: what it does, and its address."""
    return [*_senders(traffic, own), *_receivers(traffic, own)]


def _name(address: int) -> str:
    return text(address >> 64, address & _LOW)


def _is_own(address: int, own: list[tuple[int, int]]) -> bool:
    return any(first <= address <= last for first, last in own)


def _senders(traffic: Traffic, own: list[tuple[int, int]]) -> Iterator[tuple[str, int]]:
    """Who speaks to many servers, and is answered."""

    def relays(client: Client) -> bool:
        answered = client.answered / client.opened
        return len(client.servers) >= _SERVERS and answered >= _ANSWERED

    some = [(c.opened, a) for a, c in traffic.clients.items() if relays(c) and not _is_own(a, own)]
    for opened, address in sorted(some, reverse=True)[:_SHOWN]:
        client = traffic.clients[address]
        yield (
            f"{_name(address)} opened {opened:,} connections to {len(client.servers)} servers or"
            f" more, {client.answered / opened:.0%} answered: a mail server, or a careful bot",
            address,
        )


def _receivers(traffic: Traffic, own: list[tuple[int, int]]) -> Iterator[tuple[str, int]]:
    """To whom many of the clients speak."""
    least = max(_CALLERS, round(_SHARE * len(traffic.clients)))
    some = [
        (len(callers), address)
        for address, callers in traffic.callers.items()
        if len(callers) >= least and not _is_own(address, own)
    ]
    for count, address in sorted(some, reverse=True)[:_SHOWN]:
        yield (
            f"{_name(address)} takes mail of {count} clients of {len(traffic.clients):,}, or more",
            address,
        )


def _todo(settings: Settings, address: int) -> str:
    name = _name(address)
    return f'if it is yours, own_mail_servers = [..., "{name}"]; if not, leave it'
