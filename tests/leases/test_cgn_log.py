"""A CGN's log by syslog: what a real rsyslog passes on, and what becomes of all else."""

import contextlib
import re
import socket
import subprocess
import time
import tomllib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.waiting import wait_for
from sensor.customers.layout import CHANGE
from sensor.hosts.customer_key import customer_key
from sensor.leases.cgn_log import CgnLog, _Stream
from sensor.leases.settings import (
    CgnLogPattern,
    CgnLogSettings,
    CustomerSettings,
    LeaseSettingsError,
)
from tests.conftest import ROOT, needs

SECOND = 10**9
DOCUMENTED = tomllib.loads(
    (ROOT / "docs" / "customers.md").read_text().partition("[customers.cgn_log]")[2]
    .partition("```")[0].replace("[[customers.cgn_log.", "[[")
)  # fmt: skip
(SHOWN,) = re.findall(
    r"^```text\n(\*\.\*.*?)^```",
    (ROOT / "docs" / "customers.md").read_text(), re.DOTALL | re.MULTILINE,
)  # fmt: skip
CISCO = msgspec.convert(DOCUMENTED["patterns"], tuple[CgnLogPattern, ...])
GIVEN = "[UserbasedA - 100.64.0.7 inside - 203.0.113.4 - {} {}]"
TAKEN = "[UserbasedW - 100.64.0.7 inside - 203.0.113.4 - {} {}]"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


@pytest.fixture
def log():
    with contextlib.ExitStack() as stack:

        def make(**more):
            port = free_port()
            given = {"listen": f"127.0.0.1:{port}", "senders": ("127.0.0.1",), "patterns": CISCO}
            one = CgnLog(CustomerSettings(cgn_log=CgnLogSettings(**given | more)))
            one.turn(0)
            stack.callback(one._ports.close)
            return one, port

        yield make


