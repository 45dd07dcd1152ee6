"""Export messages made by hand: what is wrong with one costs that one, and all is counted."""

import socket
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor.decode.decoder import Decoder
from sensor.decode.segment import ACK, RST, SYN, watched_ports
from sensor.flows.collector import Collector
from sensor.flows.connections import Connections
from sensor.flows.record import Flow
from sensor.leases.ipfix_message import MessageError, Templates

SECOND = 10**9
CLIENT, SERVER = socket.inet_aton("203.0.113.7"), socket.inet_aton("198.51.100.25")
FIELDS = ((8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 2), (2, 4), (1, 4))


def new_collector():
    return Collector(Decoder((25,), duplicate_window=-1))


def record(flags=SYN | ACK, sport=40_000, protocol=6):
    return CLIENT + SERVER + struct.pack(">HHBHII", sport, 25, protocol, flags, 9, 900)


def one_set(id_, body):
    return struct.pack(">HH", id_, len(body) + 4) + body


def ipfix(*sets, number=0, domain=1):
    body = b"".join(sets)
    return struct.pack(">HHIII", 10, 16 + len(body), 1_750_000_000, number, domain) + body


def template(fields=FIELDS, id_=300):
    body = b"".join(struct.pack(">HH", *one) for one in fields)
    return one_set(2, struct.pack(">HH", id_, len(fields)) + body)


def sampling(rate, id_=400):
    told = one_set(3, struct.pack(">HHHHHHH", id_, 2, 1, 149, 4, 34, 4))
    return told + one_set(id_, struct.pack(">II", 1, rate))


def netflow5(*records, number=0, rate=0):
    head = struct.pack(">HHIIIIHH", 5, len(records), 0, 1_750_000_000, 0, number, 0, rate)
    return head + b"".join(records)


def record5(flags=SYN | ACK, protocol=6):
    return (CLIENT + SERVER + bytes(8) + struct.pack(">II", 9, 900) + bytes(8)
            + struct.pack(">HHBBB", 40_000, 25, 0, flags, protocol) + bytes(9))  # fmt: skip


def counted(collector):
    return {name: n for name, n in collector.counters().items() if n}


def test_ipfix_and_version_5_say_the_same():
    collector = new_collector()
    by_template = collector.hear(ipfix(template(), one_set(300, record())), "192.0.2.1")
    by_5 = collector.hear(netflow5(record5()), "192.0.2.1")
    assert by_template == by_5 == [Flow(CLIENT, SERVER, 40_000, 25, SYN | ACK, 9, 900, 1)]
    assert counted(collector) == {"exports": 2, "flows_read": 2}


def test_sampling_is_told_by_options_and_by_headers():
    collector = new_collector()
    (one,) = collector.hear(ipfix(sampling(1000), template(), one_set(300, record())), "192.0.2.1")
    assert one.rate == 1000 and collector.rates == {"192.0.2.1": 1000}
    (other,) = collector.hear(ipfix(template(), one_set(300, record())), "192.0.2.2")
    assert other.rate == 1
    (third,) = collector.hear(netflow5(record5(), rate=1 << 14 | 64), "192.0.2.3")
    assert third.rate == 64
    assert counted(collector)["exports_sampled"] == 2


def test_what_is_missing_is_counted():
    collector = new_collector()
    for number in (0, 1, 5):
        collector.hear(ipfix(template(), one_set(300, record()), number=number), "192.0.2.1")
        collector.hear(netflow5(record5(), number=number), "192.0.2.1")
    assert counted(collector)["exports_lost"] == 6
    collector.hear(ipfix(one_set(301, record()), domain=2), "192.0.2.1")
    collector.hear(ipfix(template(), one_set(300, record(protocol=17)), domain=3), "192.0.2.1")
    assert counted(collector)["exports_without_template"] == 1
    assert counted(collector)["flows_of_others"] == 1


@pytest.mark.parametrize(
    "message",
    [
        b"", b"\0", b"\0\5", b"\0\x63" + bytes(40), netflow5(record5())[:-1],
        ipfix(template())[:-1],
        bytes([0, 0, 0, 5]) + bytes(3), bytes([0, 0, 0, 5, 0, 0, 0, 7]) + bytes(40),
        struct.pack(">IIIIIII", 5, 1, 0, 0, 0, 0, 9),
    ],
)  # fmt: skip
def test_what_is_none_is_refused(message):
    collector = new_collector()
    assert collector.hear(message, "192.0.2.1") == []
    assert counted(collector) == {"exports": 1, "exports_ill_formed": 1}
    assert collector.fault.startswith("192.0.2.1: ")


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["raw", "ipfix", "9", "5", "sflow"]))
def test_no_message_breaks_it(noise, form):
    collector = new_collector()
    heads = {
        "raw": b"", "ipfix": ipfix(template()), "9": struct.pack(">HHIIII", 9, 1, 0, 0, 0, 0),
        "5": struct.pack(">HH", 5, 3), "sflow": struct.pack(">IIIIIII", 5, 1, 0, 0, 0, 0, 2),
    }  # fmt: skip
    collector.hear(heads[form] + noise, "192.0.2.1")
    collector.hear(ipfix(one_set(3, noise), one_set(300, noise)), "192.0.2.1")
    assert collector.door.refused == 0, collector.door.reason


