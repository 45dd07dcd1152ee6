"""A parent and its workers: what is said on pipes, and what is made of it."""

import os

import pytest

from lab.alerts import alert
from sensor.alerts.notice import notice
from sensor.service import workers
from sensor.service.delivery import Delivery
from sensor.service.live import Worker
from sensor.service.messages import Counted, Failed, Noticed, Raised, decode_to_parent, encode
from sensor.settings import LiveSettings, Settings


def test_counters_are_added_up_but_the_worst_share_and_the_newest_time_are_kept():
    one = {
        "capture": {"packets_received": 10, "loss_ratio": 0.5},
        "uptime": {"packet_time_seconds": 100.0},
    }
    other = {
        "capture": {"packets_received": 5, "loss_ratio": 0.1, "ring_freezes": 1},
        "uptime": {"packet_time_seconds": 99.0},
        "disk": {"snapshot_time_seconds": 7.0},
    }
    assert workers.add_up([one, other]) == workers.add_up([other, one]) == {
        "capture": {"packets_received": 15, "loss_ratio": 0.5, "ring_freezes": 1},
        "uptime": {"packet_time_seconds": 100.0},
        "disk": {"snapshot_time_seconds": 7.0},
    }  # fmt: skip
    assert workers.add_up([]) == {}


@pytest.fixture
def delivery(tmp_path):
    """One that waits to begin; made before any pipe, which it would keep open."""
    made = Delivery(Settings(), tmp_path, live=False)
    yield made
    made.stop(0)


@pytest.fixture
def pipe():
    receive, send = os.pipe()
    child = workers._Child(os.getpid(), receive)
    open_ = [receive, send]
    yield child, send, open_
    for file in open_:
        os.close(file)


def test_lines_are_whole_however_they_come(pipe):
    child, send, open_ = pipe
    said = [encode(Raised(alert(f"203.0.113.{n}"))) for n in range(3)]
    text = b"".join(line + b"\n" for line in said)
    heard = []
    for at in range(0, len(text), 100):
        os.write(send, text[at : at + 100])
        heard += child.lines()
    assert heard == said
    os.write(send, b'{"type":"Failed"')
    assert child.lines() == []
    os.close(send)
    open_.remove(send)
    assert child.lines() is None, "it has ended; half a line is nothing"


@pytest.mark.slow
def test_what_cannot_be_opened_is_one_line_to_the_parent(pipe, tmp_path):
    child, send, _ = pipe
    settings = Settings(live=LiveSettings(state=str(tmp_path), metrics="", user="nobody"))
    worker = Worker(0, 2, 77, None)
    pid = os.fork()  # it would give up this process's privileges
    if pid == 0:
        code = 9
        try:
            code = workers._work(send, worker, settings, ["no-such-interface"], None, None)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    (line,) = child.lines()
    failed = decode_to_parent(line)
    assert isinstance(failed, Failed)
    assert "no-such-interface" in failed.reason


def test_the_parent_passes_on_what_each_said_and_knows_who_ended(delivery, pipe):
    child, send, open_ = pipe
    told = []
    parent = workers._Parent(
        Settings(), [child], told.append, lambda _: None, delivery, lambda: None
    )
    one, word = alert("203.0.113.7"), notice("journal", "it is full", 7)
    counters = {"frames": {"segment": 3}}
    for what in (Raised(one), Noticed(word), Counted(counters), Failed("it broke")):
        os.write(send, encode(what) + b"\n")
    assert parent._said([child]) == []
    assert told == [one, word]
    assert child.counters == counters
    assert parent._faults == ["it broke"]
    assert parent._counters()["frames"] == {"segment": 3}
    os.close(send)
    open_.remove(send)
    assert parent._said([child]) == [child]