def changes(one: CgnLog, seconds: float = 0.2):
    """What it was told, as rows of dtype CHANGE; and what it says of that."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        one.turn(0.02)
    heard = one.intake.drain(10_000)
    return np.frombuffer(heard.rows, CHANGE), heard


def send(port: int, *messages: str | bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for one in messages:
            sock.sendto(one if isinstance(one, bytes) else one.encode(), ("127.0.0.1", port))


def test_a_block_is_given_and_taken_back(log):
    one, port = log()
    send(port, "<134>1 - bng cgn - - - " + GIVEN.format(1024, 2047))
    (row,), _ = changes(one)
    assert row["until"] == 0 and row["port"] == 1024
    assert [row["who_hi"], row["who_lo"]] == [
        np.uint64(half) for half in customer_key("100.64.0.7", one.intake._secret)
    ]
    send(port, "<134>1 - bng cgn - - - " + TAKEN.format(1024, 2047))
    (end,), _ = changes(one)
    assert end["since"] == row["since"] and end["until"] > end["since"]
    send(port, "<134>1 - bng cgn - - - " + TAKEN.format(1024, 2047))
    rows, _ = changes(one)
    assert len(rows) == 0 and one.counters()["cgn_log_released_unknown"] == 1


def test_several_events_of_a_message_in_their_order(log):
    one, port = log()
    send(port, GIVEN.format(1024, 1535) + TAKEN.format(1024, 1535) + GIVEN.format(1536, 2047))
    rows, _ = changes(one)
    assert rows["port"].tolist() == [1024, 1536], "given and taken back at once is no lease"
    assert one.counters()["cgn_log_released_unknown"] == 1


def test_the_size_of_a_block_will_do(log):
    words = r"give (?P<customer>\S+) (?P<address>\S+) (?P<first>\d+) \+(?P<size>\d+)"
    one, port = log(patterns=(CgnLogPattern("assigned", words),))
    send(port, "give alice 203.0.113.4 2048 +1024")
    (row,), _ = changes(one)
    assert row["port"] == 2048


@pytest.mark.parametrize(
    ("message", "counter"),
    [
        ("<134>1 - bng cgn - - - link up", "cgn_log_other"),
        (GIVEN.format(1024, 2047)[:40], "cgn_log_other"),
        ("<134>1 2020-01-01T00:00:00Z bng - - - - " + GIVEN.format(1024, 2047), "cgn_log_late"),
        ("x" * 9000, "cgn_log_cut"),
    ],
    ids=["other", "cut in the middle", "of long ago", "too long"],
)
def test_what_is_no_event_is_counted(log, message, counter):
    one, port = log()
    send(port, message)
    rows, _ = changes(one)
    assert len(rows) == 0 and one.counters()[counter] == 1


@pytest.mark.parametrize(
    "event",
    [
        GIVEN.format(2047, 1024),
        GIVEN.format(1024, 70_000),
        GIVEN.format(1, "9" * 4000),
        GIVEN.format(1024, 2047).replace("203.0.113.4", "203.0.113.400"),
        GIVEN.format(1024, 2047).replace("203.0.113.4", "2001:db8::1"),
        GIVEN.format(1024, 2047).replace("100.64.0.7", "\x1b[2J"),
        GIVEN.format(1024, 2047).replace("100.64.0.7", "x" * 300),
    ],
    ids=["backwards", "no port", "no number", "no address", "ipv6", "escape", "long name"],
)
def test_events_that_are_no_lease_are_refused_and_said_once(log, event):
    one, port = log()
    send(port, event, event)
    rows, heard = changes(one)
    assert len(rows) == 0 and heard.unfit["leases_ill_formed"] == 2
    (said,) = heard.said
    assert "127.0.0.1" in said.text and "\x1b" not in said.text


def test_only_senders_are_heard(log):
    one, port = log(senders=("192.0.2.0/24",))
    send(port, GIVEN.format(1024, 2047), GIVEN.format(1024, 2047))
    socket.create_connection(("127.0.0.1", port)).close()
    rows, heard = changes(one)
    assert len(rows) == 0 and one.counters()["cgn_log_unknown_senders"] == 3
    assert one.counters()["cgn_log_refused_connections"] == 1
    assert ["senders" in said.text for said in heard.said] == [True]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"listen": "nowhere"}, "customers.cgn_log.listen: 'nowhere'"),
        ({"senders": ("10.0.0.1/8",)}, "customers.cgn_log.senders"),
        ({"patterns": (CgnLogPattern("assigned", "("),)}, "unterminated subpattern"),
        ({"patterns": (CgnLogPattern("assigned", "(?P<customer>x)"),)}, "no group address, first"),
        (
            {"patterns": (CgnLogPattern("assigned", CISCO[0].regex.replace("last", "end")),)},
            "no group last, nor size",
        ),
    ],
    ids=["listen", "senders", "regex", "groups", "last"],
)
def test_settings_that_cannot_be(log, more, says):
    with pytest.raises(LeaseSettingsError, match=says.replace("(", "\\(")):
        log(**more)


def test_a_port_that_is_taken_is_said_and_tried_again(log):
    _, port = log()
    settings = CgnLogSettings(f"127.0.0.1:{port}", ("127.0.0.1",), CISCO)
    other = CgnLog(CustomerSettings(cgn_log=settings))
    other.turn(0)
    other.turn(0)
    assert ["cannot be heard" in said.text for said in other.intake.drain(1).said] == [True]


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=40)), max_size=6),
       st.integers(1, 17))  # fmt: skip
def test_streams_give_the_same_however_they_are_cut(messages, step):
    """RFC 6587, 3.4.1 and 3.4.2, also one after the other."""
    said, expected = b"", []
    for counted, text in messages:
        text = text.replace(b"\n", b"") if not counted else text
        if not counted and (not text or text[:1].isdigit()):
            continue
        said += b"%d %s" % (len(text), text) if counted else text + b"\n"
        expected.append(text)
    stream, found = _Stream(), []
    for k in range(0, len(said), step):
        found += list(stream.messages(said[k : k + step]))
    found += list(stream.messages(b""))
    assert found == expected and stream.cut == 0


@given(st.lists(st.binary(max_size=20_000), max_size=5))
def test_a_stream_keeps_no_more_than_a_message(pieces):
    stream = _Stream()
    for one in pieces:
        assert all(len(message) <= 8192 for message in stream.messages(one))
        assert len(stream._rest) <= 8192 + 6


@pytest.mark.parametrize("way", ["udp", "tcp", "octets"])
def test_a_real_rsyslog_passes_it_on(log, tmp_path, way):
    needs("rsyslogd")
    one, port = log()
    passes_on = SHOWN.replace("192.0.2.25", "127.0.0.1").replace("5140", str(port))
    if way != "octets":
        passes_on = passes_on.replace('TCP_Framing="octet-counted"', "").replace(
            '"tcp"', f'"{way}"'
        )
    inside = tmp_path / "in"
    (tmp_path / "rsyslog.conf").write_text(
        f"""global(workDirectory="{tmp_path}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{inside}")
{passes_on}"""
    )
    command = ["rsyslogd", "-n", "-f", str(tmp_path / "rsyslog.conf"), "-i", str(tmp_path / "pid")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(inside.exists, 20)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.connect(str(inside))
                for first in (1024, 2048, 3072):
                    sock.send(b"<134>cgn: " + GIVEN.format(first, first + 1023).encode())
            found = []
            wait_for(lambda: found.extend(changes(one)[0]["port"].tolist()) or len(found) >= 3, 20)
        finally:
            server.terminate()
    assert found == [1024, 2048, 3072]
