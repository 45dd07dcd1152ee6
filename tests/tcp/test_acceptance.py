"""What a receiver drops ends no connection, hides none and makes no client rude."""

import pytest

from lab.conversation import (
    ACK,
    CLIENT,
    FIN,
    GOOD,
    PSH,
    RST,
    SERVER,
    SYN,
    Conversation,
    block,
    sessions,
    stamp,
)
from lab.outputs import feed, finish
from sensor.pipeline import Pipeline
from sensor.settings import Settings

SIX = ("2001:db8:7::7", "2001:db8:25::25")
HEAD, TAIL = GOOD.split("C: DATA")
TAIL = "C: DATA" + TAIL
MD5 = bytes([19, 18]) + b"x" * 16 + b"\1\1"
AO = bytes([29, 16, 1, 1]) + b"x" * 12


def scaled(shift: int) -> bytes:
    return bytes([1, 3, 3, shift])


def counted(frames, **settings) -> dict[str, int]:
    """The counters of connections that are not zero."""
    pipeline = Pipeline(Settings(**settings))
    feed(pipeline, block(frames))
    finish(pipeline)
    return {name: n for name, n in pipeline.counters()["connections"].items() if n}


def is_whole(talk: Conversation) -> bool:
    s = talk.session()
    return (s.handshake, s.ended, s.quit, s.messages_accepted, s.anomalies) == (
        "complete", "closed", True, 1, [],
    )  # fmt: skip


# --- resets after the handshake ------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("ends", [(CLIENT, SERVER), SIX])
@pytest.mark.parametrize("flags", [RST, RST | ACK])
@pytest.mark.parametrize("side", ["c", "s"])
@pytest.mark.parametrize("away", [-1, -70_000, 70_000, 2**20, 2**31, -(2**31) + 1])
def test_a_reset_outside_the_window_is_ignored(side, flags, away, ends):
    talk = Conversation(ends=ends).open().say(HEAD)
    talk.raw("c", ACK)
    talk.raw(side, flags, seq=talk.next[side] + away)
    talk.say(TAIL).close()
    assert is_whole(talk)
    counters = counted(talk.frames)
    assert counters["segments_ignored"] == 1
    assert counters["proven"] == 1


@pytest.mark.parametrize("side", ["c", "s"])
def test_with_a_window_scale_the_window_is_larger(side):
    for scale, ended in ((0, "open"), (7, "reset")):
        talk = Conversation()
        talk.send("c", flags=SYN, options=scaled(scale))
        talk.send("s", flags=SYN | ACK, options=scaled(scale))
        talk.send("c", flags=ACK)
        talk.say(HEAD)
        talk.raw(side, RST, seq=talk.next[side] + 70_000)
        assert talk.session().ended == ended


@pytest.mark.parametrize("side", ["c", "s"])
@pytest.mark.parametrize("ahead", [1, 1000, 60_000])
def test_a_reset_further_on_in_the_window_is_asked_back(side, ahead):
    talk = Conversation().open().say(HEAD)
    talk.raw(side, RST, seq=talk.next[side] + ahead)
    assert talk.session().ended == "reset", "nothing followed: the mirror lost something"
    talk.raw("c" if side == "s" else "s", ACK)
    assert talk.session().ended == "open", "the challenge"
    talk.say(TAIL).close()
    assert is_whole(talk)


@pytest.mark.parametrize("side", ["c", "s"])
def test_a_challenge_that_is_answered_by_the_right_reset_ends_it(side):
    talk = Conversation().open().say(HEAD)
    talk.raw(side, RST, seq=talk.next[side] + 100)
    talk.raw("c" if side == "s" else "s", ACK)
    talk.raw(side, RST)
    s = talk.session()
    assert (s.ended, s.anomalies) == ("reset", [])


@pytest.mark.parametrize("flags", [RST, RST | ACK])
@pytest.mark.parametrize("side", ["c", "s"])
def test_a_true_reset_ends_the_connection(side, flags):
    talk = Conversation().open().say(HEAD)
    talk.raw(side, flags)
    assert talk.session().ended == "reset"


