"""NAT events over IPFIX: what a message says, and what it may say wrong; tshark reads the same."""

import json
import socket
import struct
import subprocess
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from sensor.base.addresses import network_text
from sensor.customers.layout import CHANGE
from sensor.hosts.customer_key import customer_key
from sensor.leases.ipfix import _WANTED, Ipfix
from sensor.leases.ipfix_message import MessageError, Templates
from sensor.leases.settings import CustomerSettings, IpfixSettings
from tests.blocking.test_http import free_port
from tests.conftest import needs

SECOND = 10**9
NAT44 = ((323, 8), (230, 1), (8, 4), (225, 4), (361, 2), (362, 2))
NAT64 = ((230, 1), (27, 16), (225, 4), (361, 2), (364, 2), (371, 65_535))


def template(fields=NAT44, id_: int = 256) -> bytes:
    body = b"".join(struct.pack(">HH", *field) for field in fields)
    return one_set(2, struct.pack(">HH", id_, len(fields)) + body)


def one_set(id_: int, body: bytes) -> bytes:
    return struct.pack(">HH", id_, len(body) + 4) + body


def message(*sets: bytes, number: int = 0, domain: int = 7, at: float = 0.0) -> bytes:
    body = b"".join(sets)
    when = int(at or time.time())
    return struct.pack(">HHIII", 10, 16 + len(body), when, number, domain) + body


def event(
    kind=16, inside="10.0.0.5", shared="198.51.100.1", first=1024, last=2047, at=0.0
) -> bytes:
    when = int((at or time.time()) * 1000)
    addresses = socket.inet_aton(inside) + socket.inet_aton(shared)
    return struct.pack(">QB", when, kind) + addresses + struct.pack(">HH", first, last)


class Hearing:
    def __init__(self, **more) -> None:
        self.port = free_port()
        told = IpfixSettings(f"127.0.0.1:{self.port}", ("127.0.0.0/8",), **more)
        self.source = Ipfix(CustomerSettings(ipfix=told))
        self.source.turn(0)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.connect(("127.0.0.1", self.port))
        self.said: list[str] = []

    def hear(self, *messages: bytes) -> list[tuple]:
        """Shared address, first port, customer's key, whether it is an end."""
        for one in messages:
            self.udp.send(one)
        return self.heard()

    def heard(self) -> list[tuple]:
        for _ in range(8):
            self.source.turn(0.01)
        heard = self.source.intake.drain(1000)
        self.said += [one.text for one in heard.said]
        self.unfit = {name: n for name, n in heard.unfit.items() if n}
        self.rows = np.frombuffer(heard.rows, CHANGE)
        return [
            (network_text(int(r["hi"]), int(r["lo"]), 128), int(r["port"]),
             (int(r["who_hi"]), int(r["who_lo"])), bool(r["until"]))
            for r in self.rows
        ]  # fmt: skip

    @property
    def counts(self) -> dict[str, int]:
        return {name: n for name, n in self.source.counters().items() if n}


@pytest.fixture
def hearing():
    made = Hearing()
    yield made
    made.udp.close()
    made.source._ports.close()


def name(text: str) -> tuple[int, int]:
    return customer_key(text, b"")


def test_a_block_is_given_and_taken_back(hearing):
    given = message(template(), one_set(256, event(at=time.time() - 60)))
    assert hearing.hear(given) == [("198.51.100.1", 1024, name("10.0.0.5"), False)]
    since = int(hearing.rows["since"][0])
    assert abs(since - (time.time_ns() - 60 * SECOND)) < 30 * SECOND
    (ended,) = hearing.hear(message(one_set(256, event(17)), number=1))
    assert ended == ("198.51.100.1", 1024, name("10.0.0.5"), True)
    assert int(hearing.rows["since"][0]) == since
    assert hearing.counts == {"ipfix_messages": 2}


def test_nat64_by_number_of_ports_with_a_name_of_any_length(hearing):
    other = Hearing(customer=("user", "address"), inside_ipv6=56)
    inside = socket.inet_pton(socket.AF_INET6, "2001:db8:1:1ff::5")
    record = b"\x10" + inside + socket.inet_aton("198.51.100.9") + struct.pack(">HH", 4096, 512)
    for user in (b"alice", b"a" * 230):
        length = bytes([len(user)]) if len(user) < 200 else b"\xff" + struct.pack(">H", len(user))
        both = one_set(256, record + length + user)
        told = other.hear(message(template(NAT64), both))
        who = f"{user.decode()} 2001:db8:1:100::/56"
        assert told == [("198.51.100.9", 4096, name(who), False)] or len(who) > 253
    other.udp.close()


def test_templates_are_of_an_exporter_and_a_domain(hearing):
    hearing.hear(message(template()))
    assert hearing.hear(message(one_set(256, event()), domain=8)) == []
    assert hearing.counts["ipfix_without_template"] == 1
    assert len(hearing.hear(message(one_set(256, event())))) == 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
        another.connect(("127.0.0.1", hearing.port))
        another.send(message(one_set(256, event())))
        assert hearing.heard() == []
    assert hearing.counts["ipfix_without_template"] == 2
    assert hearing.hear(message(one_set(2, struct.pack(">HH", 256, 0)))) == []  # withdrawn
    assert hearing.hear(message(one_set(256, event()))) == []
    assert hearing.counts["ipfix_without_template"] == 3


