"""Handshakes beyond the usual three packets: bytes in the SYN, a SYN from both, a SYN again."""

import itertools

import pytest

from lab.conversation import (
    ACK,
    CLIENT,
    GOOD,
    RST,
    SERVER,
    START,
    SYN,
    Conversation,
    frame,
    sessions,
)
from sensor.settings import Limits
from tests.tcp.test_acceptance import HEAD, SIX, TAIL, counted, is_whole

HELLO = b"EHLO mail.sender.example\r\n"
REST = GOOD.split("\n", 3)[3]  # what follows the greeting and EHLO
SECOND = 10**9
LINUX = [0, 1, 3, 7, 15, 31, 63]
LINEAR = [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]  # Linux 6.5 and later


# --- bytes in the SYN ----------------------------------------------------------------------------


def fast_open(ends=(CLIENT, SERVER), taken: bool = True) -> Conversation:
    talk = Conversation(ends=ends)
    talk.raw("c", SYN, HELLO)
    talk.skip("c", 1 + (len(HELLO) if taken else 0))
    talk.send("s", flags=SYN | ACK)
    return talk


@pytest.mark.parametrize("ends", [(CLIENT, SERVER), SIX])
def test_bytes_of_a_syn_that_were_taken(ends):
    talk = fast_open(ends)
    talk.send("c", flags=ACK)
    talk.say(GOOD.split("\n")[1]).say(REST).close()
    s = talk.session()
    assert (s.handshake, s.ended, s.helo, s.quit) == (
        "complete",
        "closed",
        "mail.sender.example",
        True,
    )
    assert (s.messages_accepted, s.retransmissions, s.gaps) == (1, 0, 0)
    counters = counted(talk.frames)
    assert (counters["answered"], counters["proven"], counters["sessions"]) == (1, 1, 1)


def test_a_server_may_speak_before_its_syn_is_acknowledged():
    talk = fast_open()
    start = talk.next["s"]
    talk.say("S: 220 mx.example ESMTP\\r\\n")
    talk.raw("c", ACK, ack=start)
    assert counted(talk.frames)["proven"] == 1
    for guess in (start - 1, start + 1, start + 2**31):
        talk.frames.pop()
        talk.raw("c", ACK, ack=guess)
        assert "proven" not in counted(talk.frames)


def test_bytes_of_a_syn_that_were_not_taken_are_sent_again():
    talk = fast_open(taken=False)
    talk.send("c", flags=ACK)
    talk.say(GOOD.split("\n")[1])
    talk.send("c", HELLO)
    s = talk.say(REST).close().session()
    assert (s.handshake, s.helo, s.messages_accepted, s.anomalies) == (
        "complete", "mail.sender.example", 1, [],
    )  # fmt: skip
    assert counted(talk.frames)["sessions"] == 1


def test_what_was_not_taken_was_never_said():
    talk = Conversation()
    talk.raw("c", SYN, b"HELO decoy.example\r\n")
    talk.skip("c", 1)
    talk.send("s", flags=SYN | ACK)
    talk.send("c", flags=ACK)
    talk.say(GOOD.split("\n")[1])
    talk.send("c", HELLO)
    s = talk.session()
    assert (s.helo, s.anomalies) == ("mail.sender.example", [])


def test_a_syn_with_bytes_is_repeated_without_them():
    talk = Conversation()
    talk.raw("c", SYN, HELLO)
    talk.now += SECOND
    talk.raw("c", SYN)
    talk.skip("c", 1)
    talk.send("s", flags=SYN | ACK)
    talk.send("c", flags=ACK)
    talk.say(GOOD.split("\n")[1])
    talk.send("c", HELLO)
    s = talk.say(REST).close().session()
    assert (s.syns, s.helo, s.anomalies, s.retransmissions) == (2, "mail.sender.example", [], 0)


@pytest.mark.parametrize("taken", [True, False])
def test_bytes_of_a_syn_where_the_client_alone_is_seen(taken):
    talk = fast_open(taken=taken)
    talk.frames.pop()
    talk.send("c", flags=ACK)
    if not taken:
        talk.send("c", HELLO)
    talk.send("c", b"MAIL FROM:<a@b.example>\r\n")
    s = talk.session()
    assert (s.handshake, s.helo, s.mail_attempted) == ("complete", "mail.sender.example", 1)
    assert (s.gaps, s.retransmissions) == (0, 0)
    counters = counted(talk.frames)
    assert (counters["answered"], counters["sessions"]) == (1, 1)
    assert "proven" not in counters


def test_a_syn_with_bytes_may_be_unanswered():
    talk = Conversation()
    talk.raw("c", SYN, HELLO)
    later = Conversation(sport=4001)
    later.now = START + 11 * SECOND
    later.send("c", flags=SYN)
    first, _ = sessions(talk.frames + later.frames)
    assert (first.handshake, first.helo, first.bytes_client) == ("unanswered", None, 0)
    counters = counted(talk.frames + later.frames)
    assert counters["unanswered"] == 1
    assert "sessions" not in counters


