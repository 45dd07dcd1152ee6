"""A thread that reads ahead: the same outputs, counters as they were then, an end in any case."""

import threading

import pytest

from lab.outputs import alerts_of
from sensor.capture.merge import Captures
from sensor.decode import ahead
from sensor.decode.ahead import decoded
from sensor.decode.unread import Unread
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from tests.conftest import PCAPS

FILES = [str(PCAPS / name) for name in ("slow_bot.pcap", "worm.pcap", "home_user.pcap")]


@pytest.fixture(autouse=True)
def whatever_its_size(monkeypatch):
    monkeypatch.setattr(ahead, "_LEAST", 0)


def followed(monkeypatch, processors, files):
    monkeypatch.setattr(ahead, "processors", lambda: processors)
    pipeline, captures, unread = Pipeline(Settings()), Captures(files), Unread()
    alerts, course = [], []
    for one in decoded(captures, pipeline.decoder, unread):
        alerts += alerts_of(pipeline.feed(one))
        head = one.block.source, one.block.number, len(one.block.frames)
        course.append((head, pipeline.counters()["frames"]))
    alerts += alerts_of(pipeline.finish())
    return alerts, course, unread.sentences(), [str(fault) for fault in captures.faults]


@pytest.mark.parametrize("count", [1, 3])
def test_two_threads_give_what_one_gives(monkeypatch, tmp_path, count):
    files = FILES[:count]
    if count == 3:  # of the last, half: that is a fault, and the others go on
        half = tmp_path / "half.pcap"
        half.write_bytes((PCAPS / "demo.pcap").read_bytes()[:70_001])
        files.append(str(half))
    one, two = (followed(monkeypatch, processors, files) for processors in (1, 2))
    assert one == two
    assert one[0] and (count == 1) == (not one[3])


def test_who_leaves_early_leaves_no_thread(monkeypatch):
    monkeypatch.setattr(ahead, "processors", lambda: 2)
    pipeline = Pipeline(Settings())
    blocks = decoded(Captures([str(PCAPS / "demo.pcap")]), pipeline.decoder, Unread())
    next(blocks)
    assert any(thread.name == "reader" for thread in threading.enumerate())
    blocks.close()
    assert not any(thread.name == "reader" for thread in threading.enumerate())


def test_what_goes_wrong_while_reading_is_raised_where_it_is_followed(monkeypatch):
    monkeypatch.setattr(ahead, "processors", lambda: 2)

    whole = Captures.__iter__

    def broken(self):
        yield from whole(self)
        raise MemoryError

    monkeypatch.setattr(Captures, "__iter__", broken)
    pipeline, seen = Pipeline(Settings()), 0
    with pytest.raises(MemoryError):
        for one in decoded(Captures(FILES[:1]), pipeline.decoder, Unread()):
            seen += len(one.block.frames)
    assert seen


def test_a_small_capture_is_not_worth_a_thread(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(ahead, "processors", lambda: 2)
    for file, is_worth_it in (("home_user.pcap", False), ("demo.pcap", True)):
        pipeline = Pipeline(Settings())
        blocks = decoded(Captures([str(PCAPS / file)]), pipeline.decoder, Unread())
        next(blocks)
        assert is_worth_it == any(one.name == "reader" for one in threading.enumerate())
        blocks.close()


@pytest.mark.parametrize("path", ["-", "/dev/null"])
def test_what_may_wait_is_read_where_it_is_followed(path):
    assert Captures([path]).may_wait
    assert Captures(FILES[:1], follow=True).may_wait
    assert not Captures(FILES).may_wait
