"""Filters that run in the kernel: only mail crosses into user space (classic BPF).

:func:`mail_filter` is a program of the Linux socket filter (Documentation/networking/filter.rst)
that walks the same link layers as ``decode.layers``: Ethernet or none, VLAN and fabric tags, PPPoE,
MPLS, IPv4 and IPv6 with their extension headers, to TCP, UDP and ICMP. It lets through

* TCP segments of the watched ports, and ICMP errors that quote one;
* with ``dns``, TCP of port 53, and of UDP what asks for MX, A or AAAA first, or answers that:
  ``dns.lookups`` reads nothing else;
* with ``tunnels``, whatever may carry the same inside: IP in IP, GRE, EtherIP, L2TP, MPLS in IP,
  multilink PPP, MACsec, and UDP of VXLAN, Geneve, GTP-U, Teredo, GRE, L2TP, MPLS and TZSP.
  On a mirror port where tunnels carry everything, so does the filter.

:func:`steering` is the same walk to another end: a number that is the same for all packets of one
subscriber, by which PACKET_FANOUT chooses a worker, so that what is known of a subscriber is whole.

:func:`expression` compiles what a person wrote for tcpdump, with libpcap.

The kernel refuses to read beyond a packet's end by rejecting it, so no bounds are checked here. A
program has no loops: repeated headers (tags, labels, extensions) are unrolled to a depth.
"""

import ctypes
import ctypes.util
import struct
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

__all__ = [
    "ETHERNET",
    "NAME_LABELS",
    "RAW_IP",
    "FilterError",
    "Instruction",
    "expression",
    "mail_filter",
    "packed",
    "steering",
]

ETHERNET: Final = 1
RAW_IP: Final = 101
"""LINKTYPE_ numbers of the links that can be filtered."""

TAGS: Final = 3
LABELS: Final = 6
EXTENSIONS: Final = 6
NAME_LABELS: Final = 36
"""Of a name asked for that are walked, which is all of an IPv6 address asked back; one with more is
let through."""
_ALL: Final = 0x40000
_DNS: Final = 53
_ASKED_FOR: Final = (1, 15, 28)
"""A, MX, AAAA. Any name may be that of an exchanger, so its addresses matter as MX does."""

# Operations (linux/bpf_common.h).
_LD_B, _LD_H, _LD_W = 0x50, 0x48, 0x40  # A = P[X + k]
_LD_IMMEDIATE, _LD_MEMORY, _ST = 0x00, 0x60, 0x02
_LDX_IMMEDIATE, _LDX_MEMORY, _TAX, _TXA = 0x01, 0x61, 0x07, 0x87
_ADD, _ADD_X, _AND, _LSH, _RSH, _MUL, _XOR_X = 0x04, 0x0C, 0x54, 0x64, 0x74, 0x24, 0xAC
_JA, _JEQ, _JSET, _RET, _RET_A = 0x05, 0x15, 0x45, 0x06, 0x16

_LINK_LAYER: Final = 0xFFE00000
"""SKF_LL_OFF: where a steering program finds the link header."""

_UDP_TUNNELS: Final = (4789, 8472, 4790, 6081, 2152, 3544, 4754, 1701, 6635, 37008)
_IP_TUNNELS: Final = (4, 41, 47, 97, 115, 137)
_TAGS: Final = {  # EtherType: bytes from it to the next one
    **dict.fromkeys((0x8100, 0x88A8, 0x9100, 0x9200), 4),
    0x8926: 6,  # VN-Tag
    0x8909: 8,  # Cisco's metadata
    0xD28B: 14,  # Arista's time, of 64 bits
    0x88E7: 18,  # a backbone's service tag, then addresses
    0x8903: 16,  # FabricPath, the same
}


class Instruction(NamedTuple):
    """One instruction: struct sock_filter."""

    code: int
    jt: int
    jf: int
    k: int


class FilterError(Exception):
    """A filter cannot be made; the text says why."""


def packed(program: Sequence[Instruction]) -> bytes:
    """The program as an array of struct sock_filter."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


class _Assembler:
    """Instructions with labels; all jumps lead forward, any distance."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, str | None]] = []
        self._labels: dict[str, int] = {}
        self._names = 0

    def new(self) -> str:
        self._names += 1
        return f"_{self._names}"

    def emit(self, code: int, k: int = 0) -> None:
        self._code.append((code, k & 0xFFFFFFFF, None))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def go(self, target: str) -> None:
        self._code.append((_JA, 0, target))

    def when(self, code: int, k: int, target: str) -> None:
        """Go to ``target`` if A compares so with ``k``; else fall through."""
        self._code.append((code, k, target))

    def skip(self, size: int) -> None:
        """X += size."""
        self.emit(_TXA)
        self.emit(_ADD, size)
        self.emit(_TAX)

    def program(self) -> list[Instruction]:
        """Resolve labels; a conditional jump is a short one over a long one."""
        places, at = [], 0
        for code, _, target in self._code:
            places.append(at)
            at += 2 if target is not None and code != _JA else 1
        places.append(at)
        out: list[Instruction] = []
        for code, k, target in self._code:
            if target is None:
                out.append(Instruction(code, 0, 0, k))
                continue
            if code != _JA:
                out.append(Instruction(code, 0, 1, k))
            distance = places[self._labels[target]] - len(out) - 1
            assert distance >= 0, target
            out.append(Instruction(_JA, 0, 0, distance))
        if len(out) > 4096:
            raise FilterError(
                f"{len(out):,} instructions, the kernel takes 4,096; fewer ports, please"
            )
        return out


