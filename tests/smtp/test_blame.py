"""What a server does, and how bytes are cut, changes nothing of what is said of the client."""

import ipaddress
import random
from itertools import pairwise

import numpy as np
import pytest

from lab.conversation import Conversation, block
from lab.outputs import feed
from sensor.base.addresses import MAPPED
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.smtp.record import Session
from sensor.smtp.session import new_sessions, note_early
from tests.smtp import test_manners

HELLO = r"""
S: 220 mx\r\n
C: EHLO a.example\r\n
S: 250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n
"""
MAIL = r"""
C: MAIL FROM:<a@b.example>\r\n
S: 250 ok\r\n
C: RCPT TO:<c@d.example>\r\n
S: 250 ok\r\n
"""
QUIT = r"""
C: QUIT\r\n
S: 221 bye\r\n
"""


def told(talk: Conversation) -> set[str]:
    """What is told of it, but that it asked for nothing: most talks here are of EHLO and QUIT."""
    return test_manners.told(talk) - {"ASKED"}


def held(text: str) -> Conversation:
    return Conversation().open().say(text).close()


def cut(lines: list[tuple[str, bytes]], where) -> Session:
    """A conversation of which ``where(bytes)`` gives the places each of the client's is cut at."""
    talk = Conversation().open()
    for side, said in lines:
        places = [0, *where(said), len(said)] if side == "c" else [0, len(said)]
        for start, stop in pairwise(places):
            if stop > start:
                talk.send(side, said[start:stop])
    return talk.close().session()


def essence(s: Session) -> dict:
    return {
        name: getattr(s, name)
        for name in Session.__struct_fields__
        if name not in ("ts", "end", "slowest_reply")
    }


LONG = {
    "mail": b"MAIL FROM:<a@b.example> ENVID=" + b"e" * 600 + b" SIZE=12\r\n",
    "path": b'MAIL FROM:<"' + b'@\\">' * 150 + b'"@b.example> SIZE=12 ENVID=1\r\n',
    "name": b"EHLO " + b"x" * 600 + b"@b.example\r\n",
    "unknown": b"WIZARD " + b"x" * 530 + b"\r\n",
    "verb": b"W" * 600 + b"\r\n",
    "bare": b"MAIL FROM:<a@b.example> ENVID=" + b"e" * 600 + b"\n",
    "cr": b"MAIL FROM:<a@b.example> ENVID=" + b"e\r" * 300 + b"\r\n",
    "bdat": b"BDAT " + b" " * 600 + b"0 LAST\r\n",
    "edge": b"NOOP " + b"x" * 505 + b"\r\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_a_long_command_is_the_same_wherever_it_is_cut(name):
    said = LONG[name]
    lines = [
        ("s", b"220 mx\r\n"),
        ("c", b"EHLO a.example\r\n"),
        ("s", b"250 mx\r\n"),
        ("c", said),
        ("s", b"250 ok\r\n"),
        ("c", b"QUIT\r\n"),
        ("s", b"221 bye\r\n"),
    ]
    whole = essence(cut(lines, lambda said: []))
    for at in {1, 4, 9, 10, 30, 511, 512, 513, 514, len(said) - 2, len(said) - 1}:
        assert essence(cut(lines, lambda said, at=at: [at] if at < len(said) else [])) == whole
    assert essence(cut(lines, lambda said: range(1, len(said), 7))) == whole
    assert ("bare_lf" in whole["anomalies"]) == (name == "bare")
    assert ("binary_command" in whole["anomalies"]) == (name == "cr")
    if name in ("mail", "path"):
        assert set(whole["mail_parameters"]) == {"SIZE", "ENVID"}
        assert whole["anomalies"] == []
    assert whole["quit"]


@pytest.mark.parametrize("size", [600, 1600, 12000])
def test_auth_may_be_long(size):
    lines = [
        ("s", b"220 mx\r\n"),
        ("c", b"EHLO a.example\r\n"),
        ("s", b"250 AUTH XOAUTH2\r\n"),
        ("c", b"AUTH XOAUTH2 " + b"A" * size + b"\r\n"),
        ("s", b"235 ok\r\n"),
    ]
    s = cut(lines, lambda said: range(1000, len(said), 1000))
    assert (s.auth_mechanism, s.auth_ok, s.anomalies) == ("XOAUTH2", True, [])


def test_conversations_are_the_same_however_they_are_cut():
    lines = [
        ("c", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12)),
        ("s", b"220 mx\r\n"),
        ("c", b"EHLO a.example\r\n"),
        ("s", b"250-mx\r\n250 CHUNKING\r\n"),
        ("c", b"MAIL FROM:<a@b.example> SIZE=1\r\n"),
        ("s", b"250 ok\r\n"),
        ("c", b"RCPT TO:<a@c.example>\r\n"),
        ("s", b"250 ok\r\n"),
        ("c", b"BDAT 20\r\n"),
        ("s", b"552 no\r\n"),
        ("c", b"octets that are sent"),
        ("c", b"RSET\r\n"),
        ("s", b"250 ok\r\n"),
        ("c", b"MAIL FROM:<a@b.example>\r\n"),
        ("s", b"250 ok\r\n"),
        ("c", b"RCPT TO:<a@c.example>\r\n"),
        ("s", b"250 ok\r\n"),
        ("c", b"DATA\r\n"),
        ("s", b"250 odd\r\n"),
        ("c", b"Subject: x\r\n\r\na\r.\r\nb\0\r\n.\0\r\nc.\r\n.\r\n"),
        ("s", b"250 taken\r\n"),
        ("c", b"QUIT\r\n"),
        ("s", b"221 bye\r\n"),
    ]
    whole = essence(cut(lines, lambda said: []))
    assert whole["anomalies"] == ["bare_end_of_data", "proxy_header"]
    assert (whole["messages_accepted"], whole["messages_rejected"], whole["quit"]) == (1, 1, True)
    rng = random.Random(1)
    assert essence(cut(lines, lambda said: range(1, len(said)))) == whole
    for _ in range(20):
        assert (
            essence(
                cut(lines, lambda said: sorted(rng.sample(range(len(said)), min(4, len(said)))))
            )
            == whole
        )