def test_templates_outlive_a_restart_and_a_file_that_is_none_is_no_harm():
    collector = new_collector()
    collector.hear(ipfix(template(), sampling(10)), "192.0.2.1")
    kept = collector.templates.kept()
    again = new_collector()
    again.templates.take_up(kept)
    assert len(again.hear(ipfix(one_set(300, record())), "192.0.2.1")) == 1
    assert again.hear(ipfix(one_set(300, record())), "192.0.2.2") == []
    for bad in (b"", b"{}", b'[["a", 1, 2, [[[8, 4]], 0, false]]]', kept[:-4]):
        with pytest.raises(ValueError):
            Templates((8,)).take_up(bad)


def test_leases_still_skip_options():
    templates = Templates((8, 34))
    message = templates.read(ipfix(sampling(10)), "x")
    assert message.skipped == 2 and message.options == []
    with pytest.raises(MessageError):
        templates.read(ipfix(template(((8, 0),))), "x")


# --- what becomes of flows ------------------------------------------------------------------------


def flow(flags=SYN | ACK, sport=40_000, rate=1, size=900, back=False):
    ends = (SERVER, CLIENT, 25, sport) if back else (CLIENT, SERVER, sport, 25)
    return Flow(*ends, flags, 9, size, rate)


class Taking:
    def __init__(self, most=100):
        self.connections = Connections(watched_ports([25]), np.uint64(7), most)

    def take(self, *flows, exporter="a", at=1):
        found = self.connections.take(flows, exporter, at * SECOND)
        if found is None:
            return []
        rows, data = found
        assert rows["payload"].max() <= len(data)
        return [(int(r["sport"]), int(r["tcp_flags"])) for r in rows]

    @property
    def counts(self):
        return {name: n for name, n in self.connections.counters().items() if n}


@pytest.mark.parametrize(
    ("one", "made"),
    [
        (flow(SYN), [SYN]),
        (flow(SYN | ACK), [SYN, ACK]),
        (flow(-1, size=40 * 9), [SYN]),
        (flow(-1), [SYN, ACK]),
        (flow(SYN, rate=100), [SYN, ACK]),
        (flow(ACK, rate=100), [SYN, ACK]),
        (flow(ACK), []),
        (flow(back=True), []),
    ],
)
def test_a_flow_is_a_connection(one, made):
    assert Taking().take(one) == [(40_000, flags) for flags in made]


def test_a_refusal_counts_whichever_record_stands_first():
    taking = Taking()
    assert taking.take(flow(RST | ACK, back=True), flow(SYN)) == [
        (40_000, SYN), (25, RST | ACK),
    ]  # fmt: skip
    assert taking.take(flow(RST | ACK | SYN, back=True)) == []
    assert taking.counts == {"flows_opened": 1, "flows_refused": 1, "flows_of_servers": 1}


def test_more_records_of_a_connection_are_none_and_another_is_one():
    taking = Taking()
    assert len(taking.take(flow(SYN))) == 1
    assert taking.take(flow(ACK), at=60) == [(40_000, ACK)]  # it was answered late
    assert taking.take(flow(ACK), at=61) == []
    assert taking.counts["flows_continued"] == 2
    assert taking.take(flow(ACK, sport=9)) == [] and taking.counts["flows_of_before"] == 1
    assert len(taking.take(flow(SYN | ACK), at=61)) == 2  # the port again
    assert taking.take(flow(SYN | ACK), exporter="b", at=70) == []
    assert taking.counts["flows_told_twice"] == 1
    assert len(taking.take(flow(SYN | ACK), exporter="b", at=500)) == 2
    assert taking.take(flow(ACK, rate=10), at=501) == []
    assert len(taking.take(flow(ACK, rate=10), at=9000)) == 2


def test_connections_are_bounded_and_counted():
    taking = Taking(most=3)
    for port in range(9):
        taking.take(flow(sport=1000 + port))
    assert taking.counts == {"flows_opened": 9, "connections_forgotten": 6}
    taking.take(Flow(CLIENT, SERVER, 1000, 443, SYN, 1, 60, 1))
    assert taking.counts["flows_of_other_ports"] == 1
