"""The terminal: driven key by key, and as plain lines."""

import asyncio
import io
import os
import time

import msgspec
import pytest
from textual.widgets import DataTable, Input, Sparkline, Static

from lab.alerts import alert
from sensor.base.sentences import figures_of
from sensor.base.units import SECOND
from sensor.cluster.brokers import Broker, Brokers
from sensor.cluster.fleet import Member
from sensor.console.terminal.app import Detail, Watch
from sensor.console.terminal.plain import Plain
from sensor.console.terminal.words import Words, _texts, language_of
from sensor.console.view import View
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.conftest import port25
from tests.console.test_view import HOSTILE


def drive(state, steps, language="en"):
    """Run the app at 80 x 24 and let ``steps`` (a coroutine function) press keys."""

    async def run():
        app = Watch(View(state), "ann", words=Words(language))
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


@pytest.mark.parametrize(
    ("language", "of_list", "of_one"),
    [
        ("en", ("Filter", "Quit", "Help"), ("Back", "Ack", "Exempt", "Release", "Help")),
        ("ja", ("検索", "終了", "ヘルプ"), ("戻る", "確認", "除外", "解除", "ヘルプ")),
    ],
)
def test_the_foot_has_room_for_every_key(state, language, of_list, of_one):
    async def steps(app, pilot):
        foot = text(app).splitlines()[-1]
        assert all(name in foot for name in of_list), foot
        await pilot.press("enter")
        await pilot.pause()
        foot = text(app).splitlines()[-1]
        assert all(name in foot for name in of_one), foot
        assert of_list[0] not in foot, "an alert has no filter"
        await pilot.press("slash", "o", "1")
        assert isinstance(app.screen, Detail), "nor does it do what its foot does not say"
        await pilot.press("q")
        await pilot.pause()
        assert not isinstance(app.screen, Detail)

    drive(state, steps, language)


def test_keys_and_the_time_zone_are_explained(state, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()

    async def steps(app, pilot):
        assert "raised (JST)" in text(app) and "25-06-16 00:06:45" in text(app)
        await pilot.press("question_mark")
        await pilot.pause()
        assert "Times are JST" in text(app) and "acknowledge, exempt, release" in text(app)
        await pilot.press("escape", "enter")
        await pilot.pause()
        assert "2025-06-16" in text(app) and " JST" in text(app)

    try:
        drive(state, steps)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_fleet_is_a_list_of_its_own_which_follows_what_is_heard(state):
    path, now = StateFolder(state).fleet, time.time_ns()

    def hears(**more) -> None:
        one = Member(name="north\x1b[2J", role="sensor", heard=now, version="1", **more)
        path.write_bytes(msgspec.json.encode([one]))

    async def steps(app, pilot):
        hears(packets=1200.0)
        await pilot.press("4")
        await pilot.pause()
        table = app.query_one(DataTable)
        assert [str(cell) for cell in table.get_row_at(0)][2] == "1,200 packets/s"
        assert "\x1b" not in str(table.get_row_at(0)[1])
        hears(left_behind=True)
        await pilot.pause(1.2)
        assert [str(cell) for cell in table.get_row_at(0)][2] == "left behind by the others"

    drive(state, steps)


def test_what_a_column_cuts_stands_below_the_list(state):
    async def steps(app, pilot):
        for key in "3", "2", "1":
            await pilot.press(key)
            await pilot.pause()
            below = str(app.query_one("#reason", Static).render())
            table = app.query_one(DataTable)
            if key == "2":
                assert not table.row_count and not below
                continue
            assert len(below) > 40, key
        assert "first contacts failed" in below or "networks" in below

    drive(state, steps)


def test_in_japanese(state):
    """All of it but names: of fields, of detectors, of what was said."""

    async def steps(app, pilot):
        screen = text(app)
        assert "深刻度" in screen and "重大" in screen and "ドライラン: 遮断なし" in screen
        await pilot.press("enter")
        await pilot.pause()
        shown = str(app.screen.query_one("#detail", Static).render())
        assert "スコア" in shown and "経過" in shown and "ハンドシェイク" in shown
        assert "遮断を" in shown and "この" in shown

    drive(state, steps, "ja")
    run = port25(
        "watch", "--state", str(state), input=b"list\nhosts\nblocks\nhelp\nshow 5e55\n",
        env=os.environ | {"LC_ALL": "ja_JP.UTF-8", "PYTHONUTF8": "1"},
    )  # fmt: skip
    said = run.stdout.decode()
    assert run.returncode == 0 and "未終了アラート" in said and "遮断は以上です" in said
    assert "foreign networks" not in said and "No more" not in said


def test_both_catalogues_say_the_same_with_the_same_figures():
    en, ja = _texts("en"), _texts("ja")
    assert set(en) == set(ja)
    for name in en:
        assert figures_of(f"watch.{name}", "en") == figures_of(f"watch.{name}", "ja"), name


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "ja_JP", "LANG": "C"}, "ja"),
        ({"LC_ALL": "C", "LANG": "ja_JP"}, "en"),
    ],
)
def test_the_language_is_the_terminals(environment, language):
    assert language_of(environment) == language


def plain(state, *lines: str) -> str:
    out = io.StringIO()
    told = Plain(View(state), "ann", out, words=Words("en"))
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


def test_plain_lines_tell_of_the_fleet(state):
    assert plain(state, "fleet").splitlines() == ["No more machines."]
    now = time.time_ns()
    StateFolder(state).fleet.write_bytes(msgspec.json.encode([
        Member(name="north", role="sensor", heard=now, version="1", packets=1200.0, loss=0.015),
        Member(name="s\x1b[2J", role="sensor", heard=now - 10 * 60 * SECOND, version="1",
               differs=True, differing=["dns", "p\x1b"], left_behind=True, behind=3.25),
        Member(name="port25-correlate-a", role="correlates", heard=now, version="1",
               partitions={"0": 4, "1": 1}, latency=0.5),
    ]))  # fmt: skip
    north, south, correlates, _ = plain(state, "fleet").splitlines()
    assert north == "Sensor north; 1,200 packets/s; 1.50 % lost"
    assert "\x1b" not in south
    assert (
        "silent for 600 s; left behind by the others; its settings differ from most: dns" in south
    )
    assert south.endswith("3.2 s behind")
    unread = "correlates; partitions: 2, messages not read: 5"
    assert correlates.endswith(f"{unread}; 0.50 s from packet to commit")
    away = Brokers(False, now - 40 * SECOND, now, now, [Broker(1, "k\x1b:9092", False)], "gone")
    StateFolder(state).kafka.write_bytes(msgspec.json.encode(away))
    said = plain(state, "fleet").splitlines()[0]
    assert said.startswith("Kafka; it has NOT answered for 4") and "\x1b" not in said
    assert said.endswith("is of before; brokers reached: 0 of 1; gone")
    StateFolder(state).kafka.unlink()
    os.utime(StateFolder(state).fleet, (then := time.time() - 60, then))
    assert plain(state, "fleet").startswith(
        "Nobody decides in this folder now: all of this is 60 s old"
    )


@pytest.mark.parametrize("words", [("--plain",), ()])
def test_the_command_in_a_pipe_speaks_plainly(state, words):
    run = port25("watch", *words, "--state", str(state), input=b"blocks\nquit\n")
    assert run.returncode == 0, run.stderr
    assert b"connections a second" in run.stdout and b"dry run" in run.stdout
    assert port25("watch", "--state", str(state / "nowhere")).returncode == 1
