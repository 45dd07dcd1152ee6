"""The loop: full buffers lose nothing, and what is due happens before the next segment."""

import pytest

import sensor.pipeline as module
from lab.conversation import ACK, GOOD, MS, RST, START, SYN, Conversation, block
from lab.outputs import alerts_of, finish, sessions_of
from sensor.capture.merge import Captures
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from tests.conftest import PCAPS

SECOND = 1000 * MS


def outputs(name):
    return list(Pipeline(Settings(), sessions="all").run(Captures([str(PCAPS / name)])))


@pytest.mark.parametrize("name", ["slow_bot.pcap", "mx_lookups.pcap"])
def test_buffers_of_the_least_size_give_the_same(monkeypatch, name):
    whole = outputs(name)
    monkeypatch.setattr(module, "_EVENTS", 2)
    monkeypatch.setattr(module, "_RECORDS", 4)
    small = outputs(name)
    assert alerts_of(small) == alerts_of(whole)
    assert sessions_of(small) == sessions_of(whole) != []


def run(*conversations, **settings):
    """A pipeline that has seen these, by their packets' times."""
    frames = sorted(frame for one in conversations for frame in one.frames)
    pipeline = Pipeline(Settings(**settings), sessions="all")
    list(pipeline.feed(block(frames)))
    return pipeline


def count(pipeline):
    return {name: n for name, n in pipeline.counters()["connections"].items() if n}


def at(seconds, **more):
    one = Conversation(**more)
    one.now = START + seconds * SECOND
    return one


def test_a_syn_is_unanswered_once_its_time_is_over_and_a_segment_comes():
    silent, other = at(0), at(2, sport=4001)
    silent.send("c", flags=SYN)
    other.send("c", flags=SYN)
    assert "unanswered" not in count(run(silent, other))
    late = at(60, sport=4002)
    late.send("c", flags=SYN)
    found = count(run(silent, other, late))
    assert (found["attempts"], found["unanswered"]) == (3, 2)


def test_time_that_passes_without_a_segment_is_told_by_who_knows_it():
    silent = at(0)
    silent.send("c", flags=SYN)
    pipeline = run(silent)
    list(pipeline.catch_up(START + 60 * SECOND))
    assert count(pipeline)["unanswered"] == 1


def test_ports_that_are_used_again_end_what_was_before():
    first, second = at(0), at(1, isn=(900_000, 5000))
    first.send("c", flags=SYN)
    second.open().say(GOOD).close()
    found = count(run(first, second))
    assert (found["attempts"], found["unanswered"], found["answered"]) == (2, 1, 1)
    assert found["transactions_accepted"] == 1


def test_a_refusal_is_no_silence():
    refused, late = at(0), at(60, sport=4002)
    refused.send("c", flags=SYN)
    refused.raw("s", RST | ACK, ack=refused.next["c"])
    late.send("c", flags=SYN)
    found = count(run(refused, late))
    assert found["refused"] == 1 and "unanswered" not in found


def test_the_end_of_a_capture_concludes_nothing_that_time_would_have():
    waiting, talking = at(0), at(0, sport=4001)
    waiting.send("c", flags=SYN)
    talking.open().say(GOOD)
    pipeline = run(waiting, talking)
    frames = sorted(waiting.frames + talking.frames)
    again = Pipeline(Settings(), sessions="all")
    ended = sessions_of([*again.feed(block(frames)), *again.finish()])
    assert sorted(one.ended for one in ended) == ["open", "open"]
    assert finish(pipeline) == []
    assert "unanswered" not in count(pipeline)


def test_the_replies_a_proven_host_got_are_counted_all():
    pipeline = Pipeline(Settings())
    alerts_of(pipeline.run(Captures([str(PCAPS / "fast_bot.pcap")])))
    found = count(pipeline)
    before = found["attempts"] - found["attempts_of_proven"]
    assert found["replies_to_proven"] >= found["answered"] + found["refused"] - before > 100
