"""Blocks by RADIUS: FreeRADIUS is the NAS, accounting comes over a real port."""

import re
import socket
import struct
import time

import msgspec
import pytest
from pyrad.packet import AcctPacket, CoAPacket

from lab.radius import NAS_SECRET, Nas, can_run
from lab.waiting import BUSY, wait_for
from sensor.base.units import SECOND
from sensor.blocking.bounds import Bounds
from sensor.blocking.coa import enforcing
from sensor.blocking.coa.enforcing import Coa
from sensor.blocking.coa.exchange import SILENT, Exchange, Result
from sensor.blocking.coa.request import Target, answer, request
from sensor.blocking.coa.settings import CoaSettings, CoaSettingsError
from sensor.blocking.coa.settings import Nas as NasSettings
from sensor.blocking.controller import Controller
from sensor.blocking.decision import decision
from sensor.hosts.subscribers import where
from sensor.leases.settings import RadiusClient
from sensor.settings import SettingsError, parse_settings
from tests.conftest import ROOT, cannot

SECRET = b"between-us"
START, STOP, INTERIM = 1, 2, 3
ALICE = Target("bng1", "s1", "alice", "203.0.113.7/32")


def _port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Desk:
    """A controller, its NAS, and the accounting it hears."""

    def __init__(self, folder, **settings) -> None:
        (folder / "nas.secret").write_text(NAS_SECRET)
        (folder / "secret").write_bytes(SECRET)
        self.folder, self.later, self.told = folder, 0.0, []
        self.port, self.at = _port(), ("127.0.0.1", _port())
        one = NasSettings(
            "bng1", f"127.0.0.1:{self.port}", str(folder / "nas.secret"), ("203.0.113.0/24",)
        )
        self.settings = CoaSettings(
            **{
                "nas": (one,), "listen": f"127.0.0.1:{self.at[1]}",
                "clients": (RadiusClient("127.0.0.1", str(folder / "secret")),),
                "kept": str(folder / "coa.json"), **settings,
            }
        )  # fmt: skip
        self.nas = Nas(folder / "nas", self.port)
        self.coa = self.controller = None
        self.begin()

    def begin(self) -> None:
        """Start, or start again, a controller."""
        if self.coa:
            self.coa.close()
        self.coa = Coa(self.settings, self.told.append, lambda: time.monotonic() + self.later)
        nothing = Bounds((), (), ())
        self.controller = Controller(nothing, (), 100, lambda _: None, None, self.coa)

    def account(self, status, session="s1", user="alice", address="203.0.113.7", ago=10):
        """The NAS tells of a session, which began ``ago`` seconds ago."""
        packet = AcctPacket(secret=SECRET, id=1)
        for number, raw in {
            40: struct.pack(">I", status), 44: session.encode(), 32: b"bng1", 1: user.encode(),
            8: socket.inet_aton(address), 55: struct.pack(">I", int(time.time()) - ago),
        }.items():  # fmt: skip
            packet[number] = [raw]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.sendto(packet.RequestPacket(), self.at)
            self.turn(0.05)

    def block(self, host="203.0.113.7", seconds=3600, **fields):
        """Kafka brings a block."""
        now = time.time_ns()
        source, ports = where(host)
        given = {
            "enforced": True, "host": host, "source": str(source), "ports": ports, "since": now,
            "expires": now + seconds * SECOND,
        }  # fmt: skip
        one = decision("block", fields.pop("ts", now), **(given | fields))
        assert self.controller.take(0, host.encode(), msgspec.json.encode(one), now) == ""
        self.controller.carry_out(now)

    def end(self, host="203.0.113.7"):
        """Kafka brings its end."""
        self.controller.take(0, host.encode(), None, time.time_ns())
        self.controller.carry_out(time.time_ns())

    def turn(self, seconds=0.3):
        """Time passes."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.coa.turn(time.time_ns())
            time.sleep(0.02)

    def heard(self):
        """What the NAS was asked, in short."""
        return [
            (one.get("Acct-Session-Id", ""), one.get("Filter-Id", one["kind"]))
            for one in self.nas.heard()
        ]

    def until(self, wanted):
        """The NAS was asked all that."""

        def there():
            self.turn(0.05)
            return self.heard() == wanted

        wait_for(there, 5, f"{wanted}, not {self.heard()}")

    def close(self):
        self.coa.close()
        self.nas.stop()


@pytest.fixture
def desk(tmp_path):
    if not can_run():
        cannot("FreeRADIUS is not unpacked: lab/install")
    one = Desk(tmp_path)
    yield one
    one.close()


def test_a_session_is_blocked_within_a_second_and_freed_again(desk):
    desk.account(START)
    began = time.monotonic()
    desk.block()
    desk.until([("s1", "port25-blocked")])
    assert time.monotonic() - began < BUSY
    asked = desk.nas.heard()[0]
    assert asked["User-Name"] == "alice" and asked["NAS-Identifier"] == "bng1"
    assert asked["Framed-IP-Address"] == "203.0.113.7" and asked["kind"] == "CoA"
    desk.turn()
    assert desk.coa.refused == {} and desk.controller.carry_out(time.time_ns()) == 1
    desk.end()
    desk.until([("s1", "port25-blocked"), ("s1", "port25-open")])
    desk.turn()
    counters = desk.coa.counters
    assert (counters["asked"], counters["acked"], counters["waiting"]) == (2, 2, 0)
    assert desk.told == []


def test_one_who_moves_is_freed_where_he_was_before_he_is_blocked_again(desk):
    desk.account(START)
    desk.block()
    desk.until([("s1", "port25-blocked")])
    desk.account(START, "s2", address="203.0.113.8")
    desk.controller.take(0, b"203.0.113.7", None, time.time_ns())
    desk.block("203.0.113.8")
    desk.until([("s1", "port25-blocked"), ("s1", "port25-open"), ("s2", "port25-blocked")])


def test_with_the_lines_of_the_page(tmp_path):
    if not can_run():
        cannot("FreeRADIUS is not unpacked: lab/install")
    page = (ROOT / "docs" / "blocking.md").read_text()
    (text,) = re.findall(r"^```toml\n(\[blocking\.coa\].*?)^```", page, re.DOTALL | re.MULTILINE)
    given = parse_settings(text).blocking.coa
    (nas,) = given.nas
    assert (nas.name, nas.address) == ("bng1", "192.0.2.1:3799")
    names = ("action", "blocked", "normal", "vendor", "vendor_type")
    made = Desk(tmp_path, **{name: getattr(given, name) for name in names})
    made.account(START)
    made.block()
    made.until([("s1", "port25-blocked")])
    made.end()
    made.until([("s1", "port25-blocked"), ("s1", "port25-open")])
    made.close()


def test_the_end_of_a_block_is_kept_without_a_word(desk):
    desk.account(START)
    desk.block(seconds=1)
    desk.until([("s1", "port25-blocked")])
    desk.until([("s1", "port25-blocked"), ("s1", "port25-open")])


def test_a_nak_is_told_and_tried_again(desk):
    desk.account(START, session="gone")
    desk.block()
    desk.until([("gone", "port25-blocked")])
    desk.turn()
    assert desk.coa.refused == {"203.0.113.7": "NAS bng1: NAK 503, Session Context Not Found"}
    desk.controller.dirty = True
    assert desk.controller.carry_out(time.time_ns()) == 0
    assert desk.controller.unloaded == desk.coa.refused
    assert desk.controller.refused == {"by RADIUS": 1}
    desk.later = 29
    desk.turn()
    assert len(desk.heard()) == 1
    desk.later = 31
    desk.until([("gone", "port25-blocked")] * 2)
    desk.turn()
    desk.later = 31 + 59
    desk.turn()
    assert len(desk.heard()) == 2, "twice as long"
    desk.later = 31 + 61
    desk.until([("gone", "port25-blocked")] * 3)


def test_a_dead_nas_is_told_and_asked_until_it_answers(desk):
    desk.account(START)
    desk.nas.stop()
    desk.block()
    for later in (1, 3, 6, 12, 25):
        desk.later = later
        desk.turn(0.1)
    assert desk.told == ["coa: NAS bng1 does not answer; 0 more requests wait"]
    assert desk.coa.refused == {"203.0.113.7": f"NAS bng1: {SILENT}"}
    assert desk.coa.counters["repeated"] == 4 and desk.coa.counters["unanswered"] == 1
    desk.nas = Nas(desk.folder / "nas", desk.port)
    desk.later = 60
    desk.until([("s1", "port25-blocked")])
    desk.turn()
    assert desk.told[1:] == ["coa: NAS bng1 answers again"] and desk.coa.refused == {}


def test_no_bystander_is_blocked_and_who_comes_again_is(desk):
    decided = time.time_ns() - 8 * SECOND
    desk.account(START, ago=20)
    desk.block(ts=decided, since=decided)
    desk.until([("s1", "port25-blocked")])
    # The same customer, a new session with the address he had.
    desk.account(STOP, ago=6)
    desk.account(START, session="s2", ago=5)
    desk.until([("s1", "port25-blocked"), ("s2", "port25-blocked")])
    # Another one has it: he is left alone, whatever is said of the address.
    desk.account(STOP, session="s2", ago=4)
    desk.account(START, session="s3", user="bob", ago=3)
    desk.turn(1.2)
    left_alone = {"203.0.113.7": "another session has the address since, 's3' on bng1"}
    assert desk.coa.refused == left_alone
    desk.block(ts=time.time_ns(), since=decided)
    assert desk.coa.refused == left_alone, "the same block, renewed"
    desk.end()
    desk.turn()
    assert len(desk.heard()) == 2, "nothing is taken off who has nothing"
    # Where the sensor knows the customer, a block is of who has the address when it is made.
    desk.block(ts=time.time_ns(), since=decided, customer="c-" + "1" * 24)
    desk.turn()
    assert desk.heard()[2:] == [("s3", "port25-blocked")]


def test_who_waits_longest_to_be_freed_is_forgotten_first(desk, monkeypatch):
    monkeypatch.setattr(enforcing, "_MOST", 2)
    desk.nas.stop()
    for n in (1, 2, 3):
        desk.block(f"203.0.113.{n}")
    assert len(desk.coa._states) == 3, "what is to be blocked is not forgotten"
    for n in (3, 2):
        desk.end(f"203.0.113.{n}")
    assert list(desk.coa._states) == ["203.0.113.1", "203.0.113.2"]
    assert desk.coa.counters["forgotten"] == 1


def test_what_was_blocked_before_a_restart_is_freed_after_it(desk):
    desk.account(START)
    desk.block()
    desk.until([("s1", "port25-blocked")])
    desk.begin()
    desk.turn()
    assert len(desk.heard()) == 1, "before the block list is read nothing is known"
    desk.controller.carry_out(time.time_ns())
    desk.until([("s1", "port25-blocked"), ("s1", "port25-open")])


def test_a_session_that_is_not_known_is_asked_for_by_address_at_once_or_never(desk):
    desk.block()
    desk.until([("", "port25-blocked")])
    assert desk.nas.heard()[0]["Framed-IP-Address"] == "203.0.113.7"
    old = time.time_ns() - 600 * SECOND
    desk.block("203.0.113.8", ts=old, since=old)
    desk.block("198.51.100.9")
    desk.turn()
    assert len(desk.heard()) == 1
    assert desk.coa.refused == {
        "203.0.113.8": "its session is not known: accounting has not told of it",
        "198.51.100.9": "its session is not known, and it is in no prefix of blocking.coa.nas",
    }
    desk.account(INTERIM, address="203.0.113.8", session="s8", ago=700)
    desk.until([("", "port25-blocked"), ("s8", "port25-blocked")])


def test_ports_are_no_session(desk):
    desk.block("198.51.100.200:1024-2047")
    assert list(desk.coa.refused.values()) == ["the address is shared, and a session has no ports"]
    assert desk.heard() == []


def test_a_session_is_ended_once_for_each_block(tmp_path):
    if not can_run():
        cannot("FreeRADIUS is not unpacked: lab/install")
    desk = Desk(tmp_path, action="disconnect")
    try:
        desk.account(START)
        desk.block()
        desk.until([("s1", "Disconnect")])
        desk.account(STOP, ago=0)
        desk.account(START, session="s2", ago=-5)
        desk.turn(1.2)
        desk.end()
        desk.turn()
        assert desk.heard() == [("s1", "Disconnect")]
    finally:
        desk.close()


# --- packets -------------------------------------------------------------------------------------


def _reply(packet, code, secret=b"x", **attributes):
    reply = CoAPacket(packet=packet.RequestPacket(), secret=secret).CreateReply()
    reply.code = code
    for number, raw in attributes.items():
        reply[int(number[1:])] = [raw]
    return reply.ReplyPacket()


def test_an_answer_counts_only_with_the_secret_and_says_why():
    packet = request(ALICE, True, CoaSettings(), b"x", 1_800_000_000)
    assert answer(packet, _reply(packet, 44)) == ""
    cause = {"_101": struct.pack(">I", 401)}
    assert answer(packet, _reply(packet, 45, **cause)) == "NAK 401, Unsupported Attribute"
    assert answer(packet, _reply(packet, 45)) == "NAK without a cause"
    assert answer(packet, _reply(packet, 44, secret=b"another")) is None
    assert answer(packet, _reply(packet, 41)) is None, "of a Disconnect"
    for cut in (b"", b"\x2c", _reply(packet, 44)[:-1], _reply(packet, 44)[:19]):
        assert answer(packet, cut) is None


def test_a_vendors_attribute_may_bear_the_filter():
    settings = CoaSettings(vendor=9, vendor_type=1, blocked="in=closed")
    packet = request(ALICE, True, settings, b"x", 1_800_000_000)
    assert packet[26] == [b"\0\0\0\x09\x01\x0bin=closed"] and 11 not in packet
    assert request(ALICE, False, CoaSettings(), b"x", 0)[11] == [b"port25-open"]


def test_a_session_is_named_by_prefix_and_its_nas_by_address():
    settings = CoaSettings()
    one = request(Target("192.0.2.1", "", "", "2001:db8:1:100::/56"), True, settings, b"x", 0)
    assert one[123] == [b"\0\x38" + bytes.fromhex("20010db8000101")] and one[4] == [b"\xc0\0\2\x01"]
    assert 1 not in one and 44 not in one
    assert 97 in request(ALICE._replace(source="2001:db8::/64"), True, settings, b"x", 0)
    assert 168 in request(ALICE._replace(source="2001:db8::1/128"), True, settings, b"x", 0)


# --- an exchange ---------------------------------------------------------------------------------


def _make():
    return request(ALICE, True, CoaSettings(), b"x", 1_800_000_000)


def test_a_request_is_sent_again_the_same_and_given_up_after_a_quarter_minute():
    one = Exchange()
    one.ask("h", _make)
    (first,), _ = one.say(0.0)
    sent = {0.0: first}
    for tenth in range(1, 300):
        lines, given_up = one.say(tenth / 10)
        sent |= dict.fromkeys([tenth / 10][: len(lines)], lines[0] if lines else b"")
        if given_up:
            break
    assert list(sent) == [0.0, 0.5, 1.5, 3.5, 7.5] and set(sent.values()) == {first}
    assert given_up == [Result("h", SILENT)] and tenth == 155 and one.silent


def test_a_silent_nas_is_asked_one_thing_at_a_time():
    one = Exchange()
    for n in range(500):
        one.ask(f"h{n}", _make)
    lines, _ = one.say(0.0)
    assert len(lines) == 128 and len({line[1] for line in lines}) == 128
    now = 0.0
    while one.waiting > 500 - 128:
        now += 0.5
        one.say(now)
    assert one.silent
    lines, _ = one.say(now)
    assert len(one._open) == 1
    (open_,) = one._open.values()
    assert one.hear(_reply(open_.packet, 44)) == Result(open_.key, "")
    assert len(one.say(now)[0]) == 128, "it answers"


def test_what_is_asked_anew_outdoes_what_was_asked():
    one = Exchange()
    one.ask("h", _make)
    one.say(0.0)
    (old,) = one._open.values()
    one.ask("h", _make)
    one.say(0.1)
    assert one.hear(_reply(old.packet, 44)) is None, "nobody waits for that"
    (new,) = one._open.values()
    assert one.hear(_reply(new.packet, 44)) == Result("h", "")
    assert one.hear(_reply(new.packet, 44)) is None
    assert one.counters["unasked"] == 1 and one.counters["acked"] == 2


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("vendor = 9", "both or none"),
        ('action = "reboot"', "action"),
        ("nas = [{name='a', address='b'}]", "secret_file"),
        ("nas = [{name='a', address='b', secret_file='c', prefixes=['x']}]", "x"),
    ],
)
def test_settings_that_cannot_be(text, why):
    with pytest.raises(SettingsError, match=why):
        parse_settings(f"[blocking.coa]\n{text}\n")


def test_what_cannot_be_asked_is_said_at_the_start(tmp_path):
    with pytest.raises(CoaSettingsError, match=r"blocking\.coa\.nas: missing"):
        Coa(CoaSettings(), print)
    nas = NasSettings("bng1", "nowhere", "/nowhere")
    with pytest.raises(CoaSettingsError, match=r"nas bng1: 'nowhere' is no address and port"):
        Coa(CoaSettings(nas=(nas,)), print)
    (tmp_path / "secret").write_text("x")
    twice = (NasSettings("bng1", "127.0.0.1:3799", str(tmp_path / "secret")),) * 2
    with pytest.raises(CoaSettingsError, match="two are named 'bng1'"):
        Coa(CoaSettings(nas=twice), print)
    nas = NasSettings("bng1", "127.0.0.1:3799", str(tmp_path / "none"))
    with pytest.raises(OSError, match="none: No such file"):
        Coa(CoaSettings(nas=(nas,)), print)
