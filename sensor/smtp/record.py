"""What ``port25 sessions`` prints of a connection: one object, documented field by field.

The JSON Schema in ``docs/session.schema.json`` is exported from here. No local part of an address,
reply text, credential or message is in it, for none is kept (see ``smtp/session.py``). Texts from
the network are cut to what is kept and have everything unprintable escaped.
"""

import ipaddress
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor.base import addresses
from sensor.base.json_schema import published
from sensor.base.terminal import printable
from sensor.smtp.anomalies import ANOMALIES, EARLY_TALKER
from sensor.smtp.session import (
    AUTH_ACCEPTED,
    AUTH_REFUSED,
    CAPABILITIES,
    CODES,
    ENDS,
    IN_TLS,
    NO_ENHANCED,
    PARAMETERS,
    STARTTLS_STATES,
)
from sensor.tcp.connections import ACCEPTED

__all__ = ["SCHEMA", "Session", "community_id", "json_schema", "session_records"]

SCHEMA: Final = "port25.session/1"

Handshake = Literal["complete", "half_open", "syn_only", "refused", "unanswered", "midstream"]
Directions = Literal["both", "client_only", "server_only"]
Ended = Literal["closed", "reset", "refused", "unanswered", "idle", "evicted", "open"]
Starttls = Literal["none", "offered", "accepted", "refused", "asked"]


class Session(msgspec.Struct, frozen=True, omit_defaults=False):
    """One TCP connection on a watched port, and the SMTP session in it."""

    ts: int
    """packet time of the first segment, nanoseconds since 1970"""
    end: int
    """packet time of the last"""
    src: str
    """the client, by who sent the SYN; in mid-stream by the watched port"""
    sport: int
    dst: str
    dst_name: str | None
    """of the mail exchanger, if a DNS answer told it; a name proves nothing"""
    dport: int
    vlan: int | None
    community_id: str
    """Community ID v1 (seed 0): the flow hash other tools print"""
    handshake: Handshake
    """``half_open``: answered, but the client never went on; ``syn_only``: it waited to the end"""
    directions: Directions
    """which sides' segments were seen"""
    ended: Ended
    """``open``: it still was when the capture ended; ``evicted``: this sensor needed its memory"""
    syns: int
    """SYNs, retries included"""
    banner_code: int | None
    """reply code of the greeting"""
    helo: str | None
    """the name in the last HELO or EHLO; of one with an @ only what follows"""
    ehlo: bool
    """the client said EHLO"""
    capabilities: list[str]
    """EHLO keywords offered, of those this sensor knows"""
    mail_attempted: int
    """MAIL commands"""
    mail_rejected: int
    mail_from_domain: str | None
    """of the last MAIL; empty: the null reverse-path, or an address without a domain"""
    mail_parameters: list[str]
    """of MAIL and RCPT, of those this sensor knows"""
    rcpt_attempted: int
    rcpt_accepted: int
    rcpt_rejected: int
    """5yz"""
    rcpt_deferred: int
    """4yz"""
    rcpt_domains: list[str]
    """the first eight different ones"""
    rcpt_domains_complete: bool
    messages_accepted: int
    messages_rejected: int
    messages_deferred: int
    message_bytes: int
    reply_codes: dict[str, int]
    """final lines of replies by code; ``other``: beyond twelve different ones"""
    last_reply: str | None
    """the last reply's code and enhanced code (RFC 3463), never its text"""
    commands: int
    unknown_commands: int
    starttls: Starttls
    """``asked``: the client asked, and no reply was seen"""
    tls: bool
    """the client's bytes are TLS"""
    tls_version: str | None
    """the server's choice; where its side is not seen, the client's highest"""
    tls_sni: str | None
    tls_alpn: str | None
    """the client's first, or the server's choice where it is in clear"""
    auth_mechanism: str | None
    auth_ok: bool | None
    pipelined: bool
    """a command came before the reply to the one before"""
    early_talker: bool
    """the client spoke before the greeting was complete"""
    quit: bool
    slowest_reply: float | None
    """seconds"""
    bytes_client: int
    """of the stream, gaps included"""
    bytes_server: int
    gaps: int
    """holes in what was seen, both sides together"""
    bytes_missed: int
    retransmissions: int
    anomalies: list[Annotated[str, msgspec.Meta(description=", ".join(ANOMALIES))]]
    """names in the order of docs/sessions.md"""
    customer: str | None = None
    """pseudonym of whose the client's address was, where leases tell: ``c-`` and 24 digits"""


