"""DHCP as it passes by: what is granted, to whom, through relays; and what is none."""

import ipaddress
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import (
    DUID_LL,
    DHCP6_RelayForward,
    DHCP6_RelayReply,
    DHCP6_Reply,
    DHCP6_Request,
    DHCP6OptClientId,
    DHCP6OptIA_NA,
    DHCP6OptIA_PD,
    DHCP6OptIAAddress,
    DHCP6OptIAPrefix,
    DHCP6OptIfaceId,
    DHCP6OptRelayMsg,
    DHCP6OptRemoteID,
)
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import CookedLinux, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.utils import PcapWriter

from sensor.leases.dhcp_leases import DhcpLeases
from sensor.leases.dhcp_message import DhcpError, read_four, read_six
from tests.conftest import port25

SECOND = 10**9
NOW = 1_750_000_000 * SECOND
ALICE, BOB = "02:00:00:00:00:01", "02:00:00:00:00:02"
NAMES = ("remote-id", "circuit-id", "client-id", "hwaddr", "duid")
ETHERNET = 1


def agent(remote: bytes = b"line-7", circuit: bytes = b"") -> bytes:
    parts = [(1, circuit), (2, remote)]
    return b"".join(bytes([n, len(raw)]) + raw for n, raw in parts if raw)


def four(kind="ack", who=ALICE, address="203.0.113.7", seconds=3600, server="192.0.2.67", xid=1,
         relay="192.0.2.1", **options):  # fmt: skip
    is_reply = kind in ("ack", "offer", "nak")
    head = BOOTP(
        op=2 if is_reply else 1, xid=xid, chaddr=bytes.fromhex(who.replace(":", "")), giaddr=relay,
        yiaddr=address if is_reply else "0.0.0.0",
        ciaddr="0.0.0.0" if is_reply else address,
    )  # fmt: skip
    given = [("message-type", kind)]
    if is_reply and seconds:
        given.append(("lease_time", seconds))
    given += list(options.items())
    source, ports = (server, (67, 67)) if is_reply else (relay, (68, 67))
    lower = IP(src=source, dst=relay) / UDP(sport=ports[0], dport=ports[1])
    return Ether() / lower / head / DHCP(options=[*given, "end"])


def with_agent(frame, raw: bytes):
    """Option 82, which scapy gives no bytes of our own."""
    frame[DHCP].options.insert(1, (82, raw))
    return frame


def six(message, server="2001:db8:ffff::1"):
    return Ether() / IPv6(src=server, dst="fe80::1") / UDP(sport=547, dport=546) / message


def client(who: str = ALICE):
    return DHCP6OptClientId(duid=DUID_LL(lladdr=who))


def duid(who: str = ALICE) -> str:
    return bytes(DUID_LL(lladdr=who)).hex(":")


