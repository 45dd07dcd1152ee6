"""The kernel's filters let through just what the decoder calls mail."""

import random

import dns.message
import dns.rrset
import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from lab.bpf_machine import run
from lab.frames import block
from sensor.capture.bpf import (
    ETHERNET,
    NAME_LABELS,
    RAW_IP,
    FilterError,
    expression,
    mail_filter,
    steering,
)
from sensor.capture.merge import Captures
from sensor.decode.decoder import Decoder
from sensor.decode.segment import DNS, UDP_HEADER, Outcome, tunnel_names
from sensor.dns.known import NAME, enter_again
from sensor.dns.lookups import LOOKUP_COUNTERS, new_lookups, on_segment
from sensor.dns.wire import name_hash
from tests.conftest import PCAPS, shared_captures
from tests.decode.fuzz import mutate, seeds
from tests.decode.test_carriers import CARRIED, UNKNOWN_TO_TSHARK

BASE = 0xFFE00000
UNSEEN = [CARRIED["ethernet in mpls, address 45"][0]] + [
    UNKNOWN_TO_TSHARK[name][0] for name in ("arista 48", "pppoe multilink short")
]
"""What only the decoder tells from something else."""
LINKS = {ETHERNET: mail_filter([25], link=ETHERNET), RAW_IP: mail_filter([25], link=RAW_IP)}
TUNNELS = {link: mail_filter([25], tunnels=True, link=link) for link in LINKS}
MAIL = (Outcome.SEGMENT, Outcome.ICMP_ERROR, Outcome.UDP_DNS, Outcome.TCP_DNS, Outcome.DUPLICATE)


def decoded(frame: bytes, link: int):
    """What the decoder makes of a frame: mail or not, inside a tunnel or not."""
    decoder = Decoder([25], dns=True)
    rows = decoder.decode(block([frame], link))
    outcome = Outcome(int(decoder.counts.argmax()))
    names = tunnel_names(int(rows[0]["tunnels"])) if len(rows) else []
    deep = set(names) - {"mpls", "pppoe", "vn-tag", "pbb"}
    return outcome, bool(deep)


def read_by_nobody(frame: bytes, link: int) -> bool:
    """Whether a frame is a message of DNS that leaves no trace, whatever is known or was asked."""
    part = block([frame], link)
    segments = Decoder([25], dns=True).decode(part)
    lookups = new_lookups(16)
    if len(segments) != 1 or segments[0]["kind"] != DNS or segments[0]["header"] != UDP_HEADER:
        return False
    at = int(segments[0]["payload"])
    if int(segments[0]["captured"]) > 2:
        part.data[at + 2] &= 0x7F  # an answer is read where this question was
    name = part.data[at + 12 : at + int(segments[0]["captured"])]
    hashed, end = name_hash(name, 0, len(name))
    if end > 0:  # its addresses are read, too
        known = lookups.known
        enter_again(known, known.names, np.array([(1, hashed)], NAME))
    before = [array.copy() for array in (lookups.asked, lookups.meta, lookups.answers)]
    on_segment(lookups, segments[0], part.data)
    after = lookups.asked, lookups.meta, lookups.answers
    lookups.meta[LOOKUP_COUNTERS["messages_unreadable"]] = 0
    return all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def check(frame: bytes, link: int) -> Outcome:
    outcome, deep = decoded(frame, link)
    passes = run(LINKS[link], frame) > 0
    if outcome is Outcome.UDP_DNS and not passes:
        assert deep or read_by_nobody(frame, link)
    elif outcome in MAIL:
        assert run(TUNNELS[link], frame) > 0, outcome
        assert passes or deep, outcome
    elif (
        outcome in (Outcome.OTHER_TCP, Outcome.OTHER_UDP, Outcome.NOT_IP, Outcome.FRAGMENT)
        and not deep
    ):
        assert not passes, outcome
    return outcome


def frames(path):
    for part in Captures([str(path)]):
        for row in part.frames:
            start = int(row["offset"])
            if int(row["link"]) in LINKS and int(row["captured"]) == int(row["wire"]):
                yield part.data[start : start + int(row["captured"])].tobytes(), int(row["link"])


@pytest.mark.parametrize("path", sorted(PCAPS.glob("*.pcap")), ids=lambda p: p.stem)
def test_all_of_a_fixture_is_let_through(path):
    for k, (frame, link) in enumerate(frames(path)):
        if k % 7 == 0:
            assert check(frame, link) in MAIL


def test_captures_of_others():
    if not shared_captures():
        pytest.skip("the peers' captures are not beside this checkout")
    seen = 0
    for path in shared_captures():
        for k, (frame, link) in enumerate(frames(path)):
            if k > 150:
                break
            seen += check(frame, link) in MAIL
    assert seen > 500


