"""What is understood of what client and server say."""

import ssl

import pytest

from lab.conversation import GOOD, Conversation, sessions
from sensor.smtp.anomalies import ANOMALIES


def said(text: str, opened: bool = True):
    talk = Conversation()
    if opened:
        talk.open()
    return talk.say(text).session()


HELLO = r"""
S: 220 mx\r\n
C: EHLO a.example\r\n
S: 250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n
"""
SENDER = r"""
C: MAIL FROM:<ann@sender.example>\r\n
S: 250 ok\r\n
"""


def test_a_whole_session():
    s = Conversation().open().say(GOOD).close().session()
    assert (s.handshake, s.directions, s.ended) == ("complete", "both", "closed")
    assert (s.banner_code, s.helo, s.ehlo) == (220, "mail.sender.example", True)
    assert s.capabilities == ["PIPELINING", "SIZE", "8BITMIME", "STARTTLS"]
    assert (s.mail_from_domain, s.mail_parameters) == ("sender.example", ["SIZE", "BODY"])
    assert (s.rcpt_attempted, s.rcpt_accepted, s.rcpt_domains) == (1, 1, ["receiver.example"])
    assert (s.messages_accepted, s.message_bytes) == (1, 40)
    assert s.reply_codes == {"220": 1, "250": 4, "354": 1, "221": 1}
    assert (s.last_reply, s.starttls, s.quit) == ("221 2.0.0", "offered", True)
    assert not (s.tls or s.pipelined or s.early_talker or s.gaps or s.anomalies)


def test_several_messages_in_one_session_each_count():
    s = said(
        HELLO
        + (
            SENDER
            + r"""
C: RCPT TO:<x@one.example>\r\n
S: 250 ok\r\n
C: RCPT TO:<nobody@ONE.example>\r\n
S: 550 5.1.1 no such user\r\n
C: RCPT TO:<busy@two.example>\r\n
S: 450 4.2.0 later\r\n
C: DATA\r\n
S: 354 go\r\n
C: text\r\n.\r\n
S: 250 ok\r\n
C: RSET\r\n
S: 250 ok\r\n
"""
        )
        * 3
    )
    assert (s.mail_attempted, s.rcpt_attempted, s.messages_accepted) == (3, 9, 3)
    assert (s.rcpt_accepted, s.rcpt_rejected, s.rcpt_deferred) == (3, 3, 3)
    assert s.rcpt_domains == ["one.example", "two.example"]
    assert s.anomalies == []


@pytest.mark.parametrize(
    ("path", "domain"),
    [
        ("<a@b.example>", "b.example"),
        ("<A@B.EXAMPLE>", "b.example"),
        ("<>", ""),
        ("<postmaster>", ""),
        ("a@b.example", "b.example"),
        (" <a@b.example> SIZE=1", "b.example"),
        ("<@relay.example,@r2.example:a@b.example>", "b.example"),
        (r'<"odd @ > name"@b.example>', "b.example"),
        (r'<"a\\"b@c"@b.example>', "b.example"),
        ("<a@[192.0.2.1]>", "[192.0.2.1]"),
        ("<a@[IPv6:2001:db8::1]>", "[ipv6:2001:db8::1]"),
        ("<a@b.example.>", "b.example"),
        ("<a@b.example", "b.example"),
        (r"<\xc3\xbc@m\xc3\xbcller.example>", "müller.example"),
    ],
)
def test_domains_of_addresses(path, domain):
    s = said(HELLO + f"C: MAIL FROM:{path}\\r\\n\nS: 250 ok\\r\\n")
    assert s.mail_from_domain == domain


def test_multi_line_replies_with_and_without_enhanced_codes():
    s = said(r"""
S: 220-mx\r\n220-wait\r\n220 ready\r\n
C: HELO a.example\r\n
S: 250-not enhanced 2.1\r\n250 4.1.0 wrong class\r\n
""")
    assert s.reply_codes == {"220": 1, "250": 1}
    assert (s.last_reply, s.ehlo) == ("250", False)


def test_pipelining_is_told_from_pipelining_that_was_offered():
    pipelined = r"""
C: MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\nDATA\r\n
S: 250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n
C: x\r\n.\r\nMAIL FROM:<>\r\n
S: 250 taken\r\n250 ok\r\n
"""
    offered = said(HELLO + pipelined)
    assert offered.pipelined
    assert (offered.rcpt_accepted, offered.rcpt_rejected, offered.messages_accepted) == (1, 1, 1)
    assert offered.anomalies == []
    plain = said(HELLO.replace(r"250-PIPELINING\r\n", "") + pipelined)
    assert plain.anomalies == ["unadvertised_pipelining"]


