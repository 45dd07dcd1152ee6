"""Each layer by itself: what it opens, and how it ends when cut or malformed."""

import struct

import pytest
from scapy.contrib.erspan import ERSPAN_II, ERSPAN_III
from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import GRE, LLC, SNAP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from lab.frames import decode
from sensor.decode.segment import Outcome, describe

ENDS_4 = {"src": "192.0.2.1", "dst": "198.51.100.2"}
TCP4 = IP(**ENDS_4) / TCP(sport=4000, dport=25, seq=7) / Raw(b"EHLO")
TCP6 = IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=4000, dport=25, seq=7) / Raw(b"EHLO")
OUTER = Ether() / IP(src="10.0.0.1", dst="10.0.0.2")
OUTER6 = Ether() / IPv6(src="fd00::1", dst="fd00::2")
VXLAN_OUTER = OUTER / UDP(sport=9999, dport=4789) / VXLAN(vni=5)
INNER = Ether() / TCP4

OPENED = {
    "plain": (Ether() / TCP4, []),
    "ipv6": (Ether() / TCP6, []),
    "vlan": (Ether() / Dot1Q(vlan=7) / TCP4, []),
    "qinq": (Ether(type=0x88A8) / Dot1AD(vlan=7) / Dot1Q(vlan=9) / TCP4, []),
    "snap": (Dot3() / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / TCP4, []),
    "options": (
        Ether() / IP(**ENDS_4, options=[b"\x01" * 8]) / TCP4[TCP],
        [],
    ),
    "mpls": (Ether(type=0x8847) / MPLS(s=0) / MPLS(s=1) / TCP4, ["mpls"]),
    "mpls pseudowire": (Ether(type=0x8847) / MPLS(s=1) / Raw(bytes(4)) / INNER, ["mpls"]),
    "pppoe": (Ether() / PPPoE(sessionid=3) / PPP() / TCP4, ["pppoe"]),
    "ipip": (OUTER / TCP4, ["ipip"]),
    "6in4": (OUTER / TCP6, ["6in4"]),
    "4in6": (OUTER6 / TCP4, ["4in6"]),
    "6in6": (OUTER6 / TCP6, ["6in6"]),
    "gre": (OUTER / GRE() / TCP4, ["gre"]),
    "gre with all fields": (
        OUTER / GRE(chksum_present=1, key_present=1, seqnum_present=1) / TCP4,
        ["gre"],
    ),
    "gre bridge": (OUTER / GRE(proto=0x6558) / INNER, ["gre"]),
    "gre over ipv6": (OUTER6 / GRE() / TCP6, ["gre"]),
    "erspan 1": (OUTER / GRE(proto=0x88BE) / Raw(bytes(INNER)), ["erspan"]),
    "erspan 2": (OUTER / GRE(proto=0x88BE, seqnum_present=1) / ERSPAN_II() / INNER, ["erspan"]),
    "erspan 3": (OUTER / GRE(proto=0x22EB, seqnum_present=1) / ERSPAN_III() / INNER, ["erspan"]),
    "vxlan": (VXLAN_OUTER / INNER, ["vxlan"]),
    "vxlan vlan": (VXLAN_OUTER / Ether() / Dot1Q(vlan=7) / TCP4, ["vxlan"]),
    "geneve": (OUTER / UDP(sport=9999, dport=6081) / GENEVE(proto=0x6558) / INNER, ["geneve"]),
    "gtpu": (OUTER / UDP(sport=9999, dport=2152) / GTP_U_Header(teid=4) / TCP4, ["gtpu"]),
    "gtpu with sequence": (
        OUTER / UDP(sport=9999, dport=2152) / GTP_U_Header(teid=4, S=1, seq=9) / TCP4,
        ["gtpu"],
    ),
    "teredo": (OUTER / UDP(sport=3544, dport=9999) / TCP6, ["teredo"]),
    "gre in udp": (OUTER / UDP(sport=9999, dport=4754) / GRE() / TCP4, ["gre-udp", "gre"]),
    "authentication": (
        Ether() / IP(**ENDS_4, proto=51) / AH(nh=6, payloadlen=4, icv=b"x" * 12) / TCP4[TCP],
        [],
    ),
    "extension headers": (
        Ether() / IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrHopByHop()
        / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(m=0) / TCP6[TCP],
        [],
    ),
    "tunnel in tunnel": (
        Ether() / Dot1Q(vlan=7) / OUTER[IP] / GRE() / VXLAN_OUTER[IP] / INNER,
        ["gre", "vxlan"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPENED)
def test_opens(name):
    packet, tunnels = OPENED[name]
    row, decoder = decode(bytes(packet))
    assert row is not None, [o.name for o in Outcome if decoder.counts[o]]
    segment = describe(row)
    six = TCP6[IPv6] if "2001:db8" in segment["src"] else TCP4[IP]
    assert (segment["src"], segment["dst"]) == (six.src, six.dst)
    assert (segment["sport"], segment["dport"], segment["seq"]) == (4000, 25, 7)
    assert (segment["len"], segment["captured"], segment["tunnels"]) == (4, 4, tunnels)
    assert segment["vlan"] == (7 if packet.haslayer(Dot1Q) or packet.haslayer(Dot1AD) else None)


LINKS = {
    "raw": (101, bytes(TCP4)),
    "raw ipv6": (12, bytes(TCP6)),
    "cooked": (113, struct.pack(">HHH8sH", 0, 1, 6, bytes(8), 0x0800) + bytes(TCP4)),
    "cooked 2": (276, struct.pack(">HHIHBB8s", 0x86DD, 0, 3, 1, 0, 6, bytes(8)) + bytes(TCP6)),
    "null": (0, struct.pack("<I", 2) + bytes(TCP4)),
    "null big": (0, struct.pack(">I", 30) + bytes(TCP6)),
    "loop": (108, struct.pack(">I", 2) + bytes(TCP4)),
    "ppp": (9, b"\x00\x21" + bytes(TCP4)),
    "ppp hdlc": (50, b"\xff\x03\x00\x57" + bytes(TCP6)),
    "cisco hdlc": (104, b"\x0f\x00\x08\x00" + bytes(TCP4)),
}


@pytest.mark.parametrize("name", LINKS)
def test_link_types(name):
    link, frame = LINKS[name]
    assert decode(frame, link)[0] is not None


def outcome(packet, link: int = 1, cut: int = 0) -> Outcome:
    _, decoder = decode(bytes(packet), link, cut=cut)
    assert decoder.counts.sum() == 1
    return Outcome(int(decoder.counts.argmax()))


def patched(packet, at: int, value: bytes) -> bytes:
    raw = bytes(packet)
    return raw[:at] + value + raw[at + len(value) :]


ENDS = [
    ("other tcp", Ether() / IP() / TCP(dport=80), Outcome.OTHER_TCP),
    ("dns", Ether() / IP() / UDP(sport=9999, dport=53), Outcome.UDP_DNS),
    ("udp", Ether() / IP() / UDP(sport=9999, dport=99), Outcome.OTHER_UDP),
    ("ping", Ether() / IP() / ICMP(), Outcome.ICMP),
    ("sctp", Ether() / IP(proto=132) / Raw(b"1234"), Outcome.OTHER_IP),
    ("arp", Ether(type=0x0806) / Raw(bytes(28)), Outcome.NOT_IP),
    ("spanning tree", Dot3() / LLC(dsap=0x42), Outcome.NOT_IP),
    ("later fragment", Ether() / IP(frag=10, proto=6) / Raw(bytes(30)), Outcome.FRAGMENT),
    (
        "later fragment 6",
        Ether() / IPv6() / IPv6ExtHdrFragment(offset=9, nh=6) / Raw(bytes(30)),
        Outcome.FRAGMENT,
    ),
    ("short ethernet", b"123", Outcome.MALFORMED_LINK),
    ("short vlan", bytes(Ether() / Dot1Q())[:16], Outcome.MALFORMED_VLAN),
    ("endless mpls", bytes(Ether(type=0x8847)) + b"\0\0\0\0" * 40, Outcome.TOO_DEEP),
    ("short mpls", bytes(Ether(type=0x8847)) + b"\0\0", Outcome.MALFORMED_MPLS),
    ("pppoe version", patched(Ether() / PPPoE() / PPP(), 14, b"\x22"), Outcome.MALFORMED_PPP),
    ("ip version", patched(Ether() / TCP4, 14, b"\x55"), Outcome.MALFORMED_IPV4),
    ("ip header length", patched(Ether() / TCP4, 14, b"\x44"), Outcome.MALFORMED_IPV4),
    ("ip total length", patched(Ether() / TCP4, 16, b"\0\x13"), Outcome.MALFORMED_IPV4),
    ("ipv6 version", patched(Ether() / TCP6, 14, b"\x40"), Outcome.MALFORMED_IPV6),
    ("tcp header length", patched(Ether() / TCP4, 46, b"\x40"), Outcome.MALFORMED_TCP),
    ("tcp header beyond", patched(Ether() / TCP4, 46, b"\xf0"), Outcome.MALFORMED_TCP),
    ("tcp of 8 bytes", Ether() / IP(proto=6) / Raw(b"12345678"), Outcome.MALFORMED_TCP),
    ("udp length", Ether() / IP() / UDP(sport=9999, dport=99, len=4), Outcome.MALFORMED_UDP),
    ("short icmp", Ether() / IP(proto=1) / Raw(b"123"), Outcome.MALFORMED_ICMP),
    ("short gre", Ether() / IP(proto=47) / Raw(b"123"), Outcome.MALFORMED_TUNNEL),
    ("matryoshka", bytes(Ether(type=0x0800)) + bytes(IP(proto=4, len=9999)) * 30, Outcome.TOO_DEEP),
]  # fmt: skip


@pytest.mark.parametrize(("name", "packet", "expected"), ENDS, ids=[e[0] for e in ENDS])
def test_ends(name, packet, expected):
    assert outcome(packet) == expected


def test_an_unknown_link_is_counted():
    assert outcome(Ether() / TCP4, link=147) == Outcome.UNSUPPORTED_LINK


@pytest.mark.parametrize("present", range(len(bytes(Ether() / TCP4))))
def test_a_snap_length_anywhere_is_cut_or_decoded(present):
    whole = bytes(Ether() / TCP4)
    row, decoder = decode(whole, cut=len(whole) - present)
    if present >= 14 + 20 + 14:  # up to the flags
        assert (row["length"], row["captured"]) == (4, max(0, present - 54))
    else:
        assert decoder.counts[Outcome.CUT] == 1


def test_a_segment_yet_to_be_cut_fills_the_frame():
    giant = bytes(Ether() / TCP4) + bytes(70_000)
    assert decode(patched(giant, 16, b"\0\0"))[0]["length"] == 70_004


ERRORS = [
    (Ether() / IP() / ICMP(type=3, code=1), IP),
    (Ether() / IP() / ICMP(type=11), IP),
    (Ether() / IPv6() / ICMPv6DestUnreach(), IPv6),
]


@pytest.mark.parametrize(("error", "quoted"), ERRORS)
def test_icmp_errors_quote_the_segment_they_are_about(error, quoted):
    inner = TCP4 if quoted is IP else TCP6
    row, decoder = decode(bytes(error / Raw(bytes(inner)[:48])))
    assert decoder.counts[Outcome.ICMP_ERROR] == 1
    assert (row["sport"], row["dport"], row["seq"], row["kind"]) == (4000, 25, 7, 1)


def test_copies_are_recognised_across_vlans_but_retransmissions_are_not():
    from lab.frames import block
    from sensor.decode.decoder import Decoder

    first = IP(**ENDS_4, id=5) / TCP(dport=25, seq=1) / Raw(b"x")
    again = IP(**ENDS_4, id=6) / TCP(dport=25, seq=1) / Raw(b"x")
    made = block([
        bytes(Ether() / first),
        bytes(Ether() / Dot1Q(vlan=3) / first),
        bytes(Ether() / again),
        bytes(Ether() / first),
    ])  # fmt: skip
    made.frames["ts"] = [0, 100_000, 200_000, 10_000_000]
    decoder = Decoder([25], duplicate_window=0.005)
    assert decoder.decode(made)["duplicate"].tolist() == [0, 1, 0, 0]
    assert decoder.counts[Outcome.DUPLICATE] == 1
