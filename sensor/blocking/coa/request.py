"""Requests of RFC 5176 and what is made of answers. No input or output here.

A request names the NAS, the session by all that is known of it, and for a change the filter. Its
answer counts if it has the request's id, and was made with the secret (Response Authenticator, and
Message-Authenticator where there is one).
"""

import ipaddress
import struct
from typing import Any, Final, NamedTuple

from sensor.blocking.coa.settings import CoaSettings

__all__ = ["GONE", "Target", "answer", "request"]

_DISCONNECT, _COA = 40, 43
_ACKS: Final = {_DISCONNECT: 41, _COA: 44}
_NAKS: Final = {_DISCONNECT: 42, _COA: 45}
_USER, _NAS_ADDRESS, _FRAMED, _FILTER, _VENDOR = 1, 4, 8, 11, 26
_NAS_NAME, _SESSION, _EVENT, _NAS_IPV6, _FRAMED_V6, _CAUSE = 32, 44, 55, 95, 97, 101
_DELEGATED, _FRAMED_ADDRESS_V6 = 123, 168
_CAUSES: Final = {
    201: "Residual Session Context Removed", 202: "Invalid EAP Packet",
    401: "Unsupported Attribute", 402: "Missing Attribute", 403: "NAS Identification Mismatch",
    404: "Invalid Request", 405: "Unsupported Service", 406: "Unsupported Extension",
    407: "Invalid Attribute Value", 501: "Administratively Prohibited",
    502: "Request Not Routable (Proxy)", 503: "Session Context Not Found",
    504: "Session Context Not Removable", 505: "Other Proxy Processing Error",
    506: "Resources Unavailable", 507: "Request Initiated",
    508: "Multiple Session Selection Unsupported",
}  # fmt: skip
"""Error-Cause (RFC 5176, 3.5, and RFC 5580's registry)."""


GONE: Final = "NAK 503"
"""There is no such session (any more)."""


class Target(NamedTuple):
    """Whose filter is changed."""

    nas: str
    """of :class:`Nas`: its name"""
    session: str
    """Acct-Session-Id; empty: not known"""
    user: str
    source: str
    """an address or a prefix"""


def request(target: Target, block: bool, settings: CoaSettings, secret: bytes, now: int) -> Any:
    """A packet of pyrad's, to be given an id. ``now``: seconds since 1970."""
    from pyrad.packet import CoAPacket

    disconnect = settings.action == "disconnect"
    packet = CoAPacket(
        code=_DISCONNECT if disconnect else _COA, id=0, secret=secret, message_authenticator=True
    )
    try:
        address = ipaddress.ip_address(target.nas)
        packet[_NAS_ADDRESS if address.version == 4 else _NAS_IPV6] = [address.packed]
    except ValueError:
        packet[_NAS_NAME] = [target.nas.encode()]
    number, raw = _where(target.source)
    packet[number] = [raw]
    if target.user:
        packet[_USER] = [target.user.encode()]
    if target.session:
        packet[_SESSION] = [target.session.encode()]
    packet[_EVENT] = [struct.pack(">I", now)]
    if not disconnect:
        name = (settings.blocked if block else settings.normal).encode()
        if settings.vendor:
            inner = struct.pack(">IBB", settings.vendor, settings.vendor_type, len(name) + 2)
            packet[_VENDOR] = [inner + name]
        else:
            packet[_FILTER] = [name]
    return packet


def _where(source: str) -> tuple[int, bytes]:
    """The attribute that says which address or prefix a session has."""
    network = ipaddress.ip_network(source)
    if network.version == 4:
        return _FRAMED, network.network_address.packed
    if network.prefixlen == 128:
        return _FRAMED_ADDRESS_V6, network.network_address.packed
    size = -(-network.prefixlen // 8)
    raw = bytes([0, network.prefixlen]) + network.network_address.packed[:size]
    return (_FRAMED_V6 if network.prefixlen == 64 else _DELEGATED), raw


def answer(packet: Any, data: bytes) -> str | None:
    """What an answer to a request says: empty for ACK, why for NAK; None: it is no answer to it."""
    from pyrad.packet import PacketError

    try:
        reply = packet.CreateReply(packet=data)
        if not packet.VerifyReply(reply, data):
            return None
    except (PacketError, ValueError, LookupError, struct.error):
        return None
    if reply.code == _ACKS[packet.code]:
        return ""
    if reply.code != _NAKS[packet.code]:
        return None
    cause = int.from_bytes((reply.get(_CAUSE) or [b""])[0][:4])
    if not cause:
        return "NAK without a cause"
    return f"NAK {cause}, {_CAUSES.get(cause, 'a cause not known here')}"