def test_refused_data_is_followed_by_commands():
    s = said(
        HELLO
        + SENDER
        + r"""
C: RCPT TO:<x@one.example>\r\n
S: 550 no\r\n
C: DATA\r\n
S: 554 5.5.1 no valid recipients\r\n
C: QUIT\r\n
S: 221 bye\r\n
"""
    )
    assert (s.quit, s.messages_accepted, s.rcpt_rejected, s.commands) == (True, 0, 1, 5)


def test_bdat_counts_octets_whatever_they_are():
    s = said(
        HELLO
        + SENDER
        + r"""
C: RCPT TO:<x@one.example>\r\n
S: 250 ok\r\n
C: BDAT 12\r\nQUIT\r\n.\r\n\r\n\r
S: 250 ok\r\n
C: BDAT 6 LAST\r\nRSET\r\n
S: 250 2.0.0 queued\r\n
C: QUIT\r\n
S: 221 bye\r\n
"""
    )
    assert (s.messages_accepted, s.message_bytes, s.quit, s.commands) == (1, 18, True, 6)
    assert s.anomalies == []


@pytest.mark.parametrize("size", ["", "x", "-1", "99999999999999999999", "5x"])
def test_a_bdat_without_a_size(size):
    s = said(HELLO + f"C: BDAT {size}\\r\\n\nS: 501 what\\r\\nC: NOOP\\r\\n")
    assert "bad_bdat" in s.anomalies


@pytest.mark.parametrize(
    ("exchange", "mechanism", "ok"),
    [
        (r"C: AUTH PLAIN AHNlY3JldA==\r\n|S: 235 2.7.0 ok\r\n", "PLAIN", True),
        (r"C: AUTH PLAIN AHNlY3JldA==\r\n|S: 535 5.7.8 no\r\n", "PLAIN", False),
        (
            r"C: auth login\r\n|S: 334 VXNlcm5hbWU6\r\n|C: QUIT\r\n|S: 334 UGFzc3dvcmQ6\r\n"
            r"|C: c2VjcmV0\r\n|S: 235 ok\r\n",
            "LOGIN",
            True,
        ),
        (r"C: AUTH XOAUTH2 dXNl\r\n|S: 334 eyJz\r\n|C: *\r\n|S: 501 gone\r\n", "XOAUTH2", False),
        (r"C: AUTH PLAIN\r\n", "PLAIN", None),
    ],
)
def test_auth_tells_mechanism_and_success_and_nothing_else(exchange, mechanism, ok):
    tail = r"|C: NOOP\r\n|S: 250 ok\r\n|C: QUIT\r\n|S: 221 bye\r\n" if ok is not None else ""
    s = said(HELLO + (exchange + tail))
    assert (s.auth_mechanism, s.auth_ok) == (mechanism, ok)
    assert s.quit == (ok is not None), "a password QUIT is no QUIT, and after it all is read again"
    assert s.anomalies == []


def client_hello(name: str, alpn: list[str]) -> bytes:
    context = ssl.create_default_context()
    context.set_alpn_protocols(alpn)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_starttls_then_only_facts_of_the_hello_in_pieces_of_any_size(size):
    talk = Conversation().open().say(HELLO + "C: STARTTLS\\r\\n\nS: 220 2.0.0 go\\r\\n")
    hello = client_hello("mx.receiver.example", ["smtp", "h2"])
    for at in range(0, len(hello), size):
        talk.send("c", hello[at : at + size])
    talk.send("s", b"\x16\x03\x03\x00\x50" + bytes([2, 0, 0, 76, 3, 3]) + bytes(74))
    s = talk.close().session()
    assert (s.starttls, s.tls, s.tls_sni, s.tls_alpn) == (
        "accepted", True, "mx.receiver.example", "smtp",
    )  # fmt: skip
    assert s.tls_version == "TLSv1.2", "the server chose"
    assert s.anomalies == []
    assert s.last_reply == "220 2.0.0"


def test_starttls_refused_goes_on_in_clear():
    s = said(
        HELLO
        + r"""
C: STARTTLS\r\n
S: 454 4.7.0 not now\r\n
C: NOOP\r\n
S: 250 ok\r\n
"""
    )
    assert (s.starttls, s.tls, s.commands) == ("refused", False, 3)


def test_what_was_injected_behind_starttls_is_seen():
    s = said(HELLO + "C: STARTTLS\\r\\nMAIL FROM:<x@y.example>\\r\\n\nS: 220 go\\r\\n")
    assert "commands_before_tls" in s.anomalies


def test_tls_at_once_is_right_on_465_and_odd_on_25():
    for port, anomalies in ((465, []), (25, ["tls_without_starttls"])):
        talk = Conversation(dport=port).open()
        talk.send("c", client_hello("submission.example", ["smtp"]))
        s = talk.session(ports=(25, 465))
        assert (s.tls, s.tls_sni, s.anomalies) == (True, "submission.example", anomalies)


