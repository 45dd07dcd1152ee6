"""What ExaBGP is told, and what becomes of its answers."""

import random

import pytest

from sensor.blocking.announcer import Announcer
from sensor.blocking.announcing import _Announcement
from sensor.blocking.feed_faults import FaultReader, faults, tell

JSON_DONE = b'{ "answer": "done", "message": "command completed" }\n'
JSON_ERROR = b'{ "answer": "error", "message": "this command does not support json output" }\n'
NEWS = (
    b'{ "exabgp": "5.0.0", "type": "state", "neighbor": { "state": "down", "reason": "error" } }\n'
)
MANY = [f"flow {n}" for n in range(10_000)]


def lines(announcer: Announcer, now: float = 0) -> list[str]:
    return announcer.say(now).decode().splitlines()


def test_ten_thousand_there_and_back_with_answers():
    announcer = Announcer()
    for wanted, verb in ((MANY, "announce"), ([], "withdraw")):
        announcer.want(wanted, 0)
        told: list[str] = []
        while not announcer.idle or announcer.accepted < len(told):
            more = lines(announcer)
            assert len(more) <= 1024, "a window"
            told += more
            assert announcer.hear(b"done\n" * len(more), 0) == []
        assert told == [f"{verb} {route}" for route in MANY]
        announcer.accepted -= len(told)
        announcer.want(wanted, 0)
        assert lines(announcer) == [], "nothing is said twice"
    assert announcer.errors == announcer.unanswered == 0


@pytest.mark.parametrize("error", [b"error\n", JSON_ERROR, b"error: no neighbor\n", b"error\r\n"])
@pytest.mark.parametrize("done", [b"done\n", JSON_DONE, b"done\r\n"])
def test_an_error_is_that_of_its_command(done, error):
    announcer = Announcer()
    announcer.want(["a", "b", "c"], 0)
    assert lines(announcer) == ["announce a", "announce b", "announce c"]
    assert announcer.hear(done + NEWS + error + b"neighbor 192.0.2.1 up\n" + done, 1) == [
        "announce b"
    ]
    assert (announcer.accepted, announcer.errors, announcer.refused) == (2, 1, ["announce b"])
    announcer.want(["a", "b", "c"], 30)
    assert lines(announcer, 30) == [], "not at once again"
    announcer.want(["a", "b", "c"], 62)
    assert lines(announcer, 62) == ["announce b"], "but after a minute"
    assert announcer.hear(error, 63) == [], "told once"
    announcer.want(["a", "b", "c"], 130)
    lines(announcer, 130)
    assert announcer.hear(done, 131) == []
    assert announcer.refused == []
    assert announcer.errors == 2


def test_what_is_no_longer_wanted_is_not_refused():
    announcer = Announcer()
    announcer.want(["a"], 0)
    lines(announcer)
    announcer.hear(b"error\n", 0)
    announcer.want([], 1)
    assert announcer.refused == []
    assert lines(announcer) == [], "what was never there is not withdrawn"


def test_a_withdrawal_that_is_refused(tmp_path):
    announcer = Announcer()
    announcer.want(["a"], 0)
    lines(announcer)
    announcer.hear(b"done\n", 0)
    announcer.want([], 1)
    assert lines(announcer, 1) == ["withdraw a"]
    assert announcer.hear(b"error\n", 1) == ["withdraw a"]
    for n in range(1, 4):
        announcer.want([], 100 * n)
        assert lines(announcer, 100 * n) == ["withdraw a"]
        announcer.hear(b"error\n", 100 * n)
    announcer.want([], 400)
    assert lines(announcer, 400) == ["withdraw a"]
    announcer.hear(b"error\n", 400)
    assert (announcer.refused, announcer.given_up, announcer.errors) == ([], 1, 5)
    said: list[str] = []
    announcement = _Announcement(list, list, tmp_path, said.append)
    announcement._announcer = announcer
    for now in (401.0, 402.0):
        announcement._tell(now)
    assert said == ["exabgp refuses 1 withdrawal for good: routes may still be announced"]
    announcer.want(["a"], 500)
    assert lines(announcer, 500) == ["announce a"]


def test_without_answers_none_is_waited_for():
    announcer = Announcer()
    announcer.want(MANY, 0)
    assert len(lines(announcer, 0)) == 1024
    assert lines(announcer, 5) == []
    told = 1024
    while more := lines(announcer, 11):
        told += len(more)
    assert told == len(MANY)
    assert announcer.silent
    assert announcer.unanswered == len(MANY)


def test_answers_that_come_late_still_belong_to_their_commands():
    announcer = Announcer()
    announcer.want(MANY[:2000], 0)
    first = lines(announcer, 0)
    second = lines(announcer, 11)
    assert announcer.silent
    announcer.hear(b"done\n" * len(first), 12)
    announcer.hear(b"error\n" * len(second), 12)
    assert (announcer.accepted, announcer.errors) == (1024, 976)
    announcer.want(MANY[:2001], 13)
    assert lines(announcer, 13) == ["announce flow 2000"]
    assert announcer.hear(b"error\n", 14) == ["announce flow 2000"]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_in_whatever_pieces(seed):
    chance = random.Random(seed)
    announcer = Announcer()
    announcer.want(MANY[:100], 0)
    lines(announcer)
    noise = [
        b"", b"\xff\xfe\n", b"{\n", b"[" * 9000 + b"\n", b"{" * 9000 + b"\n", NEWS,
        b"x" * 99_999 + b"\n", b'{"answer": 3}\n', b'{"answer": {"done": 1}}\n', b"\x00done\n",
        b"donee\n",
    ]  # fmt: skip
    right = [chance.random() < 0.7 for _ in range(100)]
    stream = b"".join(chance.choice(noise) + (b"done\n" if good else b"error\n") for good in right)
    while stream:
        size = chance.choice((1, 7, 4096, 70_000))
        announcer.hear(stream[:size], 0)
        stream = stream[size:]
    assert announcer.accepted == sum(right)
    assert announcer.refused == [
        f"announce {route}" for route, good in zip(MANY, right, strict=False) if not good
    ]
    endless = Announcer()
    for _ in range(100):
        endless.hear(b"x" * 65_536, 0)
        assert len(endless._line) <= 1 << 16
    assert endless.oversized == 1


def test_what_one_before_it_announced_is_withdrawn():
    announcer = Announcer()
    announcer.inherit(["a", "b"])
    announcer.want(["b", "c"], 0)
    assert lines(announcer) == ["withdraw a", "announce b", "announce c"]
    announcer.want(["b", "c"], 1)
    assert lines(announcer) == []


def test_answers_nobody_asked_for():
    announcer = Announcer()
    announcer.hear(b"done\nerror\nshutdown\n", 0)
    assert (announcer.accepted, announcer.errors, announcer.refused) == (1, 1, [])


def test_what_is_refused_is_left_for_the_page_and_the_sensor(tmp_path):
    reader = FaultReader(tmp_path)
    assert reader.news() == []
    tell(tmp_path, "exabgp", [f"announce {route}" for route in MANY], 10**18)
    text = reader.news()[0].text
    assert text.startswith("exabgp refuses 10,000 of what is to be blocked since 2001-09-09")
    assert "announce flow 0; announce flow 1; announce flow 2" in text
    assert reader.news() == []
    (one,) = faults(tmp_path)
    assert len(one.first) == 20
    tell(tmp_path, "exabgp", [], 10**18)
    assert [one.text for one in reader.news()] == ["exabgp refuses nothing any more"]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "feed-x.json").write_bytes(b"\xff{")
    assert "cannot be read" in reader.news()[0].text
