"""What is seen of a state folder, and what persons do to it."""

import sqlite3
import time

import msgspec
import pytest

from lab.alerts import alert
from sensor.base.database import DatabaseError
from sensor.blocking.desk import Acknowledged, Desk, DeskReader
from sensor.console.sparing import exempt
from sensor.console.terminal.words import Words
from sensor.console.view import View
from sensor.settings import Settings, bounds_of
from sensor.sinks.outbox import Outbox
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal, Wanted

DAY = 86_400 * 10**9
HOSTILE = "\x1b[2J\x1b]0;owned\x07<script>\u202eevil"


def test_alerts_are_listed_as_they_stand(state):
    view = View(state)
    seen = view.alerts(100)
    hosts = {one.head.host for one in seen}
    assert hosts == {a.host for _, a in Journal(state / "journal.sqlite", True).read()}
    for one in seen:
        last = view.messages(one.head.id)[-1]
        assert (one.head.state, one.head.score, one.head.severity, one.head.block_recommended) == (
            last.state, last.score, last.severity, last.block_recommended,
        )  # fmt: skip
    assert [one.head.host for one in view.alerts(100, Wanted("113.4"))] == ["203.0.113.40"]
    assert view.alerts(100, Wanted("203.0.113.4")) == []  # a whole address is that one alone
    assert view.alerts(100, Wanted("nothing")) == []
    assert len(view.alerts(2)) == 2


def test_heads_follow_the_messages_and_are_forgotten_with_them(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    one = alert()
    later = msgspec.structs.replace(one, revision=2, score=99.0, ts=one.ts + 1, state="escalated")
    journal.write([one])
    journal.write([later])
    journal.write([one, later])  # told again after a crash
    assert [(h.score, h.state) for h in journal.heads(10)] == [(99.0, "escalated")]
    closed = msgspec.structs.replace(one, revision=3, state="closed", ts=one.ts + 2)
    journal.write([closed])
    assert journal.heads(10, Wanted(state="open")) == []
    journal.forget(before=one.ts + 3)
    assert journal.heads(10) == []


def test_acknowledging_exempting_releasing(state):
    view = View(state)
    bot = next(one for one in view.alerts(100) if one.head.host == "203.0.113.10")
    view.acknowledge(bot.head.id, "ann", "customer called")
    assert [b.host for b in view.blocks()].count("203.0.113.10") == 1
    made = exempt(view, "203.0.113.10", 30, "ann", "own mail server")
    assert view.refresh()
    now = next(one for one in view.alerts(100) if one.head.id == bot.head.id)
    assert now.acknowledged.by == "ann" and now.exempted.reason == "own mail server"
    assert made.until > time.time_ns() + 30 * DAY
    assert "203.0.113.10" not in [b.host for b in view.blocks()]
    assert "acknowledged by ann: customer called" in Words("en").seen(now)


def test_what_the_desk_exempts_the_sensor_and_the_policy_obey(state):
    desk = Desk(state / "desk.sqlite")
    now = time.time_ns()
    desk.exempt("203.0.113.10", 5, now, "ann", "server")
    desk.exempt("2001:db8:0:77::/64", 5, now, "ann", "server")
    found = DeskReader(state).exemptions(now)
    settings = msgspec.structs.replace(Settings(), exempt=found)
    objection = bounds_of(settings).objection
    view = View(state)
    block = next(b for b in view.blocks() if b.host == "203.0.113.10")
    assert "ann: server" in objection(block).text
    assert DeskReader(state).exemptions(now + 7 * DAY) == ()
    assert desk.lift("203.0.113.10", now + 1)
    assert not desk.lift("203.0.113.10", now + 2)
    assert [str(e.prefix) for e in DeskReader(state).exemptions(now + 2)] == ["2001:db8:0:77::/64"]
    with pytest.raises(ValueError, match="port block"):
        desk.exempt("100.64.1.1:8192-9215", 5, now, "ann", "x")
    assert DeskReader(state / "nowhere").exemptions(now) == ()


def test_hostile_names_are_harmless_in_words(state):
    view = View(state)
    one = alert()
    line = msgspec.structs.replace(one.evidence[1], reason=HOSTILE)
    destination = {"address": "192.0.2.1", "name": HOSTILE, "last_seen": 1}
    bad = msgspec.convert(
        msgspec.to_builtins(one)
        | {"destinations": [destination], "block_reason": HOSTILE, "block_code": ""},
        type(one),
    )
    bad = msgspec.structs.replace(bad, evidence=[one.evidence[0], line])
    said = msgspec.structs.replace(view.sessions("203.0.113.10", 1)[0], helo=HOSTILE)
    noted = Acknowledged(0, "ann", HOSTILE)
    text = "\n".join(Words("en").detail([bad], None, [said], [noted]))
    assert text.count("<script>") == 5
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\x1b" in text and "\\u202e" in text


def test_what_waits_is_known_of_each_sink(state):
    view = View(state)
    assert view.waiting() == {}, "alerts are passed on to none"
    files = StateFolder(state)
    last = Journal(files.journal, read_only=True).last
    outbox = Outbox(files.outbox)
    outbox.done("kafka", "journal.sqlite", 0, {})
    outbox.done("append", "journal.sqlite", last - 2, {})
    outbox.done("append", "ledger", 7, {})
    assert view.waiting() == {"append": 2, "kafka": last}


def test_no_journal_is_said(tmp_path):
    with pytest.raises(DatabaseError, match="no sensor ran here"):
        View(tmp_path)


def test_a_book_that_is_being_made_has_nothing_yet(state):
    sqlite3.connect(state / "audit.sqlite").close()
    (state / "audit.sqlite").touch()
    assert View(state).audited(10, 1 << 62) == []
