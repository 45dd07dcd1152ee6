"""Names, domains and shapes of SYNs of a host, as sets; and when an address looks shared."""

import pytest

from lab.conversation import Conversation, block
from lab.outputs import evidence_of, feed, finish
from sensor.hosts.evidence import Fact
from sensor.pipeline import Pipeline
from sensor.settings import Settings

LINUX = bytes.fromhex("020405b40402080a000000010000000001030307")
OTHER_WAY = bytes.fromhex("020405000402080a000000010000000001030307")  # a tunnel's MSS
WINDOWS = bytes.fromhex("020405b40103030801010402")
OLD = bytes.fromhex("020405b401010402")


def visit(n: int, name: str, sender: str, to: str, options=LINUX, ttl=64, more="") -> list:
    talk = Conversation(sport=4000 + n, ends=("203.0.113.7", f"198.51.{n % 250}.{n // 250 + 1}"))
    talk.now += n * 10**9
    talk.send("c", flags=2, options=options, ttl=ttl)
    talk.send("s", flags=18)
    talk.send("c", flags=16)
    text = rf"""
    S: 220 mx.example ESMTP\r\n
    C: EHLO {name}\r\n
    S: 250 mx.example\r\n
    C: MAIL FROM:<a@{sender}>\r\n
    S: 250 ok\r\n
    C: RCPT TO:<b@{to}>\r\n
    S: 250 ok\r\n
    {more}
    C: QUIT\r\n
    S: 221 bye\r\n
    """
    return talk.say(text).close().frames


def facts(visits: list, step: int = 0) -> dict[str, int]:
    frames = [one for frames in visits for one in frames]
    pipeline = Pipeline(Settings())
    step = step or len(frames)
    for at in range(0, len(frames), step):
        feed(pipeline, block(frames[at : at + step]))
    finish(pipeline)
    evidence = evidence_of(pipeline, "203.0.113.7")
    return {what.name.lower(): evidence.fact(what) for what in Fact}


def test_a_server_is_one_name_one_domain_one_shape():
    seen = facts(
        [visit(n, "mail.firm.example", "Firm.example", f"d{n}.example") for n in range(40)]
    )
    assert (seen["helo_names"], seen["from_domains"], seen["syn_shapes"]) == (1, 1, 1)
    assert 32 <= seen["to_domains"] <= 44, "about as many as there were"
    assert (seen["mails"], seen["recipients"]) == (39, 39), "but of its first"


@pytest.mark.parametrize(
    ("options", "ttl", "expected"),
    [(LINUX, 57, 1), (OTHER_WAY, 64, 1), (WINDOWS, 128, 2), (OLD, 64, 2), (LINUX, 128, 2)],
    ids=["hops", "MSS", "another system", "options", "TTL"],
)
def test_the_shape_of_a_syn_is_the_systems_and_not_the_ways(options, ttl, expected):
    visits = [visit(n, "a.example", "a.example", "b.example") for n in range(8)]
    visits += [visit(8 + n, "a.example", "a.example", "b.example", options, ttl) for n in range(4)]
    assert facts(visits)["syn_shapes"] == expected


def test_it_is_the_same_however_the_capture_is_cut():
    visits = [visit(n, f"n{n}.example", f"s{n}.example", f"d{n}.example") for n in range(10)]
    assert facts(visits) == facts(visits, step=7)
