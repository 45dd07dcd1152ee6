"""RADIUS accounting: what is heard over a real port, and what becomes of all else."""

import socket
import struct
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad.packet import AccountingResponse, AcctPacket, AuthPacket

from sensor.base import addresses
from sensor.customers.layout import CHANGE
from sensor.hosts.customer_key import customer_key
from sensor.leases.radius import Radius
from sensor.leases.radius_packet import INTERIM, OFF, ON, START, STOP, read_packet, shown
from sensor.leases.radius_sessions import Sessions
from sensor.leases.settings import (
    CustomerSettings,
    LeaseSettingsError,
    RadiusClient,
    RadiusSettings,
)

SECOND = 10**9
SECRET = b"between-us"


def attributes(
    status=START, session="s1", customer="alice", nas="bng1", address="203.0.113.7", **more
):
    found = {40: [struct.pack(">I", status)], 44: [session.encode()], 32: [nas.encode()]}
    if customer:
        found[1] = [customer.encode()]
    if address:
        found[8] = [socket.inet_aton(address)]
    return found | {int(number[1:]): [raw] for number, raw in more.items()}


def request(values, secret=SECRET, number=7):
    packet = AcctPacket(secret=secret, id=number)
    for code, raw in values.items():
        packet[code] = raw
    return packet.RequestPacket()


def said(names=("User-Name",), **values):
    return read_packet(attributes(**values), names, "192.0.2.1")


# --- what a packet says --------------------------------------------------------------------------


def test_a_customer_has_an_address_a_prefix_and_a_prefix_of_his_own():
    one = said(
        _97=b"\0\x40" + bytes.fromhex("20010db800010000"),
        _123=b"\0\x38" + bytes.fromhex("20010db8000200"),
        _168=bytes.fromhex("20010db8000300000000000000000001"),
    )
    assert list(one.prefixes.values()) == [
        "203.0.113.7", "2001:db8:1::/64", "2001:db8:2::/56", "2001:db8:3::1",
    ]  # fmt: skip


def test_an_address_that_is_yet_to_be_chosen_is_none():
    for address in ("255.255.255.255", "255.255.255.254"):
        assert said(address=address).prefixes == {}


def test_the_customer_is_what_the_settings_say():
    more = {"_87": b"eth 1/7", "_25": b"\xff\0", "_31": b"00-11-22", "_5": b"\0\0\0\x07"}
    assert said(("NAS-Identifier", "NAS-Port-Id"), **more).customer == "bng1/eth 1/7"
    assert said(("Class",), **more).customer == "ff00", "bytes that are no text"
    assert said(("Calling-Station-Id",), **more).customer == "00-11-22"
    assert said(("NAS-Identifier", "NAS-Port"), **more).customer == "bng1/7"
    assert said(("User-Name", "Class")).customer == "", "half a name names nobody"


def test_a_nas_is_known_by_its_name_its_address_or_the_senders():
    assert said().nas == "bng1"
    assert said(nas="", _4=b"\xc0\0\2\x09").nas == "192.0.2.9"
    assert said(nas="", _95=bytes.fromhex("20010db8" + "0" * 23 + "1")).nas == "2001:db8::1"
    assert said(nas="").nas == "192.0.2.1"


@pytest.mark.parametrize(
    "more",
    [
        {"_8": b"\1\2\3"},
        {"_97": b"\0"},
        {"_97": b"\0\x81\1"},
        {"_123": b"\0" * 30},
        {"_40": b"\1"},
        {"_55": b"\1" * 9},
    ],
)
def test_a_value_of_another_length_is_no_value(more):
    with pytest.raises(ValueError, match="attribute"):
        said(**more)


@given(st.dictionaries(st.integers(1, 255), st.lists(st.binary(max_size=253), max_size=2)))
def test_nothing_else_comes_of_any_attributes(values):
    try:
        read_packet(values, ("User-Name", "NAS-Port"), "192.0.2.1")
    except ValueError as error:
        assert str(error).isprintable()


def test_what_others_wrote_is_shown_escaped():
    assert shown("a\x1b[2J\u202e") == "a\\x1b[2J\\u202e"


# --- sessions ------------------------------------------------------------------------------------


def told(sessions, at, **values):
    """Address, beginning and end of each lease."""
    leases = sessions.hear(said(**values), at)
    return [(one.customer, one.prefix, one.since, one.until) for one in leases]


def test_a_session_begins_goes_on_and_ends():
    sessions = Sessions()
    assert told(sessions, 10) == [("alice", "203.0.113.7", 10, 0)]
    assert told(sessions, 20, status=INTERIM) == [("alice", "203.0.113.7", 10, 0)]
    assert told(sessions, 30, status=STOP, address="") == [("alice", "203.0.113.7", 10, 30)]
    assert not any(sessions.counters.values())


def test_a_lost_start_is_made_good_by_an_interim_update():
    sessions = Sessions()
    assert told(sessions, 20, status=INTERIM) == [("alice", "203.0.113.7", 20, 0)]


