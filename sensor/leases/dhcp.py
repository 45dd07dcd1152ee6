"""Leases by DHCP as it passes by on an interface; see ``dhcp_leases``.

The interface is opened before privileges are given up; a process that is started again goes on with
the same socket. What is on its way while it is started waits in the kernel.
"""

import select
import time
from typing import Final

import msgspec

from sensor.base.sentences import sentence
from sensor.capture.block import CaptureError
from sensor.capture.datagrams import Datagrams
from sensor.leases.dhcp_leases import DhcpLeases
from sensor.leases.dhcp_message import FOUR_PORTS, SIX_PORTS
from sensor.leases.intake import Intake
from sensor.leases.listening import networks
from sensor.leases.settings import CustomerSettings, LeaseSettingsError

__all__ = ["Dhcp"]

_PORTS: Final = (*FOUR_PORTS, *SIX_PORTS)


class Dhcp:
    """``customers.dhcp``; see ``Source``."""

    name = "dhcp"
    position = ""

    def __init__(self, settings: CustomerSettings) -> None:
        """Raises LeaseSettingsError."""
        one = settings.dhcp
        self._leases = DhcpLeases(one.customer, networks("customers.dhcp.servers", one.servers))
        self.intake = Intake(f"DHCP on {', '.join(one.interfaces)}", settings)
        self._reader = self.intake.new_reader()
        self._said: set[str] = set()
        try:
            self._taps = [Datagrams(name, _PORTS) for name in one.interfaces]
        except CaptureError as error:
            raise LeaseSettingsError(f"customers.dhcp.interfaces: {error}") from None

    def open(self, position: str) -> None:
        """See ``Source``: an interface has no past."""

    def turn(self, seconds: float) -> None:
        """See ``Source``."""
        ready, _, _ = select.select(self._taps, [], [], seconds)
        for tap in ready:
            try:
                for frame in tap.read():
                    self._on_frame(frame, tap)
            except OSError as error:  # it is down: nothing comes until it is up again
                self._say(tap.name, error.strerror or str(error))
                time.sleep(seconds)
        self._leases.counts["dhcp_dropped"] = sum(tap.dropped for tap in self._taps)

    def taken(self) -> None:
        """See ``Source``: nobody is answered."""

    def counters(self) -> dict[str, int]:
        """See ``Source``."""
        return self._leases.counts

    def _say(self, kind: str, error: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            said = sentence("leases.unheard", source=self.intake.source, error=f"{kind}: {error}")
            self.intake.say(said)

    def _on_frame(self, frame: bytes, tap: Datagrams) -> None:
        before = self._leases.counts["dhcp_ill_formed"]
        where = sentence("leases.sender", sender=tap.name)
        for one in self._leases.hear(frame, tap.link, self.intake.now()):
            line = {
                "from": one.since, "until": one.until or None, "prefix": one.prefix,
                "customer": one.customer,
            }  # fmt: skip
            self.intake.take(msgspec.json.encode(line).decode(), self._reader, where)
        if self._leases.counts["dhcp_ill_formed"] != before and "ill_formed" not in self._said:
            self._said.add("ill_formed")
            why = sentence("leases.broken_packet", error=self._leases.fault)
            source = self.intake.source
            self.intake.say(sentence("leases.packet", source=source, where=where, why=why))