_DIRECTIONS: Final[tuple[Directions, ...]] = ("client_only", "client_only", "server_only", "both")
_TLS: Final = {
    0x0300: "SSLv3",
    0x0301: "TLSv1.0",
    0x0302: "TLSv1.1",
    0x0303: "TLSv1.2",
    0x0304: "TLSv1.3",
}
_AUTH_OK: Final = {AUTH_ACCEPTED: True, AUTH_REFUSED: False}
_EARLY: Final = 1 << EARLY_TALKER
_COUNTS: Final = (
    "mail_attempted",
    "mail_rejected",
    "rcpt_attempted",
    "rcpt_accepted",
    "rcpt_rejected",
    "rcpt_deferred",
    "messages_accepted",
    "messages_rejected",
    "messages_deferred",
    "commands",
    "unknown_commands",
)
"""Fields of a record that are those of the session as they stand."""


def community_id(src: str, sport: int, dst: str, dport: int) -> str:
    """Community ID v1 of a TCP flow, seed 0 (Corelight's specification).

    >>> community_id("128.232.110.120", 34855, "66.35.250.204", 80)
    '1:LQU9qZlK+B5F3KDmev6m5PMibrg='
    """
    source, destination = (ipaddress.ip_address(address).packed for address in (src, dst))
    return _community_id(source, sport, destination, dport)


def _community_id(source: bytes, sport: int, destination: bytes, dport: int) -> str:
    """The same from packed addresses."""
    if (source, sport) > (destination, dport):
        source, sport, destination, dport = destination, dport, source, sport
    flow = b"\0\0" + source + destination + struct.pack(">BBHH", 6, 0, sport, dport)
    import base64
    import hashlib  # loads OpenSSL

    digest = hashlib.sha1(flow, usedforsecurity=False).digest()
    return "1:" + base64.b64encode(digest).decode()


@lru_cache(maxsize=65536)
def _address(hi: int, lo: int) -> tuple[str, bytes]:
    """An address as text and packed."""
    packed = struct.pack(">QQ", hi, lo)
    return addresses.text(hi, lo), packed[12:] if addresses.is_ipv4(hi, lo) else packed


@lru_cache(maxsize=4096)
def _names(bits: int, names: tuple[str, ...]) -> list[str]:
    """Names of the bits that are set, the lowest first."""
    return [name for k, name in enumerate(names) if bits >> k & 1]


@lru_cache(maxsize=65536)
def _text(raw: bytes) -> str:
    """Bytes from the network as text that is safe to print."""
    return printable(raw.decode("utf-8", "backslashreplace"))


@lru_cache(maxsize=4096)
def _reply(code: int, enhanced: bytes) -> str | None:
    """A code and, if there is one, its enhanced code (three uint16); None for no reply."""
    if not code:
        return None
    first, second, third = struct.unpack("=HHH", enhanced)
    return str(code) if first == NO_ENHANCED else f"{code} {first}.{second}.{third}"


@lru_cache(maxsize=4096)
def _codes(codes: bytes, counts: bytes, others: int) -> dict[str, int]:
    """Reply codes (uint16) and how often each came (uint32), by code."""
    pairs = zip(
        struct.unpack(f"={CODES}H", codes), struct.unpack(f"={CODES}I", counts), strict=True
    )
    found = {str(code): n for code, n in pairs if code}
    return found | {"other": others} if others else found


@lru_cache(maxsize=4096)
def _handshake(midstream: int, state: int, ended: Ended) -> Handshake:
    """How far the handshake came, from a connection's state and how it ended."""
    if midstream:
        return "midstream"
    if ended in ("refused", "unanswered"):
        return ended
    if state < ACCEPTED:
        return "syn_only"
    return "half_open" if state == ACCEPTED else "complete"


def _tls_version(version: int) -> str | None:
    """The name of a TLS version, or its number where it has none."""
    return _TLS.get(version, f"0x{version:04x}") if version else None


class _Columns:
    """Columns of a structured array, as Python's own numbers, bytes and texts."""

    def __init__(self, rows: NDArray[np.void]) -> None:
        self.rows = rows

    def __getitem__(self, name: str) -> list[Any]:
        column: list[Any] = self.rows[name].tolist()
        return column

    def total(self, name: str) -> list[int]:
        """Both sides of a field together."""
        total: list[int] = self.rows[name].sum(axis=1).tolist()
        return total

    def raw(self, name: str) -> list[Any]:
        """The bytes of an array of numbers."""
        column = np.ascontiguousarray(self.rows[name])
        width = column.shape[-1] * column.dtype.itemsize
        found: list[Any] = column.view(f"V{width}").reshape(column.shape[:-1]).tolist()
        return found

    def texts(self, name: str, sizes: list[int]) -> list[str | None]:
        """Texts of so many bytes; None where there is none."""
        raws = zip(self.raw(name), sizes, strict=True)
        return [_text(raw[:size]) if size > 0 else None for raw, size in raws]


_Column = Iterable[Any]
_Names = Callable[[NDArray[np.uint64], NDArray[np.uint64]], Sequence[str | None]]


