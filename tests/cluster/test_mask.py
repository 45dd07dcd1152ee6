"""What leaves a sensor is no mail, and is read as the mail was."""

import string
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.conversation import Conversation
from lab.conversation import block as timed
from sensor.base.kernel import table
from sensor.capture.block import CaptureError
from sensor.capture.pcapfile import CaptureFile
from sensor.decode.decoder import Decoder
from sensor.decode.segment import watched_ports
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.smtp.mask import MASKED, MASKED_ROWS, NO_KEY, mask
from sensor.tcp.checksum import checksum_is_good
from tests.conftest import PCAPS, ROOT, shared_captures

SEED, KEY = np.uint64(5), np.uint64(0xA5A5)
WATCHED = watched_ports([25])


class Masker:
    """One sensor's."""

    def __init__(self, key=KEY):
        self.key, self.streams = key, table(MASKED_ROWS + 1, MASKED)

    def masked(self, rows, data):
        data = data.copy()
        mask(rows, data, WATCHED, SEED, self.key, self.streams)
        return data


def payloads(rows, data) -> list[bytes]:
    found = []
    for row in rows:
        a = int(row["payload"])
        found.append(data[a : a + int(row["captured"])].tobytes())
    return found


def said(talk: Conversation, key=KEY) -> list[bytes]:
    """The payloads of a conversation, as they leave."""
    frames = timed(talk.frames)
    rows = Decoder((25,), 0).decode(frames)
    good = [checksum_is_good(frames.data, row) for row in rows]
    data = Masker(key).masked(rows, frames.data)
    assert [checksum_is_good(data, row) for row in rows] == good
    return [text for text in payloads(rows, data) if text]


def line(side: str, text: str) -> str:
    return f"{side}: {text}\\r\\n"


def talked(*lines: str, key=KEY) -> list[str]:
    return [t.decode("latin-1") for t in said(Conversation().open().say("\n".join(lines)), key)]


@pytest.mark.slow
def test_verbs_names_domains_and_codes_go_through_and_nothing_else():
    assert talked(
        line("S", "220 mx.example ESMTP hello"),
        line("C", "EHLO client.example"),
        line("S", "250-mx.example greets you"),
        line("S", "250-STARTTLS"),
        line("S", "250 SIZE 1000"),
        line("C", "MAIL FROM:<> SIZE=12 BODY=8BITMIME X=y"),
        line("S", "550 5.7.1 go away 5551212"),
        line("C", "AUTH PLAIN c2VjcmV0"),
        line("C", "c2VjcmV0"),
        line("C", "BDAT 86 LAST"),
        line("C", "NOOP why"),
        key=NO_KEY,
    ) == [
        "220 xx~xxxxxxx XXXXX xxxxx\r\n",
        "EHLO client.example\r\n",
        "250-xx~xxxxxxx xxxxxx xxx\r\n",
        "250-STARTTLS\r\n",
        "250 SIZE 0000\r\n",
        "MAIL FROM:<> SIZE=00 BODY=0XXXXXXX X~x\r\n",
        "550 5.7.1 xx xxxx 0000000\r\n",
        "AUTH PLAIN x0XxxxX0\r\n",
        "x0XxxxX0\r\n",
        "BDAT 86 LAST\r\n",
        "NOOP xxx\r\n",
    ]


@pytest.mark.slow
def test_words_that_tell_a_refusal_for_policy_are_told_by_their_beginning():
    refusals = {
        "550 Blocked, see the POLICY": "550 Blocxxx~ xxx xxx POLIXX\r\n",
        "550-no\\r\\n554 spamhaus.example lists": "550-xx\r\n554 spamxxxx~xxxxxxx xxxxx\r\n",
        "550 no such user": "550 xx xxxx xxxx\r\n",
        "550 rb": "550 xx\r\n",
    }
    for text, leaves in refusals.items():
        assert talked(line("S", text)) == [leaves]
    assert talked(line("C", "MAIL FROM:<a@b.example> blocked policy"))[0].count("bloc") == 0
    assert talked(line("C", "NOOP spam")) == ["NOOP xxxx\r\n"]