def test_a_flood_of_syns_with_bytes_pushes_out_no_session():
    honest = Conversation().open().say(HEAD)
    flood = []
    for k in range(200):
        forged = Conversation(sport=10_000 + k)
        forged.now = honest.now + k * 1000
        forged.raw("c", SYN, HELLO)
        flood += forged.frames
    honest.now += SECOND
    at = len(honest.frames)
    honest.say(TAIL).close()
    frames = honest.frames[:at] + flood + honest.frames[at:]
    found = [s for s in sessions(frames, limits=Limits(max_sessions=16, max_pieces=16)) if s.quit]
    assert [s.messages_accepted for s in found] == [1]


# --- a SYN from both -----------------------------------------------------------------------------


def handshake(order: str, ends=(CLIENT, SERVER), ports=(4000, 25)) -> Conversation:
    """``S`` and ``s``: the client's SYN-ACK and ACK come after; letters: see below."""
    talk = Conversation(ends=ends, sport=ports[0], dport=ports[1])
    for step in order.split():
        side, what = step[0], step[1:]
        flags = {"syn": SYN, "synack": SYN | ACK, "ack": ACK}[what]
        first = 1000 if side == "c" else 5000
        ack = (5001 if side == "c" else 1001) if flags & ACK else 0
        talk.raw(side, flags, seq=first if flags & SYN else first + 1, ack=ack)
    talk.next = {"c": 1001, "s": 5001}
    return talk


SPLIT = [
    "csyn ssyn csynack sack",
    "csyn ssyn csynack ssynack cack",
    "csyn ssyn csynack ssynack",
    "csyn ssyn ssynack csynack",
    "csyn ssyn cack sack",
    "csyn sack ssyn csynack sack",
    "csyn sack ssyn csynack",
    "csyn sack ssynack cack",
    "csyn ssyn ssyn csynack csynack sack",
    "ssyn csyn csynack sack",
    "ssyn csyn csynack ssynack",
    "ssyn csyn ssynack csynack",
    "csyn csynack ssyn sack",
]


@pytest.mark.slow
@pytest.mark.parametrize("order", SPLIT)
@pytest.mark.parametrize("ends", [(CLIENT, SERVER), SIX])
@pytest.mark.parametrize("ports", [(4000, 25), (25, 25)])
def test_both_send_a_syn(order, ends, ports):
    if order.startswith("ssyn") and ports == (25, 25):
        pytest.skip("who sends the first SYN is the client there")
    talk = handshake(order, ends, ports)
    assert is_whole(talk.say(GOOD).close())
    counters = counted(talk.frames)
    assert (counters["attempts"], counters["answered"]) == (1, 1)
    assert counters.get("proven", 0) == (order != "csyn ssyn cack sack")
    assert "unsolicited_answers" not in counters


def test_a_servers_syn_alone_is_no_answer():
    talk = handshake("csyn ssyn")
    talk.now += 11 * SECOND
    talk.raw("s", ACK, seq=77, ack=5)
    counters = counted(talk.frames)
    assert counters["unanswered"] == 1
    assert "answered" not in counters


def test_an_acknowledgement_of_another_number_is_no_answer():
    talk = handshake("csyn ssyn csynack")
    for seq, ack in ((5001, 1002), (5002, 1001), (5001, 1000)):
        talk.raw("s", ACK, seq=seq, ack=ack)
    assert "answered" not in counted(talk.frames)


def test_a_lost_syn_ack_costs_no_byte_of_the_greeting():
    talk = Conversation().open()
    del talk.frames[1:]
    s = talk.say(GOOD).close().session()
    assert (s.banner_code, s.anomalies, s.quit) == (220, [], True)


def test_where_servers_alone_are_seen_no_byte_of_the_greeting_is_lost():
    frames = []
    for k in range(20):
        talk = Conversation(sport=4000 + k).open().say(GOOD).close()
        frames += [(ts + k * SECOND, f) for ts, f in talk.frames if f[34:36] == b"\0\x19"]
    found = sessions(frames)
    answered = [s for s in found if s.handshake != "midstream"]
    assert [s.banner_code for s in answered] == [220] * 4


# --- a SYN again ---------------------------------------------------------------------------------


def syns(times, ends=(CLIENT, SERVER), seq=1000, sport=4000, **more):
    return [
        (START + round(t * SECOND), frame(*ends, sport, 25, seq, 0, SYN, ident=k + 1, **more))
        for k, t in enumerate(times)
    ]


def answer(t, flags, ends=(CLIENT, SERVER), sport=4000, ack=1001, seq=5000):
    return START + round(t * SECOND), frame(*ends[::-1], 25, sport, seq, ack, flags)