def _of_connection(c: _Columns, ended: list[Any], names: _Names) -> dict[str, _Column]:
    """Fields of a record that its connection tells."""
    clients = list(map(_address, c["client_hi"], c["client_lo"]))
    server_halves = c["server_hi"], c["server_lo"]
    servers = list(map(_address, *server_halves))
    sports, dports = c["client_port"], c["server_port"]
    packed = [end for _, end in clients], sports, [end for _, end in servers], dports
    return {
        "ts": c["ts"],
        "end": c["end"],
        "src": [text for text, _ in clients],
        "sport": sports,
        "dst": [text for text, _ in servers],
        "dst_name": names(c.rows["server_hi"], c.rows["server_lo"]),
        "dport": dports,
        "vlan": [vlan if vlan >= 0 else None for vlan in c["vlan"]],
        "community_id": map(_community_id, *packed),
        "handshake": map(_handshake, c["midstream"], c["state"], ended),
        "directions": [_DIRECTIONS[seen] for seen in c["seen"]],
        "ended": ended,
        "syns": c["syns"],
    }


def _of_streams(s: _Columns) -> dict[str, _Column]:
    """Fields that the streams tell, and what was out of the ordinary."""
    both = s["bytes"]
    anomalies = s["anomalies"]
    return {
        "bytes_client": [client for client, _ in both],
        "bytes_server": [server for _, server in both],
        "gaps": s.total("gaps"),
        "bytes_missed": s.total("lost"),
        "retransmissions": s.total("retransmitted"),
        "early_talker": [bits & _EARLY > 0 for bits in anomalies],
        "anomalies": [_names(bits, ANOMALIES) for bits in anomalies],
    }


def _of_envelopes(s: _Columns) -> dict[str, _Column]:
    """Fields that HELO, MAIL, RCPT and their texts tell."""
    named = zip(
        s.texts("helo", s["helo_size"]), s["helo_commands"], s["ehlo_commands"], strict=True
    )
    sizes = s["from_size"]
    senders = zip(s.texts("from_", sizes), sizes, strict=True)
    domains = zip(s.raw("rcpt"), s["domain_sizes"], s["domains"], strict=True)
    return {
        "helo": [(name or "") if helo + ehlo else None for name, helo, ehlo in named],
        "ehlo": [n > 0 for n in s["ehlo_commands"]],
        "capabilities": [_names(bits, CAPABILITIES) for bits in s["capabilities"]],
        "mail_from_domain": [(name or "") if size >= 0 else None for name, size in senders],
        "mail_parameters": [_names(bits, PARAMETERS) for bits in s["parameters"]],
        "rcpt_domains": [[_text(row[d][: of[d]]) for d in range(n)] for row, of, n in domains],
        "rcpt_domains_complete": [not more for more in s["more_domains"]],
        **{name: s[name] for name in _COUNTS},
    }


def _of_replies(s: _Columns) -> dict[str, _Column]:
    """Fields that the server's replies tell, and what was agreed on."""
    return {
        "banner_code": [code or None for code in s["banner_code"]],
        "message_bytes": s["body_bytes"],
        "reply_codes": map(_codes, s.raw("codes"), s.raw("code_counts"), s["other_codes"]),
        "last_reply": map(_reply, s["last_code"], s.raw("last_enhanced")),
        "starttls": [STARTTLS_STATES[state] for state in s["starttls"]],
        "tls": [tls == IN_TLS for tls in s["tls"]],
        "tls_version": map(_tls_version, s["tls_version"]),
        "tls_sni": s.texts("sni", s["sni_size"]),
        "tls_alpn": s.texts("alpn", s["alpn_size"]),
        "auth_mechanism": s.texts("mechanism", s["mechanism_size"]),
        "auth_ok": [_AUTH_OK.get(auth) for auth in s["auth"]],
        "pipelined": [pipelined > 0 for pipelined in s["pipelined"]],
        "quit": [said > 0 for said in s["quit"]],
        "slowest_reply": [ns / 1e9 if ns else None for ns in s["slowest"]],
    }


def session_records(
    connections: NDArray[np.void],
    sessions: NDArray[np.void],
    ends: NDArray[np.uint8],
    names: _Names,
) -> list[Session]:
    """Records of connections (dtype CONNECTION), what was said in them (dtype SESSION) and ENDS.

    ``names`` gives those of servers by the halves of their addresses.

    Worked out column by column, and what often comes again (names, reply codes) once: a record
    costs what its encoding does.
    """
    ended: list[Any] = [ENDS[end] for end in ends.tolist()]
    said = _Columns(sessions)
    columns = {
        **_of_connection(_Columns(connections), ended, names),
        **_of_envelopes(said),
        **_of_replies(said),
        **_of_streams(said),
        "customer": [None] * len(ended),
    }
    return list(map(Session, *(columns[field] for field in Session.__struct_fields__)))


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a session record."""
    return published(Session, SCHEMA)


if __name__ == "__main__":
    import json

    print(json.dumps(json_schema(), indent=2))