class Passing:
    def __init__(self, names=NAMES, servers=()) -> None:
        self.leases = DhcpLeases(names, [ipaddress.ip_network(one) for one in servers])
        self.ts = NOW

    def hear(self, *frames, after: float = 0, link: int = ETHERNET) -> list[tuple]:
        """Prefix, customer, and seconds from and until, counted from NOW."""
        self.ts += int(after * SECOND)
        found = []
        for frame in frames:
            for one in self.leases.hear(bytes(frame), link, self.ts):
                until = (one.until - NOW) // SECOND if one.until else None
                found.append((one.prefix, one.customer, (one.since - NOW) // SECOND, until))
        return found

    @property
    def counts(self) -> dict[str, int]:
        return {name: n for name, n in self.leases.counts.items() if n}


@pytest.fixture
def passing():
    return Passing()


def test_a_grant_its_renewal_and_the_next_customer(passing):
    assert passing.hear(four()) == [("203.0.113.7", ALICE, 0, 3600)]
    assert passing.hear(four()) == [], "the other side of the relay"
    assert passing.hear(four(), after=1800) == [("203.0.113.7", ALICE, 0, 5400)]
    assert passing.hear(four("release"), after=60) == [], "a client's word ends nothing"
    assert passing.hear(four(who=BOB, xid=2), after=60) == [
        ("203.0.113.7", ALICE, 0, 1920), ("203.0.113.7", BOB, 1920, 5520)
    ]  # fmt: skip
    assert passing.hear(four(who=ALICE, xid=3), after=9000) == [
        ("203.0.113.7", ALICE, 10920, 14520)
    ]


@pytest.mark.parametrize("kind", ["discover", "request", "offer", "nak", "release", "decline"])
def test_what_grants_nothing(passing, kind):
    assert passing.hear(four(kind)) == []
    assert passing.counts == {"dhcp_messages": 1}


def test_an_answer_to_inform_is_no_lease(passing):
    assert passing.hear(four(seconds=0)) == []
    assert passing.hear(four(seconds=0xFFFFFFFF)) == [("203.0.113.7", ALICE, 0, None)]


@pytest.mark.parametrize(
    ("names", "customer"),
    [
        (("remote-id", "hwaddr"), b"line-7".hex()),
        (("circuit-id",), f"192.0.2.1 {b'eth1/2'.hex()}"),
        (("client-id", "remote-id"), "01:aa:bb"),
        (("hwaddr",), ALICE),
    ],
)
def test_who_it_is_by_what_the_access_node_or_he_himself_says(names, customer):
    passing = Passing(names)
    frame = with_agent(four(client_id=b"\x01\xaa\xbb"), agent(circuit=b"eth1/2"))
    assert [one[1] for one in passing.hear(frame)] == [customer]


def test_what_only_the_question_said_is_remembered(passing):
    assert passing.hear(with_agent(four("request"), agent())) == []
    assert [one[1] for one in passing.hear(four())] == [b"line-7".hex()]
    assert [one[1] for one in passing.hear(four(who=BOB, address="203.0.113.8"))] == [BOB]


def test_version_6_bare_and_through_relays(passing):
    address = DHCP6OptIA_NA(
        iaid=1, ianaopts=[DHCP6OptIAAddress(addr="2001:db8:1::5", validlft=600)]
    )
    prefix = DHCP6OptIA_PD(
        iaid=2, iapdopt=[DHCP6OptIAPrefix(prefix="2001:db8:8000::", plen=56, validlft=900)]
    )
    reply = DHCP6_Reply(trid=7) / client() / address / prefix
    both = {("2001:db8:1::5", 600), ("2001:db8:8000::/56", 900)}
    assert {(one[0], one[3]) for one in passing.hear(six(reply))} == both
    assert {one[1] for one in Passing().hear(six(reply))} == {duid()}
    node = (
        DHCP6_RelayForward(linkaddr="2001:db8::1", peeraddr="fe80::2")
        / DHCP6OptIfaceId(ifaceid=b"eth1/2")
        / DHCP6OptRemoteID(enterprisenum=9, remoteid=b"line-7")
        / DHCP6OptRelayMsg(message=DHCP6_Request(trid=7) / client())
    )
    outer = DHCP6_RelayForward(hopcount=1, linkaddr="2001:db8:2::1", peeraddr="fe80::3")
    passing = Passing()
    forwarded = (
        outer / DHCP6OptRemoteID(enterprisenum=9, remoteid=b"core") / DHCP6OptRelayMsg(message=node)
    )
    assert passing.hear(six(forwarded)) == []
    answer = (
        DHCP6_RelayReply(linkaddr="2001:db8::1", peeraddr="fe80::2")
        / DHCP6OptIfaceId(ifaceid=b"eth1/2")
        / DHCP6OptRelayMsg(message=reply)
    )
    assert {one[1] for one in passing.hear(six(answer))} == {b"line-7".hex()}
    assert passing.hear(six(reply)) == [], "on the other side of the relay"
    over = DHCP6OptIA_NA(iaid=1, ianaopts=[DHCP6OptIAAddress(addr="2001:db8:1::5", validlft=0)])
    ended = passing.hear(six(DHCP6_Reply(trid=7) / client() / over), after=60)
    assert ended == [("2001:db8:1::5", b"line-7".hex(), 0, 60)]


def test_only_servers_grant():
    passing = Passing(servers=("192.0.2.67", "2001:db8:ffff::/64"))
    assert passing.hear(four(server="203.0.113.66")) == []
    assert len(passing.hear(four())) == 1
    assert passing.counts == {"dhcp_messages": 2, "dhcp_unknown_servers": 1}


def test_somebody_without_a_name():
    passing = Passing(("remote-id",))
    assert passing.hear(four()) == []
    assert passing.counts["dhcp_without_customer"] == 1


@pytest.mark.parametrize(
    ("link", "wrap"),
    [
        (1, lambda one: Ether() / Dot1Q(vlan=1) / Dot1Q(vlan=2) / one),
        (1, lambda one: Ether() / PPPoE(sessionid=1) / PPP() / one),
        (113, lambda one: CookedLinux(proto=0x0800) / one),
        (101, lambda one: one),
    ],
)
def test_links_and_tags(passing, link, wrap):
    assert len(passing.hear(wrap(four()[IP]), link=link)) == 1


def test_parts_of_datagrams_are_counted(passing):
    frame = four()
    frame[IP].flags = "MF"
    assert passing.hear(frame) == []
    assert passing.counts == {"dhcp_fragmented": 1}


@pytest.mark.parametrize(
    ("read", "raw", "why"),
    [
        (read_four, bytes(300), "without the cookie"),
        (
            read_four,
            bytes(BOOTP() / DHCP(options=["end"]))[:-1] + b"\x35\x09\x01",
            "option 53 breaks",
        ),
        (read_six, b"\x0c" + bytes(20), "breaks off"),
        (read_six, b"\x0c" + bytes(33), "has none in it"),
        (read_six, b"\x07\0\0\1" + struct.pack(">HH", 3, 99), "option 3 breaks off"),
    ],
)
def test_what_is_ill_formed_is_said(read, raw, why):
    with pytest.raises(DhcpError, match=why):
        read(raw)


def test_relays_without_end():
    message = bytes(DHCP6_Request(trid=7) / client())
    for _ in range(12):
        message = b"\x0c" + bytes(33) + struct.pack(">HH", 9, len(message)) + message
    with pytest.raises(DhcpError, match="more than 8 relays"):
        read_six(message)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=400), st.sampled_from((1, 101, 113, 276, 7)), st.integers(0, 300))