def test_a_reset_that_answers_bytes_on_their_way_ends_it():
    talk = Conversation().open().say(HEAD)
    start = talk.next["s"]
    talk.send("s", b"421 4.4.2 late\r\n")
    talk.raw("c", RST, seq=talk.next["c"])
    assert talk.session().ended == "reset"
    talk = Conversation().open().say(HEAD)
    talk.send("s", b"250-one\r\n")
    talk.raw("s", RST, seq=start)  # what the client has acknowledged so far
    assert talk.session().ended == "reset"


def test_a_client_that_has_finished_resets_what_still_comes():
    talk = Conversation().open().say(GOOD)
    talk.send("c", flags=FIN | ACK)
    talk.send("s", b"421 bye\r\n")
    talk.raw("c", RST)
    assert talk.session().ended == "reset"


@pytest.mark.parametrize("side", ["c", "s"])
def test_resets_in_mid_stream(side):
    talk = Conversation().open().say(HEAD)
    del talk.frames[:5]
    talk.raw(side, RST, seq=talk.next[side] + 2**30)
    assert talk.session().ended == "open"
    talk.raw(side, RST)
    assert talk.session().ended == "reset"
    talk.say(TAIL)
    assert talk.session().quit


@pytest.mark.parametrize("only", ["c", "s"])
def test_resets_where_one_direction_is_seen(only):
    talk = Conversation().open().say(HEAD)
    talk.raw(only, RST, seq=talk.next[only] + 2**30)
    talk.say(TAIL)
    mine = [frame for frame in talk.frames if (frame[1][36:38] == b"\0\x19") == (only == "c")]
    (s,) = sessions(mine)
    assert (s.ended, s.anomalies) == ("open", [])
    talk.raw(only, RST)
    assert sessions([*mine, talk.frames[-1]])[0].ended == "reset"


@pytest.mark.parametrize("side", ["c", "s"])
def test_a_reset_with_a_wrong_checksum_is_ignored(side):
    talk = Conversation().open().say(HEAD)
    talk.raw(side, RST, bad_checksum=True)
    assert is_whole(talk.say(TAIL).close())


@pytest.mark.parametrize("side", ["c", "s"])
@pytest.mark.parametrize("option", [MD5, AO])
@pytest.mark.parametrize("flags", [RST, RST | ACK, FIN | ACK])
def test_a_signature_nobody_agreed_on(side, option, flags):
    talk = Conversation().open().say(HEAD)
    talk.raw(side, flags, options=option)
    assert is_whole(talk.say(TAIL).close())


@pytest.mark.parametrize("side", ["c", "s"])
@pytest.mark.parametrize("flags", [FIN, FIN | PSH])
def test_a_fin_without_acknowledgement_is_ignored(side, flags):
    talk = Conversation().open().say(HEAD)
    talk.raw(side, flags, b"" if flags == FIN else b"XXXX\r\n")
    assert is_whole(talk.say(TAIL).close())


@pytest.mark.parametrize("side", ["c", "s"])
def test_a_fin_from_nowhere_is_ignored(side):
    talk = Conversation().open().say(HEAD)
    talk.raw(side, FIN | ACK, seq=talk.next[side] + 2**30)
    assert is_whole(talk.say(TAIL).close())


def test_the_bytes_of_a_reset_are_no_bytes_of_the_stream():
    talk = Conversation().open().say(HEAD)
    talk.raw("s", RST | ACK, b"550 no\r\n", seq=talk.next["s"] + 2**30)
    assert is_whole(talk.say(TAIL).close())
    talk = Conversation().open().say(HEAD)
    talk.raw("s", RST | ACK, b"550 no\r\n")
    assert "550" not in talk.session().reply_codes


# --- resets before the answer --------------------------------------------------------------------


