"""The one way out: outputs of bounded size, none of which is forgotten."""

import pytest

from lab.conversation import GOOD, Conversation, block
from lab.outputs import alerts_of, sessions_of
from sensor.capture.merge import Captures
from sensor.decode.decoder import Decoder
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.tracking import output as module
from tests.conftest import PCAPS

BOT = [str(PCAPS / "slow_bot.pcap")]


def outputs(**wanted):
    return list(Pipeline(Settings(), **wanted).run(Captures(BOT)))


def test_what_is_not_asked_for_is_not_given():
    plain = outputs()
    assert alerts_of(plain)
    assert not any(o.sessions or o.candidates or o.watched for o in plain)


def test_sessions_of_suspects_are_those_of_all_that_name_one():
    every = [one for o in outputs(sessions="all", candidates=True) for one in o.sessions]
    some = [one for o in outputs(sessions="suspects", candidates=True) for one in o.sessions]
    assert [one for one in every if one.suspect] == some
    assert 0 < len(some) < len(every)


def test_segments_and_their_block_go_together():
    part = next(iter(Captures(BOT)))
    (one,) = Pipeline(Settings()).feed(part)
    assert one.block is part
    settings = Settings()
    alone = Decoder(settings.ports, settings.duplicate_window, settings.reads_dns).decode(part)
    assert one.segments["frame"].tolist() == alone["frame"].tolist() != []


def test_much_is_given_in_parts_and_nothing_of_it_changes(monkeypatch):
    whole = outputs(sessions="all", candidates=True)
    monkeypatch.setattr(module, "MUCH", 1)
    parts = outputs(sessions="all", candidates=True)
    assert len(parts) > len(whole)
    assert alerts_of(parts) == alerts_of(whole)
    assert sessions_of(parts) == sessions_of(whole)
    candidates = [[one for o in some for one in o.candidates] for some in (parts, whole)]
    assert candidates[0] == candidates[1]
    assert sum(len(o.segments) for o in parts) == sum(len(o.segments) for o in whole)


def test_outputs_that_were_not_taken_are_not_passed_over_in_silence():
    frames = block(Conversation().open().say(GOOD).close().frames)
    pipeline = Pipeline(Settings())
    pipeline.feed(frames)
    with pytest.raises(RuntimeError, match="not all taken"):
        pipeline.finish()


def test_who_stops_in_the_middle_may_go_on():
    pipeline = Pipeline(Settings())
    for part in Captures(BOT):
        given = pipeline.feed(part)
        next(given)
        given.close()
        break
    assert list(pipeline.finish())


def test_before_the_first_packet_nothing_is_due():
    pipeline = Pipeline(Settings(), sessions="all")
    assert list(pipeline.catch_up(10**18)) == []
    assert list(pipeline.finish()) == []