def test_no_frame_breaks_it(noise, link, cut):
    passing = Passing()
    whole = bytes(four())
    for frame in (noise, whole[:cut] + noise, whole[:42] + noise, whole[: 42 + 240] + noise):
        passing.hear(frame, link=link)
    for read in (read_four, read_six):
        try:
            read(noise)
        except DhcpError:
            continue


def test_memory_is_bounded(passing, monkeypatch):
    monkeypatch.setattr("sensor.leases.dhcp_leases._MOST", 3)
    monkeypatch.setattr("sensor.leases.dhcp_leases._ASKED", 3)
    for n in range(9):
        passing.hear(four(address=f"203.0.113.{n}", xid=n))
    assert len(passing.leases._held) == len(passing.leases._asked) == 3
    assert passing.counts["dhcp_forgotten"] == 6


def test_a_capture_becomes_a_file_of_leases(tmp_path):
    (tmp_path / "c.toml").write_text('[customers.dhcp]\nservers = ["192.0.2.67"]\n')
    with PcapWriter(str(tmp_path / "a.pcap"), linktype=1) as out:
        for n, frame in enumerate((four(), four(who=BOB, xid=2), four(server="192.0.2.9"))):
            frame.time = 1_750_000_000 + 60 * n
            out.write(frame)
    words = ("leases", "-c", str(tmp_path / "c.toml"), str(tmp_path / "a.pcap"))
    done = port25(*words)
    assert done.returncode == 0 and done.stderr == b"port25: dhcp_unknown_servers: 1\n"
    begin, then = NOW, NOW + 60 * SECOND
    assert done.stdout.decode().splitlines() == [
        "from,until,prefix,ports,customer",
        f"{begin},{begin + 3600 * SECOND},203.0.113.7,,{ALICE}",
        f"{begin},{then},203.0.113.7,,{ALICE}",
        f"{then},{then + 3600 * SECOND},203.0.113.7,,{BOB}",
    ]
    (tmp_path / "leases.csv").write_bytes(done.stdout)
    again = port25("replay", "-q", "pcaps/home_user.pcap", "--leases", str(tmp_path / "leases.csv"))
    assert again.returncode == 0 and b"lease" not in again.stderr
