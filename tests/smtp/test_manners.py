"""What a session says of its client: manners, and whether a message was sent where replies hide."""

import pytest

from lab.conversation import Conversation, block
from lab.outputs import evidence_of, feed, finish
from sensor.hosts.evidence import Count
from sensor.pipeline import Pipeline
from sensor.settings import Settings

CLIENT = bytes([203, 0, 113, 7])
HELLO = r"""
S: 220 mx.example ESMTP\r\n
C: EHLO mail.sender.example\r\n
S: 250-mx.example\r\n250-STARTTLS\r\n250 SIZE\r\n
"""
MAIL = r"""
C: MAIL FROM:<a@sender.example>\r\n
S: 250 ok\r\n
C: RCPT TO:<b@receiver.example>\r\n
"""
TAKEN = r"""
S: 250 ok\r\n
C: DATA\r\n
S: 354 go\r\n
C: Subject: x\r\n\r\nhello hello hello hello hello hello hello hello hello hello hello\r\n.\r\n
S: 250 queued\r\n
"""
REFUSED = r"""
S: 550 no such user\r\n
"""
QUIT = r"""
C: QUIT\r\n
S: 221 bye\r\n
"""


def told(talk: Conversation, one_way: bool = False) -> set[str]:
    """Which counts of its session the client's host has after it."""
    frames = [f for f in talk.frames if f[1][26:30] == CLIENT] if one_way else talk.frames
    pipeline = Pipeline(Settings())
    feed(pipeline, block(frames))
    finish(pipeline)
    counts = evidence_of(pipeline, "203.0.113.7").counts
    session = (Count.RUDE, Count.POLITE, Count.MAILED, Count.UNMAILED, Count.REJECTED,
               Count.ACCEPTED, Count.POLICY, Count.CONTENT, Count.ASKED, Count.EMPTY)  # fmt: skip
    return {what.name for what in session if counts[what, 4]}


@pytest.mark.parametrize(
    "text, both, alone",
    [
        (HELLO + MAIL + TAKEN + QUIT, {"POLITE", "ACCEPTED"}, {"POLITE", "MAILED"}),
        (HELLO + MAIL + REFUSED + QUIT, {"POLITE", "REJECTED"}, {"POLITE", "UNMAILED"}),
        # Who hung up first cannot be seen from one side.
        (HELLO + MAIL + REFUSED, {"RUDE", "REJECTED"}, {"UNMAILED"}),
        (
            HELLO.replace("mail.sender.example", "pc") + MAIL + TAKEN + QUIT,
            {"RUDE", "ACCEPTED"},
            {"RUDE", "MAILED"},
        ),
    ],
)
def test_both_sides_and_one(text, both, alone):
    talk = Conversation().open().say(text).close()
    assert told(talk) == both
    assert told(talk, one_way=True) == alone


def encrypted(size: int, hello: str = HELLO) -> Conversation:
    talk = Conversation().open().say(hello + r"C: STARTTLS\r\n|S: 220 go\r\n")
    talk.send("c", b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03" + bytes(250))
    talk.send("s", b"\x17\x03\x03\x03\x00" + bytes(768))
    for at in range(0, size, 1400):
        part = min(1400, size - at)
        talk.send("c", b"\x17\x03\x03" + part.to_bytes(2) + bytes(part))
        talk.send("s", b"\x17\x03\x03\x00\x10" + bytes(16))
    return talk.close()


@pytest.mark.parametrize("one_way", [False, True])
def test_under_tls_the_size_tells_whether_there_was_a_message(one_way):
    assert told(encrypted(4000), one_way) == {"POLITE", "MAILED"}
    assert told(encrypted(600), one_way) == {"POLITE", "UNMAILED"}
    bare = HELLO.replace("mail.sender.example", "pc")
    assert told(encrypted(4000, bare), one_way) == {"RUDE", "MAILED"}
