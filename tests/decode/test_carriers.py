"""Access tunnels, tags of fabrics and old links: opened as tshark opens them, or counted."""

import struct
import subprocess

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Raw

from lab.frames import ng_interface, ng_packet, ng_section, write
from sensor.decode.segment import Outcome, describe
from tests.decode.test_layers import INNER, LINKS, OUTER, TCP4, TCP6, decode, outcome

V4, V6, LAN = bytes(TCP4), bytes(TCP6), bytes(INNER)
IP4_IN_PPP = b"\xff\x03\x00\x21" + V4
SNAP = b"\xaa\xaa\x03\0\0\0\x08\x00"
MPLS = b"\x00\x01\x01\x40"
MAC_4 = b"\x45\x12\x13\x14\x15\x16" + LAN[6:]
MAC_2 = b"\x2a\x12\x13\x14\x15\x16" + LAN[6:]


def typed(kind: int, rest: bytes) -> bytes:
    return bytes(Ether(type=kind)) + rest


def datagram(port: int, rest: bytes, source: int = 9999) -> bytes:
    return bytes(OUTER / UDP(sport=source, dport=port) / Raw(rest))


def l2tp(flags: int, *words: int, ppp: bytes = IP4_IN_PPP) -> bytes:
    return struct.pack(f">{len(words) + 1}H", flags | 2, *words) + ppp


def pppoe(rest: bytes) -> bytes:
    return typed(0x8864, struct.pack(">BBHH", 0x11, 0, 3, len(rest)) + rest)


CARRIED = {
    "l2tp": (datagram(1701, l2tp(0, 4, 5)), ["l2tp"]),
    "l2tp back": (datagram(9999, l2tp(0, 4, 5), 1701), ["l2tp"]),
    "l2tp length": (datagram(1701, l2tp(0x4000, 8 + len(IP4_IN_PPP), 4, 5)), ["l2tp"]),
    "l2tp sequence": (datagram(1701, l2tp(0x0800, 4, 5, 6, 7)), ["l2tp"]),
    "l2tp offset": (datagram(1701, l2tp(0x0200, 4, 5, 2, 0)), ["l2tp"]),
    "l2tp all": (
        datagram(1701, l2tp(0x4B00, 18 + len(IP4_IN_PPP), 4, 5, 6, 7, 4, 0, 0)),
        ["l2tp"],
    ),
    "l2tp no address": (datagram(1701, l2tp(0, 4, 5, ppp=b"\x00\x57" + V6)), ["l2tp"]),
    "l2tp compressed": (datagram(1701, l2tp(0, 4, 5, ppp=b"\x21" + V4)), ["l2tp"]),
    "l2tp multilink": (
        datagram(1701, l2tp(0, 4, 5, ppp=b"\xff\x03\x00\x3d\xc0\0\0\1" + IP4_IN_PPP[2:])),
        ["l2tp"],
    ),
    "pppoe multilink": (pppoe(b"\x00\x3d\xc0\0\0\1\x21" + V4), ["pppoe"]),
    "pppoe bridged": (pppoe(b"\x00\x31\x00\x01" + LAN), ["pppoe"]),
    "ethernet in mpls": (typed(0x8847, MPLS + LAN), ["mpls"]),
    "ethernet in mpls, address 45": (typed(0x8847, MPLS + MAC_4), ["mpls"]),
    "ethernet in mpls, address 2a": (typed(0x8847, MPLS + MAC_2), ["mpls"]),
    "ethernet in mpls, word": (typed(0x8847, MPLS + b"\0\0\0\1" + LAN), ["mpls"]),
    "vn-tag": (typed(0x8926, b"\0\0\0\1\x08\0" + V4), ["vn-tag"]),
    "pbb": (typed(0x88E7, b"\0\0\0\1" + LAN), ["pbb"]),
    "pbb below its tag": (typed(0x88A8, b"\0\7\x88\xe7\0\0\0\1" + LAN), ["pbb"]),
    "etherip": (bytes(OUTER[Ether] / Raw(b""))[:14]
                + bytes(IP(src="10.0.0.1", dst="10.0.0.2", proto=97) / Raw(b"\x30\0" + LAN)),
                ["etherip"]),
    "mpls in udp": (datagram(6635, MPLS + V4), ["mpls-ip", "mpls"]),
    "mpls in ip": (bytes(Ether() / IP(src="10.0.0.1", dst="10.0.0.2", proto=137)
                         / Raw(MPLS + V6)), ["mpls-ip", "mpls"]),
    "wccp 1": (bytes(OUTER / GRE(proto=0x883E) / Raw(V4)), ["gre"]),
    "wccp 2": (bytes(OUTER / GRE(proto=0x883E) / Raw(b"\0\0\0\0" + V4)), ["gre"]),
    "tzsp": (datagram(37008, b"\1\0\0\1\x01" + LAN), ["tzsp"]),
    "tzsp tags": (datagram(37008, b"\1\1\0\1\0\x0a\x01\x05\x01" + LAN), ["tzsp"]),
    "macsec": (typed(0x88E5, b"\0\0\0\0\0\1\x08\0" + V4 + bytes(16)), ["macsec"]),
    "macsec sci": (typed(0x88E5, b"\x20\0\0\0\0\1" + bytes(8) + b"\x86\xdd" + V6 + bytes(16)),
                   ["macsec"]),
    "metadata": (typed(0x8909, b"\1\1\0\1\0\5\x08\0" + V4), []),
    "llc 06": (Ether().build()[:12] + struct.pack(">H", 3 + len(V4)) + b"\6\6\3" + V4, []),
}  # fmt: skip
"""Frames of Ethernet: what holds, and the tunnels."""

