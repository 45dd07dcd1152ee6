"""Who gets which segments, their bytes there and back, and copies of two taps."""

import numpy as np
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from lab.bpf_machine import run
from lab.conversation import Conversation
from lab.conversation import block as timed
from lab.frames import block
from sensor.base.kernel import table
from sensor.capture.bpf import steering
from sensor.decode.decoder import Decoder
from sensor.decode.segment import DNS, OVERHEARD, SEGMENT, watched_ports
from sensor.decode.sharing import LEAD, TOLD, pack, share_out, shorten, unpack
from sensor.decode.taps import (
    BEGUN,
    BEGUN_ROWS,
    MOST_TAPS,
    TAPPED,
    TAPPED_ROWS,
    mark_copies,
    take_turns,
)

LINK_LAYER = 0xFFE00000
SEED = np.uint64(7)
# With both addresses: scapy would ask the network for one it does not know.
ETHERNET = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}


def decoded(*packets):
    frames = block([bytes(Ether(**ETHERNET) / packet) for packet in packets])
    return Decoder((25,), 0, True).decode(frames), frames.data


def shares(segments, count, prefix=64):
    found = np.zeros(len(segments), np.int64)
    share_out(segments, watched_ports([25]), prefix, count, found)
    return found.tolist()


def test_the_share_is_the_workers_hash():
    program = steering([25])
    for k in range(64):
        four = IP(src=f"203.0.113.{k}", dst="198.51.100.1") / TCP(sport=4000, dport=25)
        six = IPv6(src=f"2001:db8:{k}:9::1", dst="2001:db8:ffff::1") / TCP(sport=4000, dport=25)
        for packet in (four, six):
            segments, _ = decoded(packet)
            worker = run(program, bytes(Ether(**ETHERNET) / packet), LINK_LAYER)
            assert shares(segments, 1 << 20) == [worker]


def test_all_of_a_subscriber_falls_to_one_share():
    seen = set()
    for k in range(64):
        out, back = IP(src=f"203.0.113.{k}", dst="198.51.100.1"), IP(dst=f"203.0.113.{k}")
        lost = out / TCP(sport=4000, dport=25)
        segments, _ = decoded(
            lost,
            back / TCP(sport=25, dport=4000),
            out / UDP(sport=4000, dport=53) / bytes(20),
            back / UDP(sport=53, dport=4000) / bytes(20),
            back / ICMP(type=3) / bytes(lost),
        )
        assert len(segments) == 5
        whose = set(shares(segments, 8))
        assert len(whose) == 1
        seen |= whose
    assert seen == set(range(8))


def test_both_directions_meet_where_both_ports_are_watched():
    for k in range(32):
        a, b = f"203.0.113.{k}", f"198.51.100.{255 - k}"
        ports = TCP(sport=25, dport=25)
        segments, _ = decoded(IP(src=a, dst=b) / ports, IP(src=b, dst=a) / ports)
        assert len(set(shares(segments, 64))) == 1


def packed(segments, data, share, whose):
    rows, ttls = table(64, SEGMENT), np.zeros(64, np.uint8)
    out, fill = np.zeros(8192, np.uint8), np.zeros(2, np.int64)
    assert pack(segments, data, whose, share, 0, 65536, rows, ttls, out, fill) == len(segments)
    n, size = fill.tolist()
    return rows[:n], ttls[:n], out[:size]


def test_header_payload_and_ttl_come_back():
    talk = Conversation().open().say("S: 220 hi\\r\\n\nC: EHLO there\\r\\n\nS: 250 ok\\r\\n")
    frames = timed(talk.frames)
    segments = Decoder((25,), 0).decode(frames)
    rows, ttls, out = packed(segments, frames.data, 0, np.zeros(len(segments), np.int64))
    data = np.zeros(len(out) + LEAD * len(rows), np.uint8)
    short = np.zeros(len(out), np.uint8)
    size = shorten(rows, out, short)
    assert len(out) - size == TOLD * len(rows)
    assert unpack(rows, ttls, short[:size], SEED, 0, data) == len(data)
    assert len(rows) == len(segments)
    for was, now in zip(segments, rows, strict=True):
        a, b = int(was["payload"]), int(now["payload"])
        header, size = int(was["header"]), int(was["captured"])
        assert (frames.data[a - header : a + size] == data[b - header : b + size]).all()
        assert frames.data[a - header - 12] == data[b - header - 12] > 0


def test_names_are_overheard_by_the_other_shares():
    segments, data = decoded(
        IP(src="203.0.113.1", dst="192.0.2.53") / UDP(sport=4000, dport=53) / bytes(20),
        IP(src="203.0.113.1", dst="198.51.100.1") / TCP(sport=4000, dport=25),
    )
    whose = np.array([1, 1], np.int64)
    assert packed(segments, data, 0, whose)[0]["kind"].tolist() == [OVERHEARD]
    assert packed(segments, data, 1, whose)[0]["kind"].tolist() == [DNS, 0]


def copies(events, window=10):
    """``events``: (ts, tap, sequence number); which of them are copies."""
    rows = table(len(events), SEGMENT)
    for row, (ts, _, seq) in zip(rows, events, strict=True):
        row["ts"], row["seq"] = ts, seq
    taps = np.array([tap for _, tap, _ in events], np.int64)
    mark_copies(rows, taps, window, table(TAPPED_ROWS, TAPPED))
    return [bool(d) for d in rows["duplicate"]]


def test_the_same_packet_of_another_tap_is_a_copy():
    assert copies([(100, 0, 1), (101, 1, 1), (101, 2, 1)]) == [False, True, True]
    assert copies([(100, 0, 1), (101, 1, 2)]) == [False, False]
    assert copies([(100, 0, 1), (111, 1, 1)]) == [False, False]


def test_the_same_packet_of_the_same_tap_was_sent_once_more():
    sent_twice = [(100, 0, 1), (101, 1, 1), (104, 0, 1), (105, 1, 1)]
    assert copies(sent_twice) == [False, True, False, True]


def turns(events, taps):
    """``events``: (place, flow), tap by tap at equal places; in which order they go."""
    rows = table(len(events), SEGMENT)
    rows["flow"] = [flow for _, flow in events]
    places = np.array([place for place, _ in events], np.int64)
    order = np.zeros(len(events), np.int64)
    work = np.zeros((2, MOST_TAPS), np.int64)
    take_turns(rows, places, np.array(taps), table(BEGUN_ROWS, BEGUN), *work, order)
    return order.tolist()


def test_at_equal_times_what_began_earlier_goes_first():
    begun_at_1 = [(0, 5), (9, 6), (9, 5)]
    assert turns(begun_at_1, [1, 0, 1]) == [0, 2, 1]
    assert turns(begun_at_1, [1, 0, 0]) == [0, 1, 2]  # one tap's own order stands
    assert turns([(0, 5), (9, 6), (9, 7), (9, 5), (9, 8)], [1, 0, 0, 1, 1]) == [0, 3, 1, 2, 4]
    assert turns([(k, k) for k in range(6)], [0, 1, 0, 1, 0, 1]) == list(range(6))