def unreachable(t, seq=1000):
    """An ICMP error of a router about the SYN."""
    quoted = frame(CLIENT, SERVER, 4000, 25, seq, 0, SYN)[14:42]
    whole = frame(SERVER, CLIENT, 0, 0, 0, 0, 0)
    header = bytearray(whole[14:34])
    header[2:4] = (20 + 8 + len(quoted)).to_bytes(2, "big")
    header[9] = 1
    return START + round(t * SECOND), whole[:14] + bytes(header) + bytes([3, 1]) + bytes(6) + quoted


END = 300


@pytest.mark.parametrize("ends", [(CLIENT, SERVER), SIX])
@pytest.mark.parametrize(
    "times", [LINUX, LINEAR, [0, 3, 9, 21], [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67, 127]]
)
def test_a_syn_again_is_a_retry_however_late(times, ends):
    frames = syns(times, ends)
    later = syns([END], ends, sport=4001)
    counters = counted(frames + later)
    assert (counters["attempts"], counters["retries"]) == (2, len(times) - 1)
    assert counters["unanswered"] == 1
    first, _ = sessions(frames + later)
    assert (first.handshake, first.syns) == ("unanswered", len(times))
    assert first.end - first.ts == times[-1] * SECOND


def test_each_copy_of_a_mirror_that_shows_packets_twice_is_a_retry_at_most():
    frames = sorted(syns(LINUX) + syns([t + 0.0001 for t in LINUX], ttl=63))
    counters = counted(frames + syns([END], sport=4001))
    assert (counters["attempts"], counters["unanswered"]) == (2, 1)


def test_another_number_is_another_connection():
    frames = syns([0]) + syns([3], seq=9000) + syns([12], seq=70_000)
    counters = counted(frames + syns([END], sport=4001))
    assert (counters["attempts"], counters["unanswered"]) == (4, 3)
    assert "retries" not in counters
    assert [s.syns for s in sessions(frames)] == [1, 1, 1]


def test_a_late_answer_is_followed():
    talk = Conversation()
    talk.frames = syns(LINUX[:6])
    talk.now = START + 31 * SECOND
    talk.skip("c", 1)
    talk.send("s", flags=SYN | ACK)
    talk.send("c", flags=ACK)
    s = talk.say(GOOD).close().session()
    assert (s.handshake, s.syns, s.quit, s.ended) == ("complete", 6, True, "closed")
    counters = counted(talk.frames)
    assert (counters["attempts"], counters["answered"], counters["unanswered"]) == (1, 1, 1)


@pytest.mark.parametrize("times", [[0, 0.5, 1.0], [0, 1, 3, 7, 15, 31, 63]])
def test_a_syn_again_after_a_reset(times):
    """Windows tries again at once."""
    frames = list(
        itertools.chain.from_iterable(
            (syn, answer(t + 0.1, RST | ACK, seq=0))
            for t, syn in zip(times, syns(times), strict=True)
        )
    )
    counters = counted(frames)
    assert (counters["attempts"], counters["refused"]) == (1, 1)
    assert counters["retries"] == len(times) - 1
    (s,) = sessions(frames)
    assert (s.handshake, s.syns) == ("refused", len(times))


def test_a_syn_again_after_an_error_of_a_router():
    """Of no consequence to the client (RFC 1122, 4.2.3.9)."""
    frames = sorted(syns(LINUX) + [unreachable(t + 0.05) for t in LINUX])
    counters = counted(frames)
    assert (counters["attempts"], counters["refused"], counters["retries"]) == (1, 1, 6)


def test_an_error_about_another_number_refuses_nothing():
    talk = Conversation()
    talk.send("c", flags=SYN)
    talk.frames.append(unreachable(0.0015, seq=999))
    talk.send("s", flags=SYN | ACK)
    talk.send("c", flags=ACK)
    assert is_whole(talk.say(GOOD).close())


def test_a_refusal_that_was_none_hides_no_session():
    talk = Conversation()
    talk.send("c", flags=SYN)
    talk.raw("s", RST | ACK, seq=0)
    talk.send("s", flags=SYN | ACK)
    talk.send("c", flags=ACK)
    assert is_whole(talk.say(GOOD).close())


def test_how_many_are_remembered_is_bounded_and_the_oldest_go_first():
    frames = [one for k in range(40) for one in syns([k * 0.01], sport=5000 + k)]
    again = [one for k in range(40) for one in syns([20 + k * 0.01], sport=5000 + k)]
    counters = counted(frames + again, limits=Limits(max_connections=64))
    assert counters["unanswered_forgotten"] == 24
    assert counters["attempts"] == 64
    assert counters["retries"] == 16


@pytest.mark.parametrize("step", [1, 7])
def test_the_same_however_it_is_cut_into_blocks(step):
    frames = sorted(syns(LINUX) + syns(LINEAR, sport=4001) + [unreachable(1.5)])
    assert sessions(frames, step=step) == sessions(frames)