UNKNOWN_TO_TSHARK = {
    "arista 64": (typed(0xD28B, b"\0\1\0\x10" + bytes(8) + b"\x08\0" + V4), []),
    "arista 48": (typed(0xD28B, b"\0\1\1\x20" + bytes(6) + b"\x08\0" + V4), []),
    "pppoe multilink short": (pppoe(b"\x00\x3d\xc0\1\x21" + V4), ["pppoe"]),
    "l2tp 3": (datagram(1701, b"\0\3\0\0\0\0\0\7" + LAN), ["l2tp"]),
    "l2tp 3 cookie": (datagram(1701, b"\0\3\0\0\0\0\0\7abcdefgh" + LAN), ["l2tp"]),
    "fabricpath": (typed(0x8903, b"\0\x60" + LAN), []),
}
"""Or read by it only once it is told how (a shorter number, a cookie)."""

WIRELESS = b"\x08\0" + bytes(22) + SNAP + V4
OLD = {
    "token ring": (6, b"\x10\x40" + bytes(12) + SNAP + V4),
    "token ring routed": (
        6,
        b"\x10\x40" + bytes(6) + b"\x80" + bytes(5) + b"\x06\0abcd" + SNAP + V4,
    ),
    "fddi": (10, b"\x50" + bytes(12) + SNAP + V4),
    "arcnet": (7, b"\1\2\xd4\0\0\1" + V4),
    "arcnet 1051": (7, b"\1\2\xf0" + V4),
    "arcnet exception": (7, b"\1\2\xd4\xff\xff\xff\xd4\0\0\1" + V4),
    "arcnet linux": (129, b"\1\2\0\0\xd4\0\0\1" + V4),
    "chdlc as ppp": (50, b"\x0f\0\x08\0" + V4),
    "chdlc multicast": (50, b"\x8f\0\x86\xdd" + V6),
    "atm": (100, SNAP + V4),
    "atm routed": (100, b"\xfe\xfe\x03\xcc" + V4),
    "802.11": (105, WIRELESS),
    "802.11 quality": (105, b"\x88\1" + bytes(24) + SNAP + V4),
    "802.11 bridge": (105, b"\x08\3" + bytes(28) + SNAP + V4),
    "frame relay": (107, b"\x18\x41\x03\xcc" + V4),
    "frame relay snap": (107, b"\x18\x41\x03\0\x80\0\0\0\x08\0" + V4),
    "frame relay cisco": (107, b"\x18\x41\x08\0" + V4),
    "enc": (109, struct.pack("<III", 2, 0, 0) + V4),
    "radiotap": (127, b"\0\0\x08\0" + bytes(4) + WIRELESS),
    "radiotap padded": (127, b"\0\0\x09\0\2\0\0\0\x20" + b"\x88\1" + bytes(26) + SNAP + V4),
    "prism": (119, struct.pack("<II", 0x44, 144) + bytes(136) + WIRELESS),
    "avs": (163, struct.pack(">II", 0x80211001, 64) + bytes(56) + WIRELESS),
    "ppp with direction": (204, b"\1" + IP4_IN_PPP),
    "chdlc with direction": (205, b"\0\x0f\0\x08\0" + V4),
    "frame relay with direction": (206, b"\0\x18\x41\x03\xcc" + V4),
    "nflog": (239, b"\2\0\0\0" + struct.pack("<HH", 4 + len(V4), 9) + V4),
}

SEEDS = [(1, frame) for frame, _ in [*CARRIED.values(), *UNKNOWN_TO_TSHARK.values()]]
SEEDS += OLD.values()


def check(row, tunnels):
    assert row is not None
    segment = describe(row)
    assert segment["src"] in (TCP4.src, TCP6.src)
    assert (segment["sport"], segment["dport"], segment["seq"]) == (4000, 25, 7)
    assert (segment["len"], segment["captured"], segment["tunnels"]) == (4, 4, tunnels)


