"""What is done about an alert at one desk is seen at all."""

import signal
import time

import msgspec
import pytest
from kafka import KafkaProducer

from lab.alerts import alert
from lab.waiting import wait_for
from sensor.base.database import NothingYetError
from sensor.blocking.acts import of_alerts
from sensor.blocking.desk import Desk as Book
from sensor.blocking.desk import Done
from sensor.blocking.desk_act import as_act, key, read_word
from sensor.blocking.desk_record import DeskRecordError
from sensor.blocking.handling import Act
from sensor.state.folder import StateFolder
from tests.cluster.test_decide import NOW, Desk

ALERT, LATER = "a" * 32, "b" * 32
ACTS = [
    Act("take", "ann"), Act("note", "bob", "rang him"), Act("snooze", "ann", until=9 << 59),
    Act("done", "bob", verdict="bot"), Act("reopen", "cy"), Act("assign", "ann", owner="bob"),
]  # fmt: skip


def told(path):
    """What a folder tells others."""
    return [act for _, act in of_alerts(StateFolder(path), "north").read(0, 1000) if act]


def hear(book, one):
    return book.hear_act(Done(one.about, one.revision, one.sensor), one.ts, as_act(one))


@pytest.mark.parametrize("order", [1, -1])
def test_acts_come_to_the_same_in_whatever_order_they_are_heard_and_how_often(tmp_path, order):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    here = Book(tmp_path / "here" / "desk.sqlite")
    for number, act in enumerate(ACTS):
        about = {ALERT: number, "c-1": 0} if act.act == "note" else {ALERT: number}
        here.act(about, 10 + number, act)
    acts = told(tmp_path / "here")
    assert len(acts) == len(ACTS) + 1
    there = Book(tmp_path / "there" / "desk.sqlite")
    for one in acts[::order]:
        assert read_word(key(one), msgspec.json.encode(one), 10**9) == one
        assert hear(there, one) is True
    for one in acts:
        assert hear(there, one) is False
    assert there.handling([ALERT, "c-1"]) == here.handling([ALERT, "c-1"])
    assert there.notes(ALERT) == here.notes(ALERT)
    assert there.acknowledged([ALERT]) == here.acknowledged([ALERT])
    assert told(tmp_path / "there") == [], "what was heard is not told again"
    # A person here comes after what was done elsewhere, though the clock there be ahead.
    there.act({ALERT: 9}, 3, Act("done", "dee", "over"))
    assert there.handling([ALERT])[ALERT][0].state == "done"
    assert there.notes(ALERT)[-1].by == "dee"


def test_what_is_no_act_about_an_alert_is_refused(tmp_path):
    book = Book(tmp_path / "desk.sqlite")
    book.act({ALERT: 3}, 5, Act("done", "ann", "seen"))
    (one,) = told(tmp_path)
    wrong = [
        {"act": "resume"}, {"act": "done", "reason": ""}, {"alert": "x"}, {"sensor": "../x"},
        {"alert": "", "host": ""}, {"schema": "port25.act/9"}, {"ts": 1 << 62},
        {"revision": 1 << 63},
    ]  # fmt: skip
    for change in wrong:
        made = msgspec.structs.replace(one, **change)
        with pytest.raises(DeskRecordError):
            read_word(key(made), msgspec.json.encode(made), 10)
    with pytest.raises(DeskRecordError):
        read_word(key(one) + b"x", msgspec.json.encode(one), 10)
    with pytest.raises(DeskRecordError):
        read_word(key(one), b"{", 10)


def test_there_is_room_for_so_many(tmp_path, monkeypatch):
    monkeypatch.setattr("sensor.blocking.desk.HEARD", 2)
    book = Book(tmp_path / "desk.sqlite")
    heard = [book.hear_act(Done(ALERT, 1, "south"), n, ACTS[0]) for n in range(3)]
    assert heard == [True, True, None]


def state_of(path, about):
    if not (path / "desk.sqlite").exists():
        return None
    try:
        book = Book(path / "desk.sqlite", read_only=True)
    except NothingYetError:  # it is being made
        return None
    try:
        found = book.handling([about]).get(about)
        return found and (found[0].state, found[0].owner, found[0].verdict, len(book.notes(about)))
    finally:
        book.close()


@pytest.fixture
def desk(broker, tmp_path):
    made = Desk(broker, tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_what_is_done_over_one_folder_is_seen_over_another_and_by_one_that_begins_anew(desk):
    known = alert("203.0.113.9", NOW, NOW)
    desk.tell([("north", known)])
    one = desk.decide("one")
    wait_for(lambda: one.says("decides; 1 alerts were new"), 60, "who decides")
    book = Book(one.state / "desk.sqlite")
    book.act({known.id: 1}, time.time_ns(), Act("take", "ann"))
    book.act({known.id: 1}, time.time_ns(), Act("done", "bob", verdict="bot"))
    book.act({LATER: 1}, time.time_ns(), Act("assign", "ann", owner="bob"))
    book.close()
    topic = f"desk-{desk.run}"
    wait_for(lambda: len(desk.broker.read(topic)) >= 3, 60, "acts on the topic")
    # Each again, and one that is nothing.
    producer = KafkaProducer(bootstrap_servers=desk.broker.bootstrap, acks="all")
    for word in desk.broker.read(topic):
        producer.send(topic, word.value, word.key)
    producer.send(topic, b"{}", b"act/x")
    producer.close()
    assert one.end(signal.SIGTERM) == 0
    before = len(desk.broker.read(topic))
    for name in ("two", "one"):  # another machine; then the first, from the topic alone
        if name == "one":
            (one.state / "desk.sqlite").rename(one.state / "lost")
            for more in ("-wal", "-shm"):
                (one.state / f"desk.sqlite{more}").unlink(missing_ok=True)
        now = desk.decide(name)
        want = [("done", "ann", "bot", 2), ("working", "bob", "", 1)]
        wait_for(
            lambda now=now, want=want: [state_of(now.state, n) for n in (known.id, LATER)] == want,
            60, "what was done",
        )  # fmt: skip
        assert now.end(signal.SIGTERM) == 0
    assert len(desk.broker.read(topic)) == before, "what was heard is not told again"
