"""What a refusal says of its client: the list it works through, where it lives, or what it sent."""

import numpy as np
import pytest

from lab.conversation import Conversation
from sensor.smtp.refusals import names_policy
from tests.smtp.test_manners import HELLO, QUIT, encrypted, told

ENVELOPE = r"""
C: MAIL FROM:<a@sender.example>\r\n
S: 250 ok\r\n
C: RCPT TO:<b@receiver.example>\r\n
"""
DATA = r"""
S: 250 ok\r\n
C: DATA\r\n
S: 354 go\r\n
C: Subject: x\r\n\r\nhello\r\n.\r\n
"""
MANNERS = {"RUDE", "POLITE"}


def verdict(text: str) -> set[str]:
    return told(Conversation().open().say(text).close()) - MANNERS


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("550 5.1.1 <b@receiver.example>: User unknown in local recipient table", "REJECTED"),
        ("550 no such user", "REJECTED"),
        ("550 5.4.1 Recipient address rejected: Access denied", "REJECTED"),
        ("551 not here", "REJECTED"),
        ("554 5.1.1 no such user", "REJECTED"),
        ("550-5.1.1 No account. See\\r\\n550 5.1.1 https://policy.example", "REJECTED"),
        ("554 5.7.1 Service unavailable; Client host [203.0.113.7] blocked", "POLICY"),
        ("550 5.7.1 no", "POLICY"),
        ("550 rejected: 203.0.113.7 is listed at dnsbl.example", "POLICY"),
        ("550-Blocked.\\r\\n550 go away", "POLICY"),
        ("554 no", "POLICY"),
        ("521 no mail here", "POLICY"),
        ("451 4.7.1 blocked for now", None),
    ],
)  # fmt: skip
def test_a_refused_recipient(reply, why):
    assert verdict(HELLO + ENVELOPE + f"S: {reply}\\r\\n" + QUIT) == ({why} if why else set())


def test_a_refused_greeting_sender_and_message():
    assert verdict(r"S: 554 5.7.1 no\r\n") == {"POLICY"}
    refused = (
        HELLO
        + r"""
        C: MAIL FROM:<a@sender.example>\r\n
        S: 550 5.7.1 listed\r\n
    """.replace("        ", "")
    )
    assert verdict(refused + QUIT) == {"POLICY"}
    assert verdict(HELLO + ENVELOPE + DATA + r"S: 554 5.7.1 spam\r\n" + QUIT) == {"CONTENT"}
    assert verdict(HELLO + ENVELOPE + DATA + r"S: 250 ok\r\n" + QUIT) == {"ACCEPTED"}


def test_a_refused_name():
    """The client never came to what it wanted, and is turned away for who it is."""
    greeting = r"S: 220 mx\r\n"
    helo, ehlo = "\n" + r"C: HELO x\r\n" + "\n", "\n" + r"C: EHLO x\r\n" + "\n"
    assert verdict(greeting + helo + r"S: 550 no\r\n") == {"POLICY"}
    assert verdict(greeting + ehlo + r"S: 550 5.7.1 no\r\n") == {"POLICY"}
    assert verdict(greeting + ehlo + r"S: 554 listed\r\n" + QUIT) == {"POLICY"}
    # Of the command, or how it is written (RFC 5321, 3.2 and 4.3.2); then HELO is tried.
    for said in ("550 what?", "500 what?", "502 no", "504 5.5.2 no name", "501 5.5.4 syntax"):
        refused = greeting + ehlo + f"S: {said}\\r\\n"
        assert verdict(refused) == set(), said
        mailed = refused + helo + "S: 250 mx\\r\\n" + ENVELOPE + DATA + r"S: 250 ok\r\n" + QUIT
        assert verdict(mailed) == {"ACCEPTED"}, said
    assert verdict(greeting + helo + r"S: 501 5.5.4 syntax\r\n") == set()