class _Ends(NamedTuple):
    """What the walk does when it has found something; each ends the program."""

    segment: Callable[[_Assembler, str], None]
    """X is at the TCP header; the address family's name is given"""
    datagram: Callable[[_Assembler, str], None]
    error: Callable[[_Assembler, str], None]
    """X is at the ICMP header"""
    tunnel: Callable[[_Assembler], None]


def _walk(link: int, base: int, tunnels: bool, ends: _Ends) -> list[Instruction]:
    """The walk. X holds where the next header is; M[0] IPv6's next header, M[1] the IP header."""
    a = _Assembler()
    if link == ETHERNET:
        a.emit(_LDX_IMMEDIATE, base + 12)
        _types(a, "frame", tunnels)
        a.label("ppp")
        a.emit(_LD_H)
        inner = [(0x0031, 2 + 2 + 12, "inner0"), (0x003D, 2, "tunnel")]  # bridged; multilink
        _choose(a, [(0x0021, 2, "ipv4"), (0x0057, 2, "ipv6"), (0x0281, 2, "mpls"), *inner])
        a.label("mpls")
        for _ in range(LABELS):
            bottom = a.new()
            a.emit(_LD_B, 2)
            a.when(_JSET, 1, bottom)
            a.skip(4)
            following = a.new()
            a.go(following)
            a.label(bottom)
            a.skip(4)
            a.go("payload")
            a.label(following)
        a.go("reject")
        a.label("payload")
        _version(a)
        a.emit(_LD_H, 4 + 12)
        for kind in (0x0800, 0x86DD, 0x8100, 0x88A8):
            a.when(_JEQ, kind, "worded")
        a.skip(12)
        a.go("inner0")
        a.label("worded")  # a control word, then Ethernet
        a.skip(4 + 12)
        _types(a, "inner", tunnels)
        a.go("reject")
    else:
        a.emit(_LDX_IMMEDIATE, base)
        _version(a)
        a.go("reject")
    _ipv4(a, tunnels)
    _ipv6(a, tunnels)
    for family in ("4", "6"):
        for name, end in zip(("tcp", "udp", "icmp"), ends[:3], strict=True):
            a.label(name + family)
            end(a, family)
    a.label("tunnel")
    ends.tunnel(a)
    a.label("reject")
    a.emit(_RET, 0)
    a.label("accept")
    a.emit(_RET, _ALL)
    return a.program()


def _types(a: _Assembler, name: str, tunnels: bool) -> None:
    """X is at an EtherType: walk the tags to what is behind them."""
    for depth in range(TAGS + 1):
        a.label(f"{name}{depth}")
        a.emit(_LD_H)
        targets = [(0x0800, 2, "ipv4"), (0x86DD, 2, "ipv6")]
        if name == "frame":
            targets += [(0x8864, 8, "ppp"), (0x8847, 2, "mpls"), (0x8848, 2, "mpls")]
        if depth < TAGS:
            targets += [(tag, size, f"{name}{depth + 1}") for tag, size in _TAGS.items()]
        if tunnels:
            targets.append((0x88E5, 2, "tunnel"))  # MACsec
        _choose(a, targets)


def _choose(a: _Assembler, targets: Sequence[tuple[int, int, str]]) -> None:
    """By what A is: (value, bytes to pass, where to go on); anything else is rejected."""
    found = [a.new() for _ in targets]
    for (value, _, _), place in zip(targets, found, strict=True):
        a.when(_JEQ, value, place)
    a.go("reject")
    for (_, size, target), place in zip(targets, found, strict=True):
        a.label(place)
        a.skip(size)
        a.go(target)


def _version(a: _Assembler) -> None:
    """X is at an IP header of either version, told by the first nibble; else fall through."""
    a.emit(_LD_B)
    a.emit(_RSH, 4)
    a.when(_JEQ, 4, "ipv4")
    a.when(_JEQ, 6, "ipv6")