@pytest.mark.parametrize(
    "forged",
    [
        {"flags": RST},
        {"flags": RST, "ack": 1001},
        {"flags": RST | ACK, "ack": 1000},
        {"flags": RST | ACK, "ack": 1002},
        {"flags": RST | ACK, "ack": 1001, "options": MD5},
        {"flags": RST | ACK, "ack": 1001, "options": AO},
        {"flags": RST | ACK, "ack": 1001, "options": stamp(9, 7)},
        {"flags": FIN | ACK, "ack": 1001, "options": stamp(9, 7)},
        {"flags": FIN | ACK, "ack": 1001},
        {"flags": FIN},
        {"flags": ACK, "ack": 77},
    ],
)
@pytest.mark.parametrize("ends", [(CLIENT, SERVER), SIX])
def test_what_no_client_takes_for_an_answer(forged, ends):
    talk = Conversation(ends=ends)
    talk.send("c", flags=SYN, options=stamp(1_000_000, 0))
    talk.raw("s", seq=0, **forged)
    talk.send("s", flags=SYN | ACK)
    talk.send("c", flags=ACK)
    assert is_whole(talk.say(GOOD).close())
    counters = counted(talk.frames)
    assert (counters["attempts"], counters["answered"], counters["proven"]) == (1, 1, 1)
    assert not {"refused", "midstream", "unsolicited_answers"} & set(counters)


@pytest.mark.parametrize("options", [b"", stamp(9, 0), stamp(9, 1_000_000), stamp(9, 1_003_000)])
def test_a_true_refusal_is_one(options):
    talk = Conversation()
    talk.send("c", flags=SYN, options=stamp(1_000_000, 0))
    talk.raw("s", RST | ACK, seq=0, options=options)
    assert talk.session().handshake == "refused"


def test_a_refusal_of_a_syn_with_bytes_acknowledges_them():
    talk = Conversation()
    talk.send("c", b"EHLO a.example\r\n", flags=SYN)
    talk.raw("s", RST | ACK, seq=0)
    s = talk.session()
    assert (s.handshake, s.helo) == ("refused", None)


def test_a_signed_connection_is_refused_by_a_signed_reset_alone():
    for option, handshake in ((b"", "syn_only"), (MD5, "refused")):
        talk = Conversation()
        talk.send("c", flags=SYN, options=MD5)
        talk.raw("s", RST | ACK, seq=0, options=option)
        assert talk.session().handshake == handshake


@pytest.mark.parametrize("seq", [1000, 1002, 12345, 2**31 + 1001])
def test_a_stranger_disowns_nothing(seq):
    talk = Conversation()
    talk.send("c", flags=SYN)
    talk.send("s", flags=SYN | ACK)
    talk.raw("c", RST, seq=seq)
    talk.send("c", flags=ACK)
    assert is_whole(talk.say(GOOD).close())
    assert "disowned" not in counted(talk.frames)


# --- urgent bytes --------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["c", "s"])
def test_urgent_bytes_stay_in_the_stream_and_are_told(side):
    talk = Conversation().open().say(HEAD)
    text = b"RCPT TO:<x@other.example>\r\n" if side == "c" else b"250 2.0.0 once more\r\n"
    talk.send(side, text, flags=ACK | PSH | 32, urgent=9)
    s = talk.session()
    assert "urgent_data" in s.anomalies
    assert s.rcpt_attempted == 1 + (side == "c")


def test_an_urgent_pointer_without_the_flag_or_without_bytes_means_nothing():
    talk = Conversation().open().say(HEAD)
    talk.raw("c", ACK, urgent=9)
    talk.raw("c", ACK | 32, urgent=9)
    assert is_whole(talk.say(TAIL).close())


# --- timestamps (RFC 7323) -----------------------------------------------------------------------


def stamped(begin: int = 100_000, steps: tuple[int, int] = (10, 10)) -> Conversation:
    """A conversation in which both sides send timestamps, and echo each other's."""
    return Conversation().with_stamps(begin, lambda side: steps[side == "s"])