def test_a_local_part_is_a_keyed_hash_of_its_length():
    def local(name, key=KEY):
        (text,) = talked(line("C", f"RCPT TO:<{name}@dom.example>"), key=key)
        assert text.startswith("RCPT TO:<")
        assert text.endswith("@dom.example>\r\n")
        return text[len("RCPT TO:<") : -len("@dom.example>\r\n")]

    assert local("alice") == local("alice") != local("alicf")
    assert len(local("alice")) == 5
    assert local("alice") != local("alice", np.uint64(77))
    assert local("alice", NO_KEY) == "xxxxx"
    assert "secret" not in local('"a secret @ home"')


def outcome(path: Path, masker: Masker | None) -> list[dict]:
    """The records of all sessions of a capture."""
    pipeline = Pipeline(Settings(), sessions="all")
    found = []
    try:
        for block in CaptureFile(str(path)):
            rows = pipeline.decoder.decode(block)
            if not len(rows):
                continue
            data = masker.masked(rows, block.data) if masker else block.data
            for output in pipeline.follow(rows, data):
                found += output.sessions
    except CaptureError:
        pass
    for output in pipeline.finish():
        found += output.sessions
    return [msgspec.to_builtins(one.session) for one in found]


@pytest.mark.parametrize("name", sorted(path.name for path in PCAPS.glob("*.pcap")))
def test_records_are_those_of_what_was_said(name):
    assert outcome(PCAPS / name, Masker()) == outcome(PCAPS / name, None)


def test_records_of_the_peers_captures_are_the_same():
    inputs = sorted((ROOT.parent / "shared" / "inputs").glob("*.pcap"))
    found = [*shared_captures(), *inputs]
    if not found:
        pytest.skip("the peers' captures are not beside this checkout")
    differ = {}
    for path in found:
        try:
            was, now = outcome(path, None), outcome(path, Masker())
        except CaptureError:
            continue
        fields = {k for a, b in zip(was, now, strict=True) for k in a if a[k] != b[k]}
        if fields:
            differ[path.name] = fields
    assert differ == {}


ALPHABET = string.ascii_letters + string.digits
SECRETS = st.text(ALPHABET, min_size=12, max_size=24).filter(
    lambda text: len(set(text.lower()) - set("x0")) > 5
)
PLACES = (
    ("C", "MAIL FROM:<{}@sender.example> SIZE=10"),
    ("C", 'MAIL FROM:<"{} {}"@sender.example>'),
    ("C", "RCPT TO:<@relay.example:{}@rcpt.example> NOTIFY=NEVER ORCPT=rfc822;{}@a.example"),
    ("C", "RCPT TO: {}@rcpt.example"),
    ("C", "RCPT TO:<{}>"),
    ("C", "MAIL {}"),
    ("C", "AUTH PLAIN {}"),
    ("C", "AUTH {}"),
    ("C", "{}"),
    ("C", "{}=="),
    ("C", "VRFY {}"),
    ("C", "QUIT {}"),
    ("C", "GET /{} HTTP/1.1"),
    ("C", "Subject: {} and {}"),
    ("C", "BDAT 20 {}"),
    ("C", "STARTTLS {}"),
    ("C", "XCLIENT NAME={}"),
    ("C", "PROXY TCP4 {}"),
    ("C", "\x16\x03\x01{}"),
    ("C", ".{}"),
    ("S", "250 {}"),
    ("S", "250-{}"),
    ("S", "220 {} ESMTP"),
    ("S", "334 {}"),
    ("S", "550 5.1.1 <{}@rcpt.example>: no {} here"),
    ("S", "250-AUTH {}"),
    ("S", "{}"),
    ("S", "\x16\x03\x03{}"),
)  # fmt: skip


@settings(max_examples=200)
@given(st.data())
def test_no_secret_leaves_however_it_is_cut(data):
    secret = data.draw(SECRETS)
    talk = Conversation().open()
    for _ in range(data.draw(st.integers(1, 8))):
        side, text = data.draw(st.sampled_from(PLACES))
        whole = text.replace("{}", secret).encode("latin-1") + b"\r\n"
        cuts = sorted(data.draw(st.lists(st.integers(1, len(whole) - 1), max_size=3)))
        for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            if a == b:
                continue
            if data.draw(st.integers(0, 9)) == 0:
                talk.skip(side.lower(), b - a)  # the mirror lost it
            else:
                talk.send(side.lower(), whole[a:b])
    told = b"".join(said(talk, data.draw(st.sampled_from([KEY, NO_KEY]))))
    for k in range(len(secret) - 7):
        assert secret[k : k + 8].encode() not in told