@pytest.mark.parametrize("mark", ["\t", ",", "_", ":", "  ", "", "mx"])
def test_a_reply_is_its_code(mark):
    text = (HELLO + MAIL + QUIT).replace("S: 250 ", "S: 250" + mark).replace("220 ", "220" + mark)
    s = held(text).session()
    assert s.reply_codes == {"220": 1, "250": 3, "221": 1}
    assert s.anomalies == []
    assert told(held(text)) == {"POLITE"}


@pytest.mark.parametrize(
    "text",
    [
        HELLO + r"C: MAIL FROM:<a@b.example>\r\n|S: 421 busy\r\n",
        HELLO + MAIL + r"S: 421 timeout\r\n",
        HELLO + MAIL + r"S: 221 go away\r\n",
        HELLO + r"C: MAIL FROM:<a@b.example>\r\n|S: 521 no mail here\r\n",
        r"S: what\r\n|C: EHLO a.example\r\n",
    ],
)
def test_who_hangs_up_on_a_server_that_closes_is_not_rude(text):
    assert "RUDE" not in told(held(text.replace("|", "\n")))


def test_who_hangs_up_after_long_silence_is_not_rude_and_at_once_is():
    for seconds, rude in ((1, True), (300, False)):
        talk = Conversation().open().say(HELLO + r"C: MAIL FROM:<a@b.example>\r\n")
        talk.now += seconds * 10**9
        assert ("RUDE" in told(talk.close())) == rude


GREYLISTED = r"""
C: MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n
S: 250 ok\r\n451 later\r\n554 no valid recipients\r\n
"""


@pytest.mark.parametrize(
    ("exchange", "verdict"),
    [
        (GREYLISTED, None),
        (GREYLISTED.replace("250 ok", "450 no").replace("451 later", "503 no"), None),
        (GREYLISTED.replace("554 no valid", "354 go\\r\\n|C: .\\r\\n|S: 554 no valid"), None),
        (GREYLISTED.replace("DATA\\r\\n", "BDAT 2 LAST\\r\\nxx"), None),
        (GREYLISTED.replace("451 later", "550 no"), "REJECTED"),
        (GREYLISTED.replace("451 later", "250 ok"), "CONTENT"),
        (
            GREYLISTED.replace("250 ok", "550 5.1.8 no").replace("451 later", "503 no"),
            "REJECTED",
        ),
    ],
)
def test_what_is_put_off_is_not_refused(exchange, verdict):
    outcome = told(held(HELLO + exchange + QUIT)) - {"RUDE", "POLITE"}
    assert outcome == ({verdict} if verdict else set())


@pytest.mark.parametrize("code", ["552", "503", "451"])
@pytest.mark.parametrize("octets", ["", r"C: " + "x" * 20 + "\n"])
def test_bdat_refused_before_its_octets(code, octets):
    s = held(
        HELLO
        + MAIL
        + rf"C: BDAT 20\r\n|S: {code} no\r\n|".replace("|", "\n")
        + octets
        + "C: RSET\\r\\n\nS: 250 ok\\r\\n"
        + MAIL
        + QUIT
    ).session()
    assert (s.mail_attempted, s.rcpt_attempted, s.quit, s.anomalies) == (2, 2, True, [])
    assert s.message_bytes == (20 if octets else 0)


@pytest.mark.parametrize("code", ["250", "150", "200", "451", "550"])
def test_data_that_brings_no_message(code):
    s = held(HELLO + MAIL + rf"C: DATA\r\n|S: {code} what\r\n|" + QUIT).session()
    assert (s.messages_accepted, s.message_bytes, s.quit, s.anomalies) == (0, 0, True, [])