OLD = stamp(5, 5)
DECOYS = {
    "fin": lambda talk: talk.raw("c", FIN | ACK, options=OLD),
    "fins": lambda talk: [talk.raw(side, FIN | ACK, options=OLD) for side in "cs"],
    "fin and bytes": lambda talk: [
        talk.raw(side, FIN | ACK, b"quit\r\n", options=OLD) for side in "cs"
    ],
    "command": lambda talk: talk.raw("c", ACK | PSH, b"RCPT TO:<x@decoy.example>\r\n", options=OLD),
    "reply": lambda talk: talk.raw("s", ACK | PSH, b"550 5.7.1 go away\r\n", options=OLD),
    "over what is known": lambda talk: talk.raw(
        "c", ACK | PSH, b"x@y.example>\r\nQUIT\r\n", seq=talk.next["c"] - 9, options=OLD
    ),
    "padded otherwise": lambda talk: talk.raw(
        "c", ACK | PSH, b"QUIT\r\n", options=OLD[2:] + b"\1\1"
    ),
}


@pytest.mark.parametrize("begin", [100_000, 2**32 - 40], ids=["small", "wraps"])
@pytest.mark.parametrize("name", DECOYS)
def test_what_a_receiver_drops_for_its_timestamp_is_left_out_and_told(name, begin):
    talk = stamped(begin).open().say(HEAD)
    DECOYS[name](talk)
    s = talk.say(TAIL).close().session()
    assert s.anomalies == ["old_timestamp"]
    plain = stamped(begin).open().say(HEAD + TAIL).close().session()
    for field in ("ended", "quit", "commands", "rcpt_domains", "reply_codes", "messages_accepted",
                  "bytes_client", "bytes_server", "gaps"):  # fmt: skip
        assert getattr(s, field) == getattr(plain, field), field


@pytest.mark.parametrize("side", ["c", "s"])
def test_a_reset_counts_whatever_its_timestamp(side):
    talk = stamped().open().say(HEAD)
    talk.raw(side, RST | ACK, options=OLD)
    assert talk.session().ended == "reset"


def test_a_clock_that_stands_still_or_steps_back_a_tick_drops_nothing():
    for steps in ((0, 0), (0, 10), (10, 0)):
        assert is_whole(stamped(steps=steps).open().say(HEAD + TAIL).close())
    talk = stamped(steps=(0, 0)).open().say(HEAD)
    talk.send("c", b"DATA\r\n", options=stamp(99_999, 100_077))
    assert is_whole(talk.say(TAIL.removeprefix("C: DATA\\r\\n")).close())


def test_a_mirror_that_shows_the_server_first_drops_nothing():
    """Each side from a card of its own, one of them late by more than any round trip."""
    talk = stamped().open().say(HEAD + TAIL).close()
    side = [content[26:30] == bytes([203, 0, 113, 7]) for _, content in talk.frames]
    for late in (True, False):
        order = sorted(range(3, len(side)), key=lambda k: k + 4.5 * (side[k] == late))
        frames = [talk.frames[k] for k in (0, 1, 2, *order)]
        times = [ts for ts, _ in talk.frames]
        (s,) = sessions([(ts, content) for ts, (_, content) in zip(times, frames, strict=True)])
        assert "old_timestamp" not in s.anomalies and s.bytes_missed == 0
        assert s.messages_accepted == 1


def test_a_system_that_echoes_something_else_costs_a_line_at_most():
    talk = stamped().open()
    for line in (HEAD + TAIL).splitlines():
        if line.startswith("S"):
            raw = line[3:].encode().decode("unicode_escape").encode()
            talk.send("s", raw, options=stamp(100_500, 0x00700000))
        else:
            talk.say(line)
    s = talk.close().session()
    assert (s.gaps, s.messages_accepted, s.quit, s.ended) == (1, 1, True, "closed")
    assert s.anomalies == ["gap", "resynchronised", "old_timestamp"]
    assert s.rcpt_domains == ["receiver.example"]


def test_without_an_echo_a_decoy_is_told_by_what_follows():
    talk = Conversation().open().say(HEAD)
    talk.raw("c", ACK | PSH, b"RCPT TO:<x@decoy.example>\r\n", options=stamp(1, 1))
    talk.send("c", b"RCPT TO:<x@trueo.example>\r\n", options=stamp(10_000, 1))
    assert "overlap_conflict" in talk.session().anomalies
