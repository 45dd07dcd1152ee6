"""The terminal: driven key by key, and as plain lines."""

import asyncio
import io
import os
import time

import msgspec
import pytest
from textual.widgets import DataTable, Input, Sparkline, Static

from lab.alerts import alert
from sensor.console.terminal.app import Detail, Watch
from sensor.console.terminal.plain import Plain
from sensor.console.view import View
from sensor.state.journal import Journal
from tests.conftest import port25
from tests.console.test_view import HOSTILE


def drive(state, steps):
    """Run the app at 80 x 24 and let ``steps`` (a coroutine function) press keys."""

    async def run():
        app = Watch(View(state), "ann")
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            await steps(app, pilot)

    asyncio.run(run())


def text(app) -> str:
    """Everything on the screen."""
    return "\n".join(
        "".join(segment.text for segment in line) for line in app.screen._compositor.render_strips()
    )


def test_everything_is_there_at_80_by_24(state):
    then = time.time() - 100
    os.utime(state / "journal.sqlite", (then, then))

    async def steps(app, pilot):
        table = app.query_one(DataTable)
        assert table.row_count == len(View(state).alerts(100))
        assert "SENSOR SILENT" in text(app) and "dry run: nothing blocked" in text(app)
        assert "SYN/s" not in text(app), "figures of long ago are not shown as if they were now"
        os.utime(state / "journal.sqlite")
        await pilot.pause(1.5)
        screen = text(app)
        assert "SENSOR" not in screen and "would block" in screen
        assert "203.0.113.10" in screen and "SYN/s" in screen and "dropped" in screen
        assert "critical" in screen and "Quit" in screen
        assert len(app.query_one("#syns", Sparkline).data) >= 30

    drive(state, steps)


def test_an_alert_appears_within_a_second(state):
    async def steps(app, pilot):
        new = msgspec.structs.replace(alert(), id="f" * 32, host="203.0.113.99")
        Journal(state / "journal.sqlite").write([new])
        await pilot.pause(1.0)
        assert "203.0.113.99" in text(app)

    drive(state, steps)


def test_filter_open_acknowledge_exempt_release(state):
    async def steps(app, pilot):
        await pilot.press("slash")
        await pilot.press(*"203.0.113.10", "enter")
        await pilot.pause()
        assert app.query_one(DataTable).row_count == 1
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Detail)
        shown = str(app.screen.query_one("#detail", Static).render())
        assert "fan_out" in shown and "score" in shown and "Course" in shown
        await pilot.press("a")
        await pilot.pause()
        await pilot.press(*"called", "enter")
        await pilot.pause()
        assert "acknowledged by ann: called" in str(
            app.screen.query_one("#detail", Static).render()
        )
        await pilot.press("e")
        await pilot.pause()
        app.screen.query_one(Input).value = "30 own server"
        await pilot.press("enter")
        await pilot.pause()
        assert "exempt until" in str(app.screen.query_one("#detail", Static).render())
        await pilot.press("escape", "3")
        await pilot.pause()
        assert "203.0.113.10 " not in text(app), "its block has ended"

    drive(state, steps)
    view = View(state)
    assert [one.reason for one in view.exempted()] == ["own server"]


def test_release_alone_and_an_answer_that_makes_no_sense(state):
    async def steps(app, pilot):
        await pilot.press("slash", *"203.0.113.10", "enter")
        await pilot.pause()
        await pilot.press("e")
        await pilot.pause()
        await pilot.press(*"soon", "enter")
        await pilot.pause()
        assert View(state).exempted() == []
        await pilot.press("r")
        await pilot.pause()
        await pilot.press(*"mistake", "enter")
        await pilot.pause()
        assert "203.0.113.10" not in [b.host for b in View(state).blocks()]
        await pilot.press("r", "escape", "2", "1", "o", "q")

    drive(state, steps)


def test_a_hostile_name_moves_nothing_on_the_screen(state):
    one = alert()
    line = msgspec.structs.replace(one.evidence[1], reason=HOSTILE)
    bad = msgspec.structs.replace(
        one, id="e" * 32, host="203.0.113.98", evidence=[one.evidence[0], line]
    )
    Journal(state / "journal.sqlite").write([bad])

    async def steps(app, pilot):
        await pilot.press("slash", *"203.0.113.98", "enter")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        screen = text(app)
        assert "\x1b" not in screen and "\u202e" not in screen
        assert "\\x1b[2J" in screen

    drive(state, steps)


def plain(state, *lines: str) -> str:
    out = io.StringIO()
    told = Plain(View(state), "ann", out)
    for line in lines:
        told.obey(line)
    return out.getvalue()


def test_plain_lines(state):
    listed = plain(state, "list")
    id_ = next(line for line in listed.splitlines() if "203.0.113.10," in line)[:8]
    assert "critical" in listed and "block recommended" in listed
    assert "fan_out" in plain(state, f"show {id_}")
    assert "Acknowledged." in plain(state, f"acknowledge {id_} customer called")
    assert "a reason is needed" in plain(state, f"acknowledge {id_}")
    assert "1 block ended" in plain(state, f"release {id_} mistake")
    assert "is exempt until" in plain(state, f"exempt {id_} 30 own server")
    assert "customer called" in plain(state, "list") and "exempt until" in plain(state, "list")
    assert "no alert has this id" in plain(state, "show zzz")
    assert "No more blocks." in plain(state, "blocks")
    assert "No more hosts" in plain(state, "hosts")
    assert "acknowledge ALERT REASON" in plain(state, "help")


def test_plain_tells_what_is_new(state):
    out = io.StringIO()
    told = Plain(View(state), "ann", out)
    Journal(state / "journal.sqlite").write([msgspec.structs.replace(alert(), id="d" * 32)])
    told.tell()
    assert "raised: dddddddd" in out.getvalue()


@pytest.mark.parametrize("words", [("--plain",), ()])
def test_the_command_in_a_pipe_speaks_plainly(state, words):
    run = port25("watch", *words, "--state", str(state), input=b"blocks\nquit\n")
    assert run.returncode == 0, run.stderr
    assert b"connections a second" in run.stdout and b"dry run" in run.stdout
    assert port25("watch", "--state", str(state / "nowhere")).returncode == 1