def test_every_layer_and_what_is_damaged():
    """But for SNAP (RFC 1042), which no mirror port of a provider shows; damaged ones must differ
    by rare layers only (compressed PPP, authentication headers, a fourth tag)."""
    rng = random.Random(3)
    tried = missed = 0
    for link, frame in seeds():
        if link in LINKS and (link == RAW_IP or frame[12:13] >= b"\6"):
            if frame not in UNSEEN:
                check(frame, link)
            for _ in range(20):
                tried += 1
                damaged = mutate(rng, frame)
                outcome, deep = decoded(damaged, link)
                gone = outcome in MAIL and not deep and not run(LINKS[link], damaged)
                missed += gone and not read_by_nobody(damaged, link)
    assert tried > 500
    assert missed < tried / 50


def asked(rng: random.Random) -> tuple[bytes, bool | None]:
    """A message of DNS of any kind, and whether it must pass; None: it is damaged."""
    kind = rng.choice(["A", "AAAA", "MX", "MX", "HTTPS", "PTR", "TXT", "NS", "SOA", "SRV", "ANY"])
    depth = rng.choice([1, 2, 3, 3, 4, 6, 34, 36, 37, 60])
    name = ".".join(rng.choice("abcXYZ019") * rng.choice([1, 1, 2]) for _ in range(depth))
    query = dns.message.make_query(
        name, kind, use_edns=rng.choice([None, 0]), id=rng.getrandbits(16)
    )
    if rng.random() < 0.5:
        query = dns.message.make_response(query)
        query.set_rcode(rng.choice([0, 0, 3]))
        query.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "A", "192.0.2.1"))
    raw, kept = bytearray(query.to_wire()), kind in ("A", "AAAA", "MX") or depth > NAME_LABELS
    if rng.random() < 0.1:
        raw[2] |= rng.choice([2, 4, 5]) << 3
        kept = False
    damage = rng.random()
    if damage < 0.4:
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    elif damage < 0.5:
        del raw[rng.randrange(len(raw)) :]
    return bytes(raw), None if damage < 0.5 else kept


def test_of_dns_passes_what_somebody_reads_and_little_else():
    rng = random.Random(53)
    ends = (IP(src="203.0.113.9", dst="192.0.2.53"), IPv6(src="2001:db8::9", dst="2001:db8::53"))
    heads = [Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"), None]
    seen = [0, 0]
    for _ in range(1500):
        raw, kept = asked(rng)
        ports = rng.choice([{"sport": 4000, "dport": 53}, {"sport": 53, "dport": 4000}])
        head, packet = rng.choice(heads), rng.choice(ends) / UDP(**ports) / raw
        link = ETHERNET if head else RAW_IP
        frame = bytes(head / packet if head else packet)
        passes = run(LINKS[link], frame) > 0
        assert passes or read_by_nobody(frame, link), raw
        assert kept is None or passes == kept, raw
        assert passes == (run(TUNNELS[link], frame) > 0)
        seen[passes] += 1
    assert min(seen) > 500


def test_a_name_with_more_labels_than_are_walked_passes():
    for labels, kind, passes in ((34, 12, False), (36, 12, False), (37, 12, True), (36, 15, True)):
        raw = bytes(4) + b"\0\1" + bytes(6) + b"\1a" * labels + bytes([0, 0, kind, 0, 1])
        frame = bytes(IP(src="203.0.113.9", dst="192.0.2.53") / UDP(sport=4000, dport=53) / raw)
        assert (run(LINKS[RAW_IP], frame) > 0) == passes, (labels, kind)


@pytest.mark.parametrize("link", LINKS)
def test_steering_keeps_a_subscriber_whole(link):
    program = steering([25], link=link)
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Dot1Q, Ether

    def worker(packet, tag=False):
        head = (Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"),)
        if link == RAW_IP:
            raw = bytes(packet)
        else:
            raw = bytes(head[0] / Dot1Q(vlan=5) / packet if tag else head[0] / packet)
        return run(program, raw, BASE)

    numbers = set()
    for k in range(64):
        host, server = f"203.0.113.{k}", f"198.51.100.{k}"
        out = IP(src=host, dst=server)
        back = IP(src=server, dst=host)
        mine = {
            worker(out / TCP(sport=4000, dport=25)),
            worker(back / TCP(sport=25, dport=4000), tag=link == ETHERNET),
            worker(out / UDP(sport=4000, dport=53)),
            worker(back / UDP(sport=53, dport=4000)),
            worker(IP(src="192.0.2.1", dst=host) / ICMP(type=3) / bytes(out / TCP(dport=25))),
        }
        assert len(mine) == 1
        numbers |= mine
        six = {
            worker(IPv6(src=f"2001:db8:0:{k:x}::{j:x}", dst="2001:db8:ffff::1") / TCP(dport=25))
            for j in range(1, 9)
        }
        assert len(six) == 1
        numbers |= six
    shares = [sum(n % 4 == w for n in numbers) for w in range(4)]
    assert len(numbers) > 100
    assert min(shares) > 12


def test_too_many_ports_are_refused():
    with pytest.raises(FilterError, match="instructions"):
        mail_filter(range(1, 3000))


def test_an_expression_of_nonsense_is_libpcaps_complaint():
    with pytest.raises(FilterError):
        expression("tcp prt 25", "lo")
