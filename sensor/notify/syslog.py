"""A syslog server: RFC 5424, over UDP (RFC 5426), TCP (RFC 6587, octets counted) or TLS (RFC 5425).

Over UDP, and over TCP until the server's end says otherwise, nobody learns what was lost: TLS or a
web server are for what must arrive.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from sensor.alerts.alert import Alert
from sensor.notify.destination import Destination, NotTakenError, Server, Way, host_and_port
from sensor.notify.forms import Form, shaped
from sensor.notify.trust import trust

if TYPE_CHECKING:
    import socket
    import ssl

__all__ = ["Syslog", "record"]

_PRIORITY: Final = {"medium": 4, "high": 3, "critical": 2}
_LARGEST: Final = 60_000
_TIMEOUT: Final = 10.0
_LAST_WORD: Final = 0.5
"""Seconds that a server has to say that it has lost what it was sent; most say nothing."""


def _word(text: str) -> str:
    """A value of structured data (section 6.3.3)."""
    return re.sub(r'(["\\\]])', r"\\\1", text)


def record(alert: Alert, form: Form, mode: str, facility: int, name: str) -> bytes:
    """One message; its text is UTF-8 without a line end."""
    priority = facility * 8 + _PRIORITY[alert.severity]
    data = f'[port25@32473 id="{alert.id}" host="{_word(alert.host)}" mode="{_word(mode)}"]'
    host = re.sub(r"[^!-~]", "-", name)[:255] or "-"
    head = f"<{priority}>1 {alert.time} {host} port25 {os.getpid()} alert.{alert.state} {data} "
    return head.encode() + b"\xef\xbb\xbf" + shaped(alert, form, mode).encode()[:_LARGEST]


class Syslog(Destination, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See the module."""

    server: Server
    transport: Literal["udp", "tcp", "tls"] = "tls"
    authority: str = ""
    """PEM file of whom to trust, besides whom the system trusts"""
    form: Form = "text"
    facility: Annotated[int, msgspec.Meta(ge=0, le=23)] = 16
    """16: local0"""
    group_most: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    """alerts sent over one connection, each a message of its own"""

    def opened(self) -> Way:
        """See ``Destination``."""
        import socket  # noqa: F401  (now, since later is too late: privileges are given up)

        context = trust(self.authority) if self.transport == "tls" else None
        return lambda alerts, mode: self._send(alerts, mode, context)

    def _connect(self, context: "ssl.SSLContext | None") -> "socket.socket":
        import socket

        host, port = host_and_port(self.server)
        plain = socket.create_connection((host, port), _TIMEOUT)
        return context.wrap_socket(plain, server_hostname=host) if context else plain

    def _send(self, alerts: Sequence[Alert], mode: str, context: "ssl.SSLContext | None") -> None:
        import socket

        name = socket.gethostname()
        records = [record(one, self.form, mode, self.facility, name) for one in alerts]
        try:
            if self.transport == "udp":
                host, port = host_and_port(self.server)
                family = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
                with socket.socket(family[0], socket.SOCK_DGRAM) as sender:
                    for one in records:
                        sender.sendto(one, family[4])
                return
            with self._connect(context) as stream:
                for one in records:
                    stream.sendall(f"{len(one)} ".encode() + one)
                stream.settimeout(_LAST_WORD)
                # A server that is gone says so by a reset, not by taking what is sent.
                with contextlib.suppress(TimeoutError):
                    if self.transport == "tls":
                        stream.unwrap()  # type: ignore[attr-defined]
                    else:
                        stream.shutdown(socket.SHUT_WR)
                        stream.recv(1)
        except (OSError, ValueError) as error:
            raise NotTakenError(str(error)) from None
