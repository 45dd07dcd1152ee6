"""Blocking goes on by a word said elsewhere: once, and the same for who decides anew."""

import msgspec
import pytest

from lab.alerts import alert
from sensor.blocking.acts import feeds, of_resumes
from sensor.blocking.bounds import Bounds
from sensor.blocking.desk_act import key, read_word
from sensor.blocking.desk_record import DeskRecordError, Words
from sensor.blocking.ledger import Ledger
from sensor.blocking.policy import Policy
from sensor.blocking.resuming import Resumed, let_go_on
from sensor.blocking.settings import BlockingSettings
from sensor.state.folder import StateFolder
from sensor.state.journal import Row
from tests.blocking.test_two_sensors import at

BEFORE = [alert(f"203.0.113.{n}", at=n, opened=n) for n in range(1, 5)]
AFTER = [alert(f"203.0.113.{n}", at=4000 + n, opened=4000 + n) for n in range(11, 13)]
SAID = Resumed(at(3000), "decider", "mary", "looked at", "web")
SETTINGS = BlockingSettings(mode="enforce", max_blocks=2, max_share=0.5, quiet=0)


class Deciding:
    """A ledger and its policy."""

    def __init__(self, path) -> None:
        self.ledger = Ledger(path)
        self.policy = Policy(SETTINGS, Bounds((), (), ()))
        self.number = 0

    def take(self, *alerts):
        rows = [Row(self.number + k, one) for k, one in enumerate(alerts, 1)]
        self.number += len(rows)
        return [one.action for one in self.ledger.take("journal", rows, self.policy)]


def test_a_word_from_elsewhere_ends_the_stop_before_it_once(tmp_path):
    one = Deciding(tmp_path / "blocking.sqlite")
    assert one.take(*BEFORE) == ["block", "block", "stop", "refuse", "refuse"]
    assert one.ledger.resumes.hear(SAID) and not one.ledger.resumes.hear(SAID)
    assert one.ledger.go_on(at(2999)) == [] and one.ledger.stopped(True)
    (made,) = one.ledger.go_on(at(3000))
    assert (made.action, made.ts, made.by, made.desk) == ("resume", SAID.ts, "mary", "web")
    assert not one.ledger.stopped(True) and one.ledger.go_on(at(9000)) == []
    # A stop that comes later is another, also by an alert of before that comes late.
    late = alert("203.0.113.9", at=2000, opened=2000)
    assert one.take(late) == ["stop", "refuse"]
    assert one.ledger.go_on(at(9000)) == [] and one.ledger.stopped(True)
    assert not one.ledger.resumes.hear(SAID), "said again, as at each start"


def test_who_decides_on_the_same_alerts_anew_comes_to_the_same(tmp_path):
    first = Deciding(tmp_path / "first.sqlite")
    first.take(*BEFORE)
    first.ledger.resumes.hear(SAID)
    first.ledger.go_on(at(3600))
    first.take(*AFTER)
    anew = Deciding(tmp_path / "anew.sqlite")
    anew.ledger.resumes.hear(SAID)  # the topic of persons' words is heard at once
    anew.take(*BEFORE, *AFTER)
    decided = [[e.decision for e in one.ledger.page()] for one in (first, anew)]
    assert decided[0] == decided[1]
    assert [one.action for one in decided[0]].count("resume") == 1


def test_a_word_for_another_is_told_and_does_nothing_here(tmp_path):
    here = Deciding(tmp_path / "blocking.sqlite")
    here.take(*BEFORE)
    ledger = here.ledger
    assert not let_go_on(ledger, "decider", at(3000), "looked at", "mary")
    assert ledger.resumes.last == 0, "nobody is told without Kafka"
    ledger.named("north", 3600, at(0))
    assert not let_go_on(ledger, "decider", at(3000), "looked at", "mary")
    assert ledger.stopped(True)
    assert let_go_on(ledger, "north", at(3001), "here", "mary") and not ledger.stopped(True)
    ledger.resumes.hear(SAID)
    acts = [act for _, act in of_resumes(ledger, "north").read(0, 9) if act is not None]
    assert [(one.whose, one.sensor, one.reason) for one in acts] == [
        ("decider", "north", "looked at"), ("north", "north", "here"),
    ]  # fmt: skip
    assert [key(one) for one in acts] == [b"resume/decider@north", b"resume/north@north"]
    for one in acts:
        said = msgspec.json.encode(one)
        assert read_word(key(one), said, at(3001)) == one
        assert Words().take(key(one), said, at(3001)) == "", "no controller minds it"
    told = [act for feed in feeds(StateFolder(tmp_path), "north") for _, act in feed.read(0, 99)]
    assert [one.act for one in told if one is not None] == ["resume", "resume"]


@pytest.mark.parametrize(
    "change",
    [
        {"whose": ""}, {"whose": "../x"}, {"reason": ""}, {"reason": "x" * 501}, {"act": "take"},
        {"by": "x" * 501}, {"ts": 1 << 61}, {"sensor": "a b"}, {"until": -1},
    ],
)  # fmt: skip
def test_what_is_no_such_word_is_refused(tmp_path, change):
    ledger = Ledger(tmp_path / "blocking.sqlite")
    ledger.named("north", 3600, at(0))
    let_go_on(ledger, "decider", at(1), "looked at", "mary")
    ((_, one),) = of_resumes(ledger, "north").read(0, 9)
    made = msgspec.structs.replace(one, **change)
    name = b"resume/decider@north" if change.keys() & {"act"} else key(made)
    with pytest.raises(DeskRecordError):
        read_word(name, msgspec.json.encode(made), at(1))


def test_so_many_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("sensor.blocking.resuming._MOST", 3)
    ledger = Ledger(tmp_path / "blocking.sqlite")
    for n in range(5):
        ledger.resumes.hear(Resumed(n, "x", "mary", "seen", f"s{n}"))
    assert [number for number, _ in ledger.resumes.page(0, 9)] == [3, 4, 5]
