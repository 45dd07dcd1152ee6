"""What ``port25 sessions`` prints of a connection: one object, documented field by field.

The JSON Schema in ``docs/session.schema.json`` is exported from here. No local part of an address,
reply text, credential or message is in it, for none is kept (see ``session``). Texts from the
network are cut to what is kept and have everything unprintable escaped.
"""

import base64
import hashlib
import struct
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec

from sensor import addresses
from sensor.smtp.session import (
    ANOMALIES,
    CAPABILITIES,
    NO_ENHANCED,
    PARAMETERS,
)

__all__ = ["SCHEMA", "Session", "community_id", "json_schema", "session_record"]

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


_STATE_ANSWERED: Final = 2
_STARTTLS: Final = ("none", "offered", "accepted", "refused", "asked")
_TLS: Final = {
    0x0300: "SSLv3",
    0x0301: "TLSv1.0",
    0x0302: "TLSv1.1",
    0x0303: "TLSv1.2",
    0x0304: "TLSv1.3",
}
_EARLY: Final = 1 << ANOMALIES.index("early_talker")


def community_id(src: str, sport: int, dst: str, dport: int) -> str:
    """Community ID v1 of a TCP flow, seed 0 (Corelight's specification).

    >>> community_id("128.232.110.120", 34855, "66.35.250.204", 80)
    '1:LQU9qZlK+B5F3KDmev6m5PMibrg='
    """
    return _community_id(_packed(src), sport, _packed(dst), dport)


def _packed(address: str) -> bytes:
    import ipaddress

    return ipaddress.ip_address(address).packed


def _community_id(source: bytes, sport: int, destination: bytes, dport: int) -> str:
    if (source, sport) > (destination, dport):
        source, sport, destination, dport = destination, dport, source, sport
    flow = b"\0\0" + source + destination + struct.pack(">BBHH", 6, 0, sport, dport)
    digest = hashlib.sha1(flow, usedforsecurity=False).digest()
    return "1:" + base64.b64encode(digest).decode()


@lru_cache(maxsize=65536)
def _address(hi: int, lo: int) -> tuple[str, bytes]:
    """As text and packed."""
    packed = struct.pack(">QQ", hi, lo)
    return addresses.text(hi, lo), packed[12:] if addresses.is_ipv4(hi, lo) else packed


@lru_cache(maxsize=4096)
def _names(bits: int, names: tuple[str, ...]) -> list[str]:
    return [name for k, name in enumerate(names) if bits >> k & 1]


@lru_cache(maxsize=65536)
def _text(raw: bytes) -> str:
    text = raw.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@lru_cache(maxsize=4096)
def _reply(code: int, enhanced: tuple[int, int, int]) -> str | None:
    if not code:
        return None
    if enhanced[0] == NO_ENHANCED:
        return str(code)
    return f"{code} {enhanced[0]}.{enhanced[1]}.{enhanced[2]}"


def session_record(c: dict[str, Any], s: dict[str, Any], ended: str) -> Session:
    """One record from the fields (as plain values) of a CONNECTION and a SESSION."""
    src, source = _address(c["client_hi"], c["client_lo"])
    dst, destination = _address(c["server_hi"], c["server_lo"])
    sport, dport = c["client_port"], c["server_port"]
    seen, state = c["seen"], c["state"]
    handshake: Handshake
    if c["midstream"]:
        handshake = "midstream"
    elif ended in ("refused", "unanswered"):
        handshake = ended  # type: ignore[assignment]
    elif state < _STATE_ANSWERED:
        handshake = "syn_only"
    else:
        handshake = "half_open" if state == _STATE_ANSWERED else "complete"
    codes = {str(code): n for code, n in zip(s["codes"], s["code_counts"], strict=True) if code}
    if s["other_codes"]:
        codes["other"] = s["other_codes"]
    anomalies = s["anomalies"]
    helos = s["helo_commands"] + s["ehlo_commands"]
    from_size, sni_size, tls = s["from_size"], s["sni_size"], s["tls"] == 1
    auth = s["auth"]
    return Session(
        c["ts"],
        c["end"],
        src,
        sport,
        dst,
        dport,
        c["vlan"] if c["vlan"] >= 0 else None,
        _community_id(source, sport, destination, dport),
        handshake,
        "both" if seen == 3 else "client_only" if seen == 1 else "server_only",
        ended,  # type: ignore[arg-type]
        c["syns"],
        s["banner_code"] or None,
        _text(s["helo"][: s["helo_size"]]) if helos else None,
        s["ehlo_commands"] > 0,
        _names(s["capabilities"], CAPABILITIES),
        s["mail_attempted"],
        s["mail_rejected"],
        _text(s["from_"][:from_size]) if from_size >= 0 else None,
        _names(s["parameters"], PARAMETERS),
        s["rcpt_attempted"],
        s["rcpt_accepted"],
        s["rcpt_rejected"],
        s["rcpt_deferred"],
        [_text(s["rcpt"][d][: s["domain_sizes"][d]]) for d in range(s["domains"])],
        not s["more_domains"],
        s["messages_accepted"],
        s["messages_rejected"],
        s["messages_deferred"],
        s["body_bytes"],
        codes,
        _reply(s["last_code"], tuple(s["last_enhanced"])),
        s["commands"],
        s["unknown_commands"],
        _STARTTLS[s["starttls"]],
        tls,
        _TLS.get(s["tls_version"], f"0x{s['tls_version']:04x}") if s["tls_version"] else None,
        _text(s["sni"][:sni_size]) if sni_size else None,
        _text(s["alpn"][: s["alpn_size"]]) if s["alpn_size"] else None,
        _text(s["mechanism"][: s["mechanism_size"]]) if s["mechanism_size"] else None,
        auth == 2 if auth >= 2 else None,
        bool(s["pipelined"]),
        bool(anomalies & _EARLY),
        bool(s["quit"]),
        s["slowest"] / 1e9 if s["slowest"] else None,
        s["bytes"][0],
        s["bytes"][1],
        s["gaps"][0] + s["gaps"][1],
        s["lost"][0] + s["lost"][1],
        s["retransmitted"][0] + s["retransmitted"][1],
        _names(anomalies, ANOMALIES),
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a session record."""
    schema = msgspec.json.schema(Session)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA, **schema}


if __name__ == "__main__":
    import json

    print(json.dumps(json_schema(), indent=2))