def test_options_and_other_events_are_passed_over(hearing):
    options = one_set(3, struct.pack(">HHHHHHH", 300, 2, 1, 149, 4, 41, 8))
    data = one_set(300, bytes(12))
    session = one_set(256, event(4))
    told = hearing.hear(message(options, data, template(), session, one_set(256, event())))
    assert len(told) == 1
    assert hearing.counts == {"ipfix_messages": 1, "ipfix_skipped": 2, "ipfix_other": 1}


def test_records_that_are_missing_are_counted(hearing):
    hearing.hear(message(template(), one_set(256, event() + event(first=2048, last=3071))))
    hearing.hear(message(one_set(256, event(17)), number=5))
    assert hearing.counts["ipfix_lost"] == 3


@pytest.mark.parametrize(
    ("counter", "sent"),
    [
        ("ill_formed", b"\0\x0a"),
        ("ill_formed", b"\0\x05" + bytes(30)),
        ("ill_formed", message(template())[:-3]),
        ("ill_formed", message(one_set(2, struct.pack(">HH", 256, 9)))),
        ("ill_formed", message(one_set(2, struct.pack(">HH", 256, 60_000)))),
        ("ill_formed", message(template(((230, 0),)))),
        ("ill_formed", message(struct.pack(">HH", 256, 2))),
        ("incomplete", message(template(((230, 1),)), one_set(256, b"\x10"))),
        ("incomplete", message(template(), one_set(256, event(inside="0.0.0.0")))),
        ("incomplete", message(template((*NAT44, (363, 2))), one_set(256, event() + b"\0\4"))),
        ("late", message(template(), one_set(256, event(at=time.time() - 9000)))),
        ("released_unknown", message(template(), one_set(256, event(17)))),
    ],
)
def test_what_gives_no_lease_is_counted(hearing, counter, sent):
    assert hearing.hear(sent) == []
    assert hearing.counts == {"ipfix_messages": 1, f"ipfix_{counter}": 1}
    assert len(hearing.said) == (counter in ("ill_formed", "incomplete"))


def test_ports_that_are_none(hearing):
    assert hearing.hear(message(template(), one_set(256, event(first=2048, last=1024)))) == []
    assert hearing.unfit == {"leases_ill_formed": 1}


def test_netflow_9_is_read_as_well(hearing):
    sets = one_set(0, template()[4:]) + one_set(256, event())
    head = struct.pack(">HHIIII", 9, 2, 1000, int(time.time()), 0, 7)
    assert len(hearing.hear(head + sets)) == 1


def test_over_tcp_in_pieces_and_what_is_none(hearing):
    sent = message(template()) + message(one_set(256, event()))
    with socket.create_connection(("127.0.0.1", hearing.port)) as one:
        told = []
        for at in range(0, len(sent), 7):
            one.sendall(sent[at : at + 7])
            told += hearing.heard()
        assert len(told) == 1
        one.sendall(b"GET / HTTP/1.1\r\n\r\n" + sent)
        assert hearing.heard() == []
    hearing.heard()
    assert hearing.counts == {"ipfix_messages": 2, "ipfix_cut": 1}


def test_nobody_else_is_heard():
    other = Hearing()
    other.source._ports._senders = []
    assert other.hear(message(template(), one_set(256, event()))) == []
    assert other.counts == {"ipfix_unknown_senders": 1}
    assert "customers.ipfix.senders does not name who sent it" in other.said[0]
    other.udp.close()


def test_templates_are_bounded(monkeypatch):
    monkeypatch.setattr("sensor.leases.ipfix_message._MOST", 3)
    templates = Templates(_WANTED)
    for domain in range(9):
        templates.read(message(template(), domain=domain), "x")
    assert templates.forgotten == 6 and len(templates._known) == len(templates._numbers) == 3


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([NAT44, NAT64]), st.integers(0, 400))
def test_no_message_breaks_it(noise, fields, cut):
    templates = Templates(_WANTED)
    templates.read(message(template(fields)), "x")
    for sent in (
        noise, message(one_set(256, noise)), message(one_set(2, noise)), message(noise),
        message(template(fields), one_set(256, noise))[:cut],
    ):  # fmt: skip
        try:
            found = templates.read(sent, "x")
        except MessageError:
            continue
        assert all(record.keys() <= set(_WANTED) for record in found.records)


def test_tshark_reads_the_same(tmp_path):
    needs("tshark")
    sent = message(template(), one_set(256, event() + event(17)))
    wrpcap(str(tmp_path / "p"), Ether() / IP() / UDP(sport=4739, dport=4739) / sent)
    run = ["tshark", "-r", tmp_path / "p", "-T", "json", "-d", "udp.port==4739,cflow"]
    said = subprocess.run(run, capture_output=True, check=True, text=True).stdout
    text = json.dumps(json.loads(said)[0]["_source"]["layers"]["cflow"])
    for wanted in (
        '"cflow.nat_event": "16"', '"cflow.nat_event": "17"', '"cflow.srcaddr": "10.0.0.5"',
        '"cflow.post_natsource_ipv4_address": "198.51.100.1"', '"cflow.port_range_start": "1024"',
        '"cflow.port_range_end": "2047"',
    ):  # fmt: skip
        assert wanted.lower() in text.lower(), f"{wanted}: {text}"
