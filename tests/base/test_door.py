"""What no reader expects costs one message, is counted, and says why."""

import pytest

from lab.conversation import Conversation, block
from lab.outputs import sessions_of
from sensor.base.door import Door
from sensor.dns import exchangers
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.smtp import record
from tests.conftest import PCAPS, port25


def test_a_failure_is_counted_and_the_first_reason_kept():
    door = Door("things_unreadable")
    assert door.read(int, "7") == 7
    assert door.refused == 0 and not door.reason
    assert door.read(int, "\x1b[31mx") is None
    assert door.read(bytes.decode, b"\xff") is None
    assert door.refused == 2
    assert door.reason.startswith("ValueError: invalid literal")
    assert door.reason.isprintable() and len(door.reason) < 300


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_who_ends_the_program_is_let_through(stop):
    def ends() -> None:
        raise stop

    with pytest.raises(stop):
        Door("x").read(ends)


def test_a_suffix_list_that_fails_costs_the_provider(monkeypatch):
    def fails(_: str) -> str:
        raise IndexError("beyond")

    monkeypatch.setattr(exchangers, "_private_suffix", fails)
    monkeypatch.setattr(exchangers, "NAMES", door := Door("names_unreadable"))
    exchangers.provider.cache_clear()
    assert exchangers.provider("mx.example") is None
    assert door.refused == 1
    exchangers.provider.cache_clear()


@pytest.mark.parametrize(
    "odd", [".", "..", "", "a..b", "\\\\.", "x" * 300, "\u202e.example", "\ud800.example", "[::1]"]
)
def test_no_name_ends_the_reader_of_the_suffix_list(odd):
    exchangers.provider(odd)


def test_a_record_that_cannot_be_made_costs_that_session(monkeypatch):
    read = record._text

    def fails(raw: bytes) -> str:
        if raw == b"bad.example":
            raise OverflowError("too much")
        return read(raw)

    monkeypatch.setattr(record, "_text", fails)
    pipeline = Pipeline(Settings(), sessions="all")
    frames = []
    for port, helo in ((1024, "good.example"), (1025, "bad.example"), (1026, "fine.example")):
        talk = Conversation(sport=port).open().say(f"S: 220 hi\\r\\n|C: EHLO {helo}\\r\\n").close()
        frames += talk.frames
    found = sessions_of(pipeline.run([block(sorted(frames))]))
    assert sorted(one.helo for one in found) == ["fine.example", "good.example"]
    assert pipeline.counters()["connections"]["sessions_unreadable"] == 1
    assert "OverflowError: too much" in pipeline.reasons()["sessions_unreadable"]


def test_a_replay_tells_the_counters():
    run = port25("replay", str(PCAPS / "home_user.pcap"))
    for counter in ("answers_unreadable", "records_unreadable", "sessions_unreadable"):
        assert counter.encode() in run.stderr