def _pass_header(a: _Assembler, at: int) -> None:
    """X += the length of the IPv4 header at X + ``at``."""
    a.emit(_LD_B, at)
    a.emit(_AND, 15)
    a.emit(_LSH, 2)
    a.emit(_ADD_X)
    a.emit(_TAX)


def _ipv4(a: _Assembler, tunnels: bool) -> None:
    """X is at the IPv4 header (RFC 791); fragments but the first are of no use."""
    a.label("ipv4")
    a.emit(_LD_H, 6)
    a.when(_JSET, 0x1FFF, "reject")
    a.emit(_TXA)
    a.emit(_ST, 1)
    a.emit(_LD_B, 9)
    a.emit(_ST, 0)
    if tunnels:
        for protocol in _IP_TUNNELS:
            a.when(_JEQ, protocol, "tunnel")
    _pass_header(a, 0)
    a.emit(_LD_MEMORY, 0)
    a.when(_JEQ, 51, "ah4")
    a.go("in4")
    a.label("ah4")
    _extension(a, 2, 2)
    a.label("in4")
    a.emit(_LD_MEMORY, 0)
    a.when(_JEQ, 6, "tcp4")
    a.when(_JEQ, 17, "udp4")
    a.when(_JEQ, 1, "icmp4")
    a.go("reject")


def _extension(a: _Assembler, more: int, shift: int) -> None:
    """X is at a header of (length + more) << shift bytes: pass it, M[0] is what it carries."""
    a.emit(_LD_B)
    a.emit(_ST, 0)
    a.emit(_LD_B, 1)
    a.emit(_ADD, more)
    a.emit(_LSH, shift)
    a.emit(_ADD_X)
    a.emit(_TAX)


def _ipv6(a: _Assembler, tunnels: bool) -> None:
    """X is at the IPv6 header (RFC 8200)."""
    a.label("ipv6")
    a.emit(_TXA)
    a.emit(_ST, 1)
    a.emit(_LD_B, 6)
    a.emit(_ST, 0)
    a.skip(40)
    for depth in range(EXTENSIONS + 1):
        a.emit(_LD_MEMORY, 0)
        a.when(_JEQ, 6, "tcp6")
        a.when(_JEQ, 17, "udp6")
        a.when(_JEQ, 58, "icmp6")
        if tunnels:
            for protocol in _IP_TUNNELS:
                a.when(_JEQ, protocol, "tunnel")
        if depth == EXTENSIONS:
            break
        header, authentication, fragment, done = (a.new() for _ in range(4))
        for extension in (0, 43, 60, 135, 139, 140):
            a.when(_JEQ, extension, header)
        a.when(_JEQ, 51, authentication)
        a.when(_JEQ, 44, fragment)
        a.go("reject")
        a.label(header)
        _extension(a, 1, 3)
        a.go(done)
        a.label(authentication)
        _extension(a, 2, 2)
        a.go(done)
        a.label(fragment)
        a.emit(_LD_H, 2)
        a.when(_JSET, 0xFFF8, "reject")
        a.emit(_LD_B)
        a.emit(_ST, 0)
        a.skip(8)
        a.label(done)
    a.go("reject")


def _either_port(a: _Assembler, ports: Sequence[int], target: str) -> None:
    for offset in (0, 2):
        a.emit(_LD_H, offset)
        for port in ports:
            a.when(_JEQ, port, target)


def _question(a: _Assembler) -> None:
    """X is at the UDP header of a message of DNS: does its first question matter (RFC 1035, 4.1)?

    What cannot be told passes. A message that ends within the question is of no use to anybody.
    """
    a.emit(_LD_H, 8 + 2)
    a.when(_JSET, 0x7800, "reject")  # no standard query
    a.emit(_LD_H, 8 + 4)
    a.when(_JEQ, 0, "reject")  # nor a question
    a.skip(8 + 12)
    ended = a.new()
    for _ in range(NAME_LABELS + 1):
        a.emit(_LD_B)
        a.when(_JEQ, 0, ended)
        a.when(_JSET, 0xC0, "accept")  # no label as names asked for have them
        a.emit(_ADD, 1)
        a.emit(_ADD_X)
        a.emit(_TAX)
    a.go("accept")
    a.label(ended)
    a.emit(_LD_H, 1)
    for kind in _ASKED_FOR:
        a.when(_JEQ, kind, "accept")
    a.go("reject")