ODD = {
    "early_talker": r"C: HELO a.example\r\n|S: 220 mx\r\n250 ok\r\n",
    "data_before_354": r"S: 220 mx\r\n|C: HELO a\r\n|S: 250 ok\r\n"
    r"|C: MAIL FROM:<a@b>\r\n|S: 250 ok\r\n"
    r"|C: RCPT TO:<a@b>\r\n|S: 250 ok\r\n|C: DATA\r\nhello\r\n.\r\n|S: 354 go\r\n250 ok\r\n",
    "bare_lf": r"S: 220 mx\r\n|C: HELO a\n|S: 250 ok\r\n",
    "overlong_command": r"S: 220 mx\r\n|C: HELO " + "a" * 600 + r"\r\n|S: 500 no\r\n",
    "unknown_command": r"S: 220 mx\r\n|C: WIZ\r\n|S: 502 no\r\n",
    "binary_command": r"S: 220 mx\r\n|C: HELO \x01\r\n|S: 250 no\r\n",
    "out_of_sequence": r"S: 220 mx\r\n|C: RCPT TO:<a@b>\r\n|S: 503 no\r\n",
    "http": r"S: 220 mx\r\n|C: POST / HTTP/1.1\r\nHost: x\r\n\r\n|S: 500 no\r\n",
    "socks": r"C: \x05\x01\x00",
    "command_after_quit": r"S: 220 mx\r\n|C: QUIT\r\n|S: 221 bye\r\n|C: NOOP\r\n",
    "malformed_reply": r"S: 220 mx\r\n|C: NOOP\r\n|S: hello there\r\n",
    "unexpected_reply": r"S: 220 mx\r\n|S: 250 ok\r\n",
    "not_smtp_server": r"S: SSH-2.0-OpenSSH_9\r\n",
    "binary_client": r"C: \x80\x2e\x01",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_oddities_are_named(name):
    assert name in said(ODD[name]).anomalies


@pytest.mark.parametrize("end", [r"\n.\n", r"\n.\r\n", r"\r\n.\n"])
@pytest.mark.parametrize("pieces", [1, 3, 100])
def test_a_dot_between_bare_line_ends_does_not_end_the_message_but_is_noted(end, pieces):
    """SMTP smuggling: servers differ in what ends a message."""
    talk = (
        Conversation()
        .open()
        .say(
            HELLO
            + SENDER
            + r"""
C: RCPT TO:<x@one.example>\r\n
S: 250 ok\r\n
C: DATA\r\n
S: 354 go\r\n
"""
        )
    )
    body = f"text{end}MAIL FROM:<evil@x.example>\\r\\n.\\r\\n".encode().decode("unicode_escape")
    for at in range(0, len(body), pieces):
        talk.send("c", body[at : at + pieces].encode())
    s = talk.say(r"S: 250 ok\r\n").session()
    assert s.anomalies == ["bare_end_of_data"]
    assert (s.mail_attempted, s.messages_accepted) == (1, 1)


def test_a_tarpit_is_known_by_its_patience():
    talk = Conversation().open().say(r"S: 220 mx\r\n")
    talk.say(r"C: HELO a.example\r\n")
    talk.now += 25 * 10**9
    s = talk.say(r"S: 250 ok\r\n").session()
    assert "tarpit" in s.anomalies
    assert 25 < s.slowest_reply < 25.1


def test_one_side_alone_is_understood_as_far_as_it_goes():
    talk = Conversation().open().say(GOOD).close()
    client = sessions([f for f in talk.frames if f[1][26:30] == bytes([203, 0, 113, 7])])[0]
    assert (client.directions, client.handshake) == ("client_only", "complete")
    assert (client.helo, client.rcpt_attempted, client.rcpt_accepted, client.quit) == (
        "mail.sender.example", 1, 0, True,
    )  # fmt: skip
    assert (client.messages_accepted, client.reply_codes, client.anomalies) == (0, {}, [])
    server = sessions([f for f in talk.frames if f[1][26:30] != bytes([203, 0, 113, 7])])[0]
    assert (server.directions, server.handshake) == ("server_only", "midstream")
    assert (server.messages_accepted, server.last_reply) == (1, "221 2.0.0")


def test_auth_without_the_server_ends_at_the_next_mail():
    talk = (
        Conversation()
        .open()
        .say(
            r"""
C: EHLO a.example\r\n
C: AUTH LOGIN\r\n
C: c2VjcmV0\r\n
C: MAIL FROM:<a@b.example>\r\n
"""
        )
    )
    frames = [f for f in talk.frames if f[1][26:30] == bytes([203, 0, 113, 7])]
    s = sessions(frames)[0]
    assert (s.mail_from_domain, s.commands, s.auth_ok) == ("b.example", 3, None)


def test_the_table_of_anomalies_is_documented():
    from tests.conftest import ROOT

    documented = (ROOT / "docs" / "sessions.md").read_text()
    for name in ANOMALIES:
        assert f"`{name}`" in documented, name
