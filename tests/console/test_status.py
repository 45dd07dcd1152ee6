"""Whether a sensor runs, whether anything is blocked, and whose files these are."""

import io
import os
import shutil
import time

import pytest

from lab.alerts import SECOND, T0, alert
from sensor.base.database import Database, DatabaseError
from sensor.blocking.decision import decision
from sensor.blocking.desk import Desk
from sensor.blocking.handling import Act
from sensor.blocking.ledger import Ledger
from sensor.blocking.policy import released
from sensor.console.standing import block_of
from sensor.console.terminal.plain import Plain
from sensor.console.terminal.words import Words
from sensor.console.view import StateGoneError, View
from sensor.state.journal import Journal
from tests.conftest import port25

HOUR = 3600 * SECOND


def block(host="203.0.113.7", enforced=True, until=HOUR, **more):
    given = {"host": host, "source": f"{host}/32", "since": T0, "expires": T0 + until}
    return decision("block", T0, enforced=enforced, reasons=["evidence"], **(given | more))


def aged(state, seconds):
    """As if the sensor had been silent for so long."""
    then = time.time() - seconds
    for file in state.glob("journal.sqlite*"):
        os.utime(file, (then, then))


@pytest.mark.parametrize(("recommended", "word", "state"), [
    (False, None, "not_recommended"),
    (True, None, "undecided"),
    (True, block(), "blocked"),
    (True, block(enforced=False), "would_block"),
    (True, block(until=1), "expired"),
    (True, released(block(), T0 + 9, "it expired"), "expired"),
    (True, released(block(), T0 + 9, "mistake", "ann"), "released"),
    (True, decision("refuse", T0, enforced=True, host="x", reasons=["the ceiling"]), "refused"),
    (False, block(), "blocked"),
])  # fmt: skip
def test_what_became_of_an_alert_is_the_ledgers_word(recommended, word, state):
    assert block_of(recommended, word, T0 + 10).state == state


def test_a_refusal_does_not_hide_the_block_in_force(tmp_path):
    ledger = Ledger(tmp_path / "blocking.sqlite")
    refusal = decision("refuse", T0 + 5, enforced=True, host="203.0.113.7", reasons=["ceiling"])
    for one in (block(), block("203.0.113.8", enforced=False), refusal):
        ledger._write(one)
    found = ledger.last_words(["203.0.113.7", "203.0.113.8", "203.0.113.9"], T0 + 10)
    assert {host: one.action for host, one in found.items()} == {
        "203.0.113.7": "block", "203.0.113.8": "block",
    }  # fmt: skip
    assert ledger.last_words(["203.0.113.7"], T0 + 2 * HOUR)["203.0.113.7"].action == "refuse"


def test_a_silent_sensor_and_a_dry_run_are_said(state):
    aged(state, 0)
    now = View(state).status("enforce")
    assert now.running and now.mode == "dry-run", "what was decided goes before settings"
    assert now.blocked == 0 and now.would_block > 0
    assert Words("en").status(now)[0] == "dry run: nothing blocked"
    aged(state, 372)
    now = View(state).status("enforce")
    assert not now.running and 371 < now.silent < 400
    assert Words("en").status(now)[0].startswith("SENSOR SILENT 6 min (2025-06-15 ")
    out = io.StringIO()
    plain = Plain(View(state), "ann", out)
    aged(state, 0)
    plain.tell()
    aged(state, 100)
    plain.tell()
    assert "A sensor runs again." in out.getvalue() and "SENSOR SILENT 2 min" in out.getvalue()


def test_after_live_traffic_blocks_end_though_the_sensor_is_dead(tmp_path):
    """Packet time stands still then; the clock on the wall does not."""
    journal = Journal(tmp_path / "journal.sqlite")
    now = (time.time_ns() - T0) / SECOND
    journal.write([alert(at=now - 600, opened=now - 600)])
    ledger = Ledger(tmp_path / "blocking.sqlite")
    start = time.time_ns() - 600 * SECOND
    for host, seconds in (("203.0.113.7", 300), ("203.0.113.8", 900)):
        ledger._write(block(host, since=start, expires=start + seconds * SECOND))
    aged(tmp_path, 590)
    view = View(tmp_path)
    assert [one.host for one in view.blocks()] == ["203.0.113.8"]
    assert view.status("enforce").blocked == 1
    assert view.alerts(1)[0].block.state == "expired"


def test_notes_are_added_and_never_replaced(state):
    view = View(state)
    id_ = view.alerts(1)[0].head.id
    for by, reason in (("ann", "mailed customer 4711"), ("bob", "he answered"), ("ann", "closed")):
        view.acknowledge(id_, by, reason)
    view.refresh()
    assert [(n.by, n.reason) for n in view.notes(id_)] == [
        ("ann", "mailed customer 4711"), ("bob", "he answered"), ("ann", "closed"),
    ]  # fmt: skip
    assert view.alerts(1)[0].acknowledged.reason == "closed"
    shown = "\n".join(Words("en").whole(view, id_))
    assert "acknowledged by ann: mailed customer 4711" in shown and "bob: he answered" in shown


def test_notes_of_before_stay(tmp_path):
    path = tmp_path / "desk.sqlite"
    from sensor.blocking import desk

    old = Database(path, desk._MIGRATIONS[:1])
    old.run("INSERT INTO acknowledged VALUES ('a', 7, 'ann', 'called')")
    old.close()
    now = Desk(path)
    now.act({"a": 1}, 8, Act("done", "bob", "again"))
    assert [one.reason for one in now.notes("a")] == ["called", "again"]


@pytest.mark.parametrize("what", ["replaced", "deleted", "file replaced"])
def test_a_state_folder_under_ones_feet(state, tmp_path, what):
    view = View(state)
    if what == "file replaced":
        shutil.copy(state / "journal.sqlite", tmp_path / "new")
        (tmp_path / "new").replace(state / "journal.sqlite")
    else:
        state.rename(tmp_path / "old")
        if what == "replaced":
            shutil.copytree(tmp_path / "old", state)
    with pytest.raises(StateGoneError, match=r"journal\.sqlite: it was taken away or replaced"):
        view.refresh()
    if what == "deleted":
        with pytest.raises(DatabaseError, match="no sensor ran here"):
            View(state)
    else:
        assert View(state).alerts(1)


def test_watch_goes_on_with_the_new_folder(state, tmp_path):
    out = io.StringIO()
    plain = Plain(View(state), "ann", out)
    state.rename(tmp_path / "old")
    for _ in range(3):
        plain.tell()
    assert out.getvalue().count("taken away or replaced") == 1
    shutil.copytree(tmp_path / "old", state)
    plain.tell()
    assert "The state folder was replaced" in out.getvalue()
    plain.obey("list")
    assert "203.0.113.10" in out.getvalue()


def test_an_empty_block_list_says_why(state):
    run = port25("blocklist", "--state", str(state), "--format", "nftables", "--dry-run")
    assert run.returncode == 0
    assert b"no block of a dry run is in force" in run.stderr
    assert b"the newest had its end at 2025-06-15T" in run.stderr
    run = port25("blocklist", "--state", str(state), "--format", "nftables")
    assert b"there are blocks of a dry run only" in run.stderr
