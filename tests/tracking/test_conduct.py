"""Log-ins that servers refuse, and servers left without a word: what counts, and what does not."""

import pytest

from lab.conversation import Conversation, block
from lab.outputs import evidence_of, feed, finish
from sensor.pipeline import Pipeline
from sensor.settings import Settings

GREETING = r"S: 220 mx.example ESMTP\r\n"
LOG_IN = r"""
C: EHLO [192.168.1.7]\r\n
S: 250-mx.example\r\n250 AUTH LOGIN PLAIN\r\n
C: AUTH PLAIN AGEAYg==\r\n
"""
BAD = GREETING + LOG_IN + r"S: 535 5.7.8 authentication failed\r\n"
GOOD = GREETING + LOG_IN + r"S: 235 2.7.0 ok\r\n"
NO_SUCH_THING = GREETING + LOG_IN + r"S: 504 5.5.4 mechanism not known\r\n"
QUIT = r"""
C: QUIT\r\n
S: 221 bye\r\n
"""
MAIL = r"""
C: EHLO mail.sender.example\r\n
S: 250 mx.example\r\n
C: MAIL FROM:<a@sender.example>\r\n
S: 250 ok\r\n
C: RCPT TO:<b@receiver.example>\r\n
S: 250 ok\r\n
C: DATA\r\n
S: 354 go\r\n
C: Subject: x\r\n\r\nhello\r\n.\r\n
S: 250 queued\r\n
"""


def server(n: int) -> str:
    return f"198.51.{n}.25"


def visit(n: int, text: str, number: int, ends="client", every: float = 12.0) -> list:
    """A connection to server ``n``, the ``number``-th of the day."""
    talk = Conversation(sport=4000 + number, ends=("203.0.113.7", server(n)))
    talk.now += int(number * every * 1e9)
    talk.open().say(text)
    if ends == "client":
        talk.close()
    elif ends == "server":
        talk.send("s", flags=17)
        talk.send("c", flags=17)
        talk.send("s", flags=16)
    return talk.frames


def lines(visits: list, step: int = 0) -> dict[str, dict]:
    """Of the host's evidence in the end: figures, decibans and code by detector."""
    frames = [one for frames in visits for one in frames]
    pipeline = Pipeline(Settings())
    step = step or len(frames)
    for at in range(0, len(frames), step):
        feed(pipeline, block(frames[at : at + step]))
    finish(pipeline)
    evidence = evidence_of(pipeline, "203.0.113.7")
    return {f.detector: f for f in pipeline.model.explain(evidence)}


def test_log_ins_refused_by_server_after_server_are_evidence():
    found = lines([visit(n, BAD + QUIT, n) for n in range(10)])["logins"]
    assert found.code == "logins.refused"
    assert found.figures["refused"] == 9, "all but that of before it was worth a detail"
    assert found.centibans == 240, "at most"


def test_an_old_password_at_one_server_is_none_however_often():
    found = lines([visit(n % 2, BAD + QUIT, n) for n in range(60)])["logins"]
    assert (found.code, found.centibans) == ("logins.few", 0)


def test_servers_that_take_log_ins_speak_for_a_shared_address():
    bad = [visit(n, BAD + QUIT, n) for n in range(8)]
    good = [visit(100 + n, GOOD + QUIT, 100 + n) for n in range(30)]
    found = lines(bad + good)["logins"]
    assert found.figures["taken"] >= 26, "a few share their bit with another"
    assert found.centibans == 0


def test_what_is_no_opinion_of_the_credentials_does_not_count():
    found = lines([visit(n, NO_SUCH_THING + QUIT, n) for n in range(10)])["logins"]
    assert found.figures["refused"] == 0


def test_servers_left_without_a_word_are_evidence():
    found = lines([visit(n, GREETING, n) for n in range(12)])["wordless"]
    assert found.code == "wordless.wordless"
    assert found.figures["wordless"] >= 9
    assert found.centibans == 150, "at most"


def test_who_watches_the_same_servers_again_and_again_is_no_scanner():
    found = lines([visit(n % 12, GREETING, n) for n in range(120)])["wordless"]
    assert found.figures["known"] > 90
    assert found.centibans == 0


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (r"S: 554 go away\r\n", "client"),
        (r"S: 421 busy\r\n", "client"),
        (GREETING + r"S: 421 too slow\r\n", "client"),
        (GREETING, "server"),
        (GREETING + MAIL + QUIT, "client"),
        (r"", "client"),
    ],
    ids=["refused", "busy", "closing", "server hangs up", "mail", "no greeting"],
)
def test_what_the_server_is_to_blame_for_is_not_wordless(text, ends):
    found = lines([visit(n, text, n, ends) for n in range(12)])["wordless"]
    assert found.figures["wordless"] == 0
    assert found.centibans == 0


def test_stolen_accounts_tried_server_by_server_raise_an_alert_within_minutes():
    """As a real Emotet did on port 25: of 100 sessions 69 wordless, 20 with AUTH refused."""
    alerts = []
    pipeline = Pipeline(Settings())
    frames = []
    for n in range(60):
        text = GREETING if n % 10 < 7 else BAD
        frames += visit(n, text, n)
    alerts += feed(pipeline, block(frames))
    alerts += finish(pipeline)
    assert alerts, "its answers alone spoke for it"
    first = alerts[0]
    assert first.ts - frames[0][0] < 300 * 10**9
    assert {line.detector for line in first.against} >= {"fan_out", "logins", "wordless"}


def test_it_is_the_same_however_the_capture_is_cut():
    visits = [visit(n, BAD if n % 2 else GREETING, n) for n in range(12)]
    assert lines(visits) == lines(visits, step=7)


def test_it_is_forgotten_within_a_day():
    visits = [visit(n, BAD + QUIT, n) for n in range(10)]
    late = [visit(200 + n, GREETING + MAIL + QUIT, 7200 + n) for n in range(4)]
    assert lines(visits + late)["logins"].figures["refused"] == 0


def test_servers_met_every_few_hours_are_known_every_day():
    every = 8 * 3600.0 / 6
    visits = [visit(k % 6, GOOD, k, every=every) for k in range(36)]  # six servers, for two days
    found = lines(visits)["logins"].figures
    assert found["taken"] == 6