def test_data_answered_250_and_the_message_sent_all_the_same():
    s = held(
        HELLO + MAIL + r"C: DATA\r\n|S: 250 ok\r\n|C: x\r\n.\r\n|S: 250 taken\r\n|" + QUIT
    ).session()
    assert (s.messages_accepted, s.message_bytes, s.quit, s.anomalies) == (1, 6, True, [])


EARLY = r"""
C: EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n
S: 220 mx\r\n250-mx\r\n250-PIPELINING\r\n250 KEYWORD\r\n250 ok\r\n250 ok\r\n
"""


@pytest.mark.parametrize("keyword", ["PIPECONNECT", "X_PIPE_CONNECT", "PIPE_CONNECT", "SIZE"])
def test_early_pipelining_where_it_is_offered(keyword):
    outcome = told(held(EARLY.replace("KEYWORD", keyword) + QUIT))
    assert outcome == ({"RUDE"} if keyword == "SIZE" else {"POLITE"})


# A client that does so without having asked this time: Exim keeps what a server offered.
KNOWN = r"""
C: EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nQUIT\r\n
S: 220 mx\r\n
S: 554 5.7.1 not you\r\n
"""


def after_sessions_with(servers: list[str], client: str = "203.0.113.9"):
    """The client of KNOWN at the first of ``servers``, after another client was at all of them."""
    frames = []
    now = Conversation().now
    offer = EARLY.replace("KEYWORD", "PIPECONNECT") + QUIT
    for k, server in enumerate(servers):
        talk = Conversation(sport=5000 + k, ends=(client, server))
        talk.now = now
        frames += talk.open().say(offer).close().frames
        now = talk.now
    talk = Conversation(ends=("203.0.113.7", servers[0])) if servers else Conversation()
    talk.now = now
    talk.frames = frames
    return talk.open().say(KNOWN).close()


def test_early_pipelining_where_it_was_offered_in_an_earlier_session():
    here = Conversation().ends[1]
    assert "RUDE" in told(after_sessions_with([]))
    assert "RUDE" not in told(after_sessions_with([here]))


def test_a_server_that_is_forgotten_for_another_is_counted():
    server = Conversation().ends[1]
    place = early_place(server)
    others = (f"100.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(1 << 20))
    rival = next(one for one in others if early_place(one) == place)
    talk = after_sessions_with([server, rival])
    assert "RUDE" in told(talk)
    pipeline = Pipeline(Settings())
    feed(pipeline, block(talk.frames))
    assert pipeline.counters()["connections"]["pipeconnect_forgotten"] == 1
    pipeline = Pipeline(Settings())
    feed(pipeline, block(after_sessions_with([server, server]).frames))
    assert pipeline.counters()["connections"]["pipeconnect_forgotten"] == 0


def early_place(server: str) -> int:
    """Where the table keeps whether this server offers PIPECONNECT."""
    table = new_sessions(1, 1)
    address = MAPPED + int(ipaddress.ip_address(server))
    note_early(table, np.uint64(0), np.uint64(address))
    return int(np.flatnonzero(table.early)[0])


@pytest.mark.parametrize(
    "header",
    [
        r"PROXY TCP4 192.0.2.9 198.51.100.25 5000 25\r\n",
        r"PROXY TCP6 2001:db8::1 2001:db8::2 5000 25\r\n",
        r"PROXY UNKNOWN\r\n",
        r"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
        r"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0cabcdefghijkl",
    ],
)
def test_a_proxy_header_is_told_and_not_judged(header):
    text = f"C: {header}\n" + HELLO + MAIL + QUIT
    s = held(text).session()
    assert (s.anomalies, s.commands, s.helo) == (["proxy_header"], 4, "a.example")
    assert told(held(text)) == {"POLITE"}


ENDS = [r"\r\n", r"\r", r"\n", r"\r\x00\n", r"\x00\r\n", r"\r\n\x00"]


@pytest.mark.parametrize("before", ENDS)
@pytest.mark.parametrize("after", ENDS)
def test_every_end_of_data_but_one_is_bare(before, after):
    right = before.endswith(r"\r\n") and after.startswith(r"\r\n")
    s = held(
        HELLO + MAIL + r"C: DATA\r\n|S: 354 go\r\n" + f"\nC: x{before}.{after}y\\r\\n.\\r\\n"
    ).session()
    assert ("bare_end_of_data" in s.anomalies) != right


@pytest.mark.parametrize("injected", ["250 ok", "421 bye", "\\r\\n250-EVIL"])
@pytest.mark.parametrize("apart", ["", "\nS: "])
def test_replies_injected_behind_starttls(injected, apart):
    text = r"S: 220 mx\r\n|C: EHLO a.example\r\n|S: 250 STARTTLS\r\n|C: STARTTLS\r\n|"
    s = held(text + rf"S: 220 go\r\n{apart}{injected}\r\n").session()
    assert s.anomalies == ["replies_before_tls"]