def test_a_lost_stop_ends_no_later_owners_lease():
    sessions = Sessions()
    told(sessions, 10)
    assert told(sessions, 20, session="s2", customer="bob") == [("bob", "203.0.113.7", 20, 0)]
    assert told(sessions, 30, status=STOP) == [], "of alice, hours later"
    assert sessions.counters["radius_stops_lost"] == 1
    assert told(sessions, 40, session="s2", customer="bob", status=STOP)[0][3] == 40


def test_what_comes_out_of_order_says_nothing_new():
    sessions = Sessions()
    told(sessions, 10)
    told(sessions, 30, status=STOP)
    for status, at in ((START, 10), (INTERIM, 20), (STOP, 30), (STOP, 40)):
        assert told(sessions, at, status=status) == []
    assert sessions.counters["radius_out_of_order"] == 4
    assert told(sessions, 50) == [("alice", "203.0.113.7", 50, 0)], "the id is used again"


def test_a_stop_before_its_start_leaves_nothing_behind():
    sessions = Sessions()
    assert told(sessions, 30, status=STOP) == [("alice", "203.0.113.7", 29, 30)]
    assert told(sessions, 10) == []
    assert sessions.counters["radius_stops_unknown"] == 1


def test_a_stop_ends_a_session_whatever_its_clock_says():
    sessions = Sessions()
    told(sessions, 100)
    assert told(sessions, 90, status=STOP) == [("alice", "203.0.113.7", 100, 101)]


@pytest.mark.parametrize("status", [ON, OFF])
def test_a_nas_that_begins_anew_ends_its_sessions_and_no_others(status):
    sessions = Sessions()
    told(sessions, 10)
    told(sessions, 11, session="s2", customer="bob", address="203.0.113.8")
    told(sessions, 12, nas="bng2", customer="carol", address="203.0.113.9")
    ended = told(sessions, 20, status=status, session="", customer="", address="")
    assert ended == [("alice", "203.0.113.7", 10, 20), ("bob", "203.0.113.8", 11, 20)]
    assert told(sessions, 21, nas="bng2", customer="carol", address="203.0.113.9", status=INTERIM)
    assert told(sessions, 22, session="s1", customer="dave")[-1] == ("dave", "203.0.113.7", 22, 0)
    assert sessions.counters["radius_sessions_reused"] == 1


def test_an_id_with_another_customer_is_another_session():
    sessions = Sessions()
    told(sessions, 10)
    both = told(sessions, 20, customer="bob", address="203.0.113.8")
    assert both == [("alice", "203.0.113.7", 10, 20), ("bob", "203.0.113.8", 20, 0)]
    assert sessions.counters["radius_sessions_reused"] == 1


def test_an_address_may_change_within_a_session():
    sessions = Sessions()
    told(sessions, 10, _123=b"\0\x38" + bytes.fromhex("20010db8000200"))
    changed = told(sessions, 20, status=INTERIM, address="203.0.113.9")
    assert changed == [("alice", "203.0.113.7", 10, 20), ("alice", "203.0.113.9", 20, 0)]
    ended = {one[1] for one in told(sessions, 30, status=STOP)}
    assert ended == {"203.0.113.9", "2001:db8:2::/56"}


def test_the_table_keeps_those_heard_of_last():
    sessions = Sessions(most=2)
    for n in range(3):
        told(sessions, 10 + n, session=f"s{n}", address=f"203.0.113.{n}")
    assert (len(sessions), sessions.counters["radius_sessions_forgotten"]) == (2, 1)
    assert told(sessions, 20, session="s0", address="203.0.113.0", status=STOP) == [
        ("alice", "203.0.113.0", 19, 20)
    ]


@pytest.mark.parametrize(
    ("values", "counter"),
    [
        ({"customer": ""}, "radius_without_customer"),
        ({"address": ""}, "radius_without_address"),
        ({"status": 15}, "radius_other_status"),
    ],
)
def test_what_gives_no_lease_is_counted(values, counter):
    sessions = Sessions()
    assert told(sessions, 10, **values) == []
    assert sessions.counters[counter] == 1


# --- over a port ---------------------------------------------------------------------------------