def mail_filter(
    ports: Sequence[int], dns: bool = True, tunnels: bool = False, link: int = ETHERNET
) -> list[Instruction]:
    """Lets mail through, as the module says. Raises FilterError when it grows too long."""

    def segment(a: _Assembler, _: str) -> None:
        _either_port(a, [*ports, *([_DNS] if dns else [])], "accept")
        a.go("reject")

    def datagram(a: _Assembler, _: str) -> None:
        if tunnels:
            _either_port(a, _UDP_TUNNELS, "accept")
        if dns:
            message = a.new()
            _either_port(a, [_DNS], message)
            a.go("reject")
            a.label(message)
            _question(a)
        a.go("reject")

    def error(a: _Assembler, family: str) -> None:
        quoted = a.new()
        a.emit(_LD_B)
        for kind in (3, 11) if family == "4" else (1, 3):
            a.when(_JEQ, kind, quoted)
        a.go("reject")
        a.label(quoted)
        tcp = a.new()
        a.emit(_LD_B, 8 + (9 if family == "4" else 6))
        a.when(_JEQ, 6, tcp)
        a.go("reject")
        a.label(tcp)
        if family == "4":
            _pass_header(a, 8)
        a.emit(_LD_H, 8 + 2 + (0 if family == "4" else 40))
        for port in ports:
            a.when(_JEQ, port, "accept")
        a.go("reject")

    return _walk(link, 0, tunnels, _Ends(segment, datagram, error, lambda a: a.go("accept")))


def datagram_filter(ports: Sequence[int], link: int = ETHERNET) -> list[Instruction]:
    """Lets UDP to or from some ports through, and nothing else."""

    def nothing(a: _Assembler, _: str = "") -> None:
        a.go("reject")

    def datagram(a: _Assembler, _: str) -> None:
        _either_port(a, ports, "accept")
        a.go("reject")

    return _walk(link, 0, False, _Ends(nothing, datagram, nothing, nothing))


def steering(
    ports: Sequence[int], prefix: int = 64, link: int = ETHERNET, base: int = _LINK_LAYER
) -> list[Instruction]:
    """A number for each packet that is the same for all of one subscriber's.

    Of an IPv6 address the first ``prefix`` bits (at most 64) count. The subscriber is who sends to
    a watched port or to port 53; else who it is sent to; of an ICMP error, too, who gets it.
    """

    def number(a: _Assembler, family: str, source: bool) -> None:
        """Hash the address of the IP header at M[1], and end."""
        a.emit(_LD_MEMORY, 1)
        a.emit(_TAX)
        if family == "4":
            a.emit(_LD_W, 12 if source else 16)
        else:
            offset = 8 if source else 24
            a.emit(_LD_W, offset + 4)
            a.emit(_AND, 0xFFFFFFFF << (64 - max(32, min(64, prefix))))
            a.emit(_MUL, 0x85EBCA6B)
            a.emit(_ST, 2)
            a.emit(_LD_W, offset)
            a.emit(_AND, 0xFFFFFFFF << (32 - min(32, prefix)))
            a.emit(_LDX_MEMORY, 2)
            a.emit(_XOR_X)
        a.emit(_MUL, 0x9E3779B1)
        a.emit(_RSH, 16)
        a.emit(_RET_A)

    def either(a: _Assembler, family: str) -> None:
        client = a.new()
        a.emit(_LD_H, 2)
        for port in (*ports, _DNS):
            a.when(_JEQ, port, client)
        number(a, family, source=False)
        a.label(client)
        number(a, family, source=True)

    def receiver(a: _Assembler, family: str) -> None:
        number(a, family, source=False)

    return _walk(link, base, False, _Ends(either, either, receiver, lambda a: a.go("reject")))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def expression(text: str, interface: str) -> list[Instruction]:
    """A filter expression of tcpdump (pcap-filter(7)) for an interface, compiled by libpcap.

    The interface is opened for it, so that ``vlan`` finds tags the card has taken off. Raises
    FilterError when libpcap is missing, or with its complaint.
    """
    name = ctypes.util.find_library("pcap")
    if name is None:
        raise FilterError("a filter expression needs libpcap (Debian: libpcap0.8)")
    pcap = ctypes.CDLL(name)
    for function in ("pcap_create", "pcap_geterr"):
        getattr(pcap, function).restype = ctypes.c_void_p
    said = ctypes.create_string_buffer(256)
    handle = ctypes.c_void_p(pcap.pcap_create(interface.encode(), said))
    if not handle:
        raise FilterError(said.value.decode(errors="replace"))
    try:
        complaint = ctypes.cast(pcap.pcap_geterr(handle), ctypes.c_char_p)
        if pcap.pcap_activate(handle) < 0:
            raise FilterError(f"{interface}: {(complaint.value or b'').decode(errors='replace')}")
        compiled = _Program()
        if pcap.pcap_compile(handle, ctypes.byref(compiled), text.encode(), 1, 0xFFFFFFFF):
            raise FilterError((complaint.value or b"").decode(errors="replace"))
        raw = ctypes.string_at(compiled.instructions, compiled.length * 8)
        pcap.pcap_freecode(ctypes.byref(compiled))
    finally:
        pcap.pcap_close(handle)
    return [Instruction(*fields) for fields in struct.iter_unpack("=HBBI", raw)]