@pytest.mark.parametrize("name", [*CARRIED, *UNKNOWN_TO_TSHARK])
def test_opens(name):
    frame, tunnels = (CARRIED | UNKNOWN_TO_TSHARK)[name]
    check(decode(frame)[0], tunnels)


@pytest.mark.parametrize("name", OLD)
def test_old_links(name):
    check(decode(OLD[name][1], OLD[name][0])[0], [])


GUESSED_OTHERWISE = {  # by tshark, of addresses that are all zeros or all ones; or no link of it
    "ethernet in mpls",
    "ethernet in mpls, address 45",
    "ethernet in mpls, address 2a",
    "ethernet in mpls, word",
    "chdlc with direction",
    "frame relay with direction",
}


def test_tshark_reads_the_same(tshark, tmp_path):
    named = [(name, (1, frame)) for name, (frame, _) in CARRIED.items()]
    named += (OLD | LINKS).items()
    named = [one for one in named if one[0] not in GUESSED_OTHERWISE]
    links = sorted({link for _, (link, _) in named})
    capture = ng_section() + b"".join(ng_interface(link) for link in links)
    capture += b"".join(ng_packet(links.index(link), 10**15, frame) for _, (link, frame) in named)
    path = write(tmp_path / "all.pcapng", capture)
    command = [tshark, "-r", path, "-n", "-T", "fields", "-e", "tcp.dstport", "-e", "tcp.len"]
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    lines = dict(zip([name for name, _ in named], out.splitlines(), strict=True))
    assert {name for name, line in lines.items() if line != "25\t4"} == set()


ENDS = [
    ("l2tp control", datagram(1701, l2tp(0xC800, 12, 4, 5, 6, ppp=b"\0\0")), Outcome.OTHER_UDP),
    ("l2tp acknowledgement", datagram(1701, l2tp(0x0800, 4, 5, 6, 7, ppp=b"")), Outcome.OTHER_UDP),
    ("l2tp 5", datagram(1701, b"\0\5" + bytes(10)), Outcome.OTHER_UDP),
    ("l2tp short", datagram(1701, b"\0\2\0\4"), Outcome.MALFORMED_TUNNEL),
    ("l2tp length beyond", datagram(1701, l2tp(0x4000, 999, 4, 5)), Outcome.MALFORMED_TUNNEL),
    ("l2tp offset beyond", datagram(1701, l2tp(0x0200, 4, 5, 999)), Outcome.MALFORMED_TUNNEL),
    ("l2tp of lcp", datagram(1701, l2tp(0, 4, 5, ppp=b"\xc0\x21" + bytes(4))), Outcome.NOT_IP),
    ("part of a packet", pppoe(b"\x00\x3d\x80\0\0\1\x21" + V4), Outcome.FRAGMENT),
    ("short multilink", pppoe(b"\x00\x3d\x80"), Outcome.MALFORMED_PPP),
    ("encrypted macsec", typed(0x88E5, b"\x0c\0\0\0\0\1" + V4), Outcome.NOT_IP),
    ("short macsec", typed(0x88E5, b"\0\0\0"), Outcome.MALFORMED_VLAN),
    ("short vn-tag", typed(0x8926, b"\0\0\0"), Outcome.MALFORMED_VLAN),
    ("etherip 4", bytes(Ether() / IP(proto=97) / Raw(b"\x40\0" + LAN)), Outcome.MALFORMED_TUNNEL),
    ("tzsp without end", datagram(37008, b"\1\0\0\1\x0a"), Outcome.MALFORMED_TUNNEL),
    ("tzsp alive", datagram(37008, b"\1\4\0\0"), Outcome.OTHER_UDP),
]  # fmt: skip


@pytest.mark.parametrize(("name", "packet", "expected"), ENDS, ids=[e[0] for e in ENDS])
def test_ends(name, packet, expected):
    assert outcome(packet) == expected


@pytest.mark.parametrize("name", [*CARRIED, *OLD])
def test_a_snap_length_in_the_headers_is_cut(name):
    link, frame = OLD[name] if name in OLD else (1, CARRIED[name][0])
    for cut in range(40, len(frame), 7):
        assert outcome(frame, link, cut) in (Outcome.CUT, Outcome.NOT_IP, Outcome.OTHER_UDP)


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (105, b"\x08\x40" + WIRELESS[2:]),  # protected
        (105, b"\x80\0" + WIRELESS[2:]),  # a beacon
        (10, b"\x41" + bytes(40)),
        (192, struct.pack("<BBHI", 0, 0, 8, 105) + WIRELESS[:0] + b"\x80" + bytes(40)),
    ],
)
def test_what_is_no_data_in_clear(link, frame):
    assert outcome(frame, link) == Outcome.NOT_IP