class Listening:
    def __init__(self, folder, **settings):
        (folder / "secret").write_bytes(SECRET + b"\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.at = free.getsockname()
        clients = (RadiusClient("127.0.0.1", str(folder / "secret")),)
        radius = RadiusSettings(f"127.0.0.1:{self.at[1]}", clients, **settings)
        self.source = Radius(CustomerSettings(radius=radius))
        self.source.open("")
        self.source.turn(0)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.settimeout(0.2)

    def send(self, data):
        self.client.sendto(data, self.at)
        self.source.turn(1)

    def leases(self):
        heard = self.source.intake.drain(1000)
        self.said = [one.text for one in heard.said]
        return np.frombuffer(heard.rows, CHANGE)

    def answer(self):
        try:
            return self.client.recv(4096)
        except TimeoutError:
            return None

    def count(self, name):
        return self.source.counters()[name]


@pytest.fixture
def server(tmp_path):
    one = Listening(tmp_path)
    yield one
    one.client.close()
    one.source._socket.close()


def test_a_request_is_answered_once_it_is_on_disk(server):
    sent = attributes(_33=b"proxy-state")
    server.send(request(sent))
    (row,) = server.leases()
    assert addresses.text(int(row["hi"]), int(row["lo"])) == "203.0.113.7"
    assert (row["who_hi"], row["who_lo"]) == customer_key("alice", b"")
    assert abs(int(row["since"]) - time.time_ns()) < 60 * SECOND
    assert server.answer() is None
    server.source.taken()
    answer = server.answer()
    asked = AcctPacket(packet=request(sent), secret=SECRET)
    assert answer[0] == AccountingResponse and asked.CreateReply().ReplyPacket() == answer
    assert answer.endswith(b"proxy-state")


def test_the_same_again_is_answered_and_says_nothing(server):
    for _ in range(3):
        server.send(request(attributes()))
        server.source.taken()
        assert server.answer() is not None
    assert len(server.leases()) == 1
    assert (server.count("radius_repeated"), server.count("radius_requests")) == (2, 1)


def forged():
    good = request(attributes())
    return good[:4] + bytes(16) + good[20:]


@pytest.mark.parametrize(
    ("data", "counter", "why"),
    [
        (request(attributes(), secret=b"another"), "radius_wrong_secret", "authenticator"),
        (forged(), "radius_wrong_secret", "authenticator"),
        (request(attributes())[:-3], "radius_ill_formed", "cannot be read: Packet has invalid"),
        (b"\4", "radius_ill_formed", "header is corrupt"),
        (AuthPacket(secret=SECRET).RequestPacket(), "radius_not_accounting", "Accounting-Request"),
        (b"", "radius_not_accounting", "Accounting-Request"),
    ],
    ids=["secret", "forged", "cut", "header", "access", "empty"],  # the bytes are random
)
def test_what_is_no_request_is_counted_said_once_and_not_answered(server, data, counter, why):
    for _ in range(2):
        server.send(data)
    server.source.taken()
    assert server.answer() is None and len(server.leases()) == 0
    assert server.count(counter) == 2
    (text,) = server.said
    assert "from 127.0.0.1" in text and why in text


def test_nobody_else_is_heard(tmp_path):
    one = Listening(tmp_path)
    elsewhere = [(n.__class__("192.0.2.0/24"), s) for n, s in one.source._clients._clients]
    one.source._clients._clients = elsewhere
    one.send(request(attributes()))
    assert one.count("radius_unknown_clients") == 1 and len(one.leases()) == 0
    assert "customers.radius.clients does not name who sent it" in one.said[0]


def test_a_name_that_would_hurt_a_terminal_is_no_name_of_a_terminal(server):
    server.send(request(attributes(customer="\x1b[2J", session="\x1b[2J", address="0.0.0.0")))
    server.leases()
    assert all(text.isprintable() for text in server.said)


def clocks(ago):
    return {"_55": struct.pack(">I", int(time.time()) - ago)}


def test_when_it_was(server):
    """By the NAS's clock where it has one, else by when it came and how long it had waited."""
    delay = struct.pack(">I", 100)
    not_set = {"_55": struct.pack(">I", 5)}
    both = clocks(110) | {"_41": delay}
    cases = [(clocks(30), 30), (clocks(-600), 0), (not_set, 0), ({"_41": delay}, 100), (both, 110)]
    for n, (more, ago) in enumerate(cases):
        server.send(request(attributes(session=f"s{n}", address=f"203.0.113.{n}", **more)))
        (row,) = server.leases()
        assert abs(time.time_ns() - int(row["since"]) - ago * SECOND) < 20 * SECOND, more


@pytest.mark.parametrize("more", [{"_41": struct.pack(">I", 7200)}, clocks(90_000)])
def test_what_is_hours_old_is_of_no_use_nor_is_what_was_recorded(server, more):
    server.send(request(attributes(**more)))
    server.source.taken()
    assert server.answer() is not None, "or it would be sent for ever"
    assert len(server.leases()) == 0 and server.count("radius_late") == 1


def test_a_port_that_is_taken_is_waited_for(tmp_path):
    one = Listening(tmp_path)
    settings = CustomerSettings(
        radius=msgspec.structs.replace(RadiusSettings(), listen=f"127.0.0.1:{one.at[1]}")
    )
    other = Radius(settings)
    other.turn(0)
    other.turn(0)
    (said_,) = other.intake.drain(1).said
    assert "cannot be heard: Address already in use" in said_.text
    one.source._socket.close()
    other.turn(0)
    assert other._socket is not None
    other._socket.close()


@pytest.mark.parametrize(
    ("radius", "why"),
    [
        ({"listen": "1813"}, "no address and port"),
        ({"listen": "127.0.0.1:1813", "clients": (RadiusClient("192.0.2.0/8", "x"),)}, "host bits"),
        (
            {"listen": "127.0.0.1:1813", "clients": (RadiusClient("192.0.2.1", "/x"),)},
            "/x: No such",
        ),
    ],
)
def test_settings_that_cannot_be(radius, why):
    with pytest.raises(LeaseSettingsError, match=why):
        Radius(CustomerSettings(radius=RadiusSettings(**radius)))