def test_who_asks_and_sends_nothing_has_only_asked():
    """What verifies senders, checks lists, or looks whether a server is up."""
    asked = HELLO + ENVELOPE + "S: 250 ok\\r\\n"
    assert verdict(asked + QUIT) == {"ASKED"}
    assert verdict(asked + "C: RSET\\r\\n|S: 250 ok\\r\\n".replace("|", "\n") + QUIT) == {"ASKED"}
    assert verdict(asked) == {"ASKED"}
    assert verdict(HELLO + QUIT) == {"ASKED"}
    # Said nothing, or tried to log in: that is another matter.
    assert verdict(HELLO) == set()
    assert verdict(r"S: 220 mx\r\n") == set()
    login = "C: AUTH PLAIN AHUAcA==\\r\\n|S: 535 no\\r\\n".replace("|", "\n")
    assert verdict(HELLO + login + QUIT) == set()


def test_one_of_two_recipients_unknown_and_data_is_no_question():
    both = ENVELOPE + "S: 550 no\\r\\n|C: RCPT TO:<c@d.example>\\r\\n".replace("|", "\n")
    assert verdict(HELLO + both + DATA + r"S: 250 ok\r\n" + QUIT) == {"ACCEPTED"}


def sealed(flights: list[int]) -> Conversation:
    """A session under TLS 1.3 in which the client speaks so often, so many bytes each time."""
    talk = Conversation().open().say(HELLO + r"C: STARTTLS\r\n|S: 220 go\r\n".replace("|", "\n"))
    hello = b"\x03\x03" + bytes(32) + b"\0\0\x02\x13\x01\x01\0\0\x07\0\x2b\0\x03\x02\x03\x04"
    hello = b"\x01" + len(hello).to_bytes(3) + hello
    talk.send("c", b"\x16\x03\x01" + len(hello).to_bytes(2) + hello)
    talk.send("s", b"\x17\x03\x03\x03\x00" + bytes(768))
    for size in flights:
        talk.send("c", b"\x17\x03\x03" + size.to_bytes(2) + bytes(size))
        talk.send("s", b"\x17\x03\x03\x00\x10" + bytes(16))
    return talk.close()


@pytest.mark.parametrize(
    ("flights", "what"),
    [
        ([120, 28], "EMPTY"),  # EHLO, QUIT: a test of TLS
        ([120, 150, 28], "UNMAILED"),  # an envelope that was refused
        ([120, 90, 80, 30, 28], "UNMAILED"),
        ([120, 150, 500, 28], "MAILED"),  # the shortest of messages
        ([120, 150, 9000, 28], "MAILED"),
    ],
)
def test_under_tls_what_was_sent_tells_what_was_meant(flights, what):
    assert told(sealed(flights)) - MANNERS == {what}


def test_a_hello_with_a_key_share_of_a_kilobyte_is_no_message():
    assert told(encrypted(600)) - MANNERS == {"UNMAILED"}


def test_words_are_found_wherever_they_stand_and_however_they_are_written():
    def names(text: bytes) -> bool:
        return bool(names_policy(np.frombuffer(text, np.uint8), 0, len(text)))

    assert names(b"your IP was BLOCKED") and names(b"RBL.") and names(b"spam")
    assert not names(b"user unknown") and not names(b"not listed in directory") and not names(b"")
    assert not names(b"x" * 300 + b"spam"), "a line is read so far and no further"


def test_a_null_sender_and_no_such_mailbox_is_a_question():
    """So a bounce goes to a forged sender, and so a server asks whether a sender is real."""
    null = ENVELOPE.replace("a@sender.example", "")
    unknown = r"S: 550 5.1.1 no such user\r\n"
    assert verdict(HELLO + null + unknown + QUIT) == {"ASKED"}
    assert verdict(HELLO + ENVELOPE + unknown + QUIT) == {"REJECTED"}
    assert verdict(HELLO + null + r"S: 550 5.7.1 listed\r\n" + QUIT) == {"POLICY"}
    assert verdict(HELLO + null + DATA + r"S: 250 taken\r\n" + QUIT) == {"ACCEPTED"}
