"""What a live sensor keeps of usages, and the report that is made of it."""

import dataclasses
import json

import pytest

from lab.outputs import sessions_of
from sensor.alerts.alert import Alert
from sensor.capture.merge import Captures
from sensor.hosts.subscribers import compile_subscribers
from sensor.impact import store as store_module
from sensor.impact.store import UsageStore
from sensor.impact.survey import Survey
from sensor.impact.usage import Usages
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.state.journal import Journal
from tests.conftest import PCAPS, port25
from tests.impact.test_impact import session

DAY = 86_400 * 10**9


def usages(*sessions):
    found = Usages(compile_subscribers(), 100)
    found.add(sessions)
    return found.drain()


def test_parts_add_up_to_the_whole():
    some = [session(n, helo=f"h{n % 2}.example", tls=n % 3 == 0) for n in range(9)]
    (whole,) = usages(*some)
    (first,), (second,) = usages(*some[:4]), usages(*some[4:])
    assert first.plus(second) == whole
    assert usages() == []


def test_a_store_keeps_days_apart_and_forgets_the_oldest(tmp_path):
    store = UsageStore(tmp_path / "usage.sqlite")
    (one,) = usages(session(1))
    days = [
        dataclasses.replace(one, first=one.first + n * DAY, last=one.last + n * DAY)
        for n in range(5)
    ]
    store.add([days[0], days[0], days[1]], days=3)
    kept = list(store.read())
    assert [u.connections for u in kept] == [2, 1]
    assert kept[1] == days[1]
    assert [u.connections for u in store.read(since=days[1].first)] == [1]
    store.add(days[2:], days=3)
    assert [u.last for u in store.read()] == [u.last for u in days[2:]]


def test_a_store_has_a_ceiling(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "ROWS", 3)
    store = UsageStore(tmp_path / "usage.sqlite")
    (one,) = usages(session(1))
    for n in range(5):
        store.add([dataclasses.replace(one, last=one.last + n * DAY)], days=400)
    assert [u.last for u in store.read()] == [one.last + n * DAY for n in (2, 3, 4)]


def test_the_report_of_what_was_kept_is_that_of_the_capture(tmp_path):
    """Flushed in pieces, as a live sensor does, and judged from the files."""
    settings = Settings()
    survey = Survey(compile_subscribers(), 1000)
    pipeline = Pipeline(settings, sessions="all")
    store = UsageStore(tmp_path / "usage.sqlite")
    journal = Journal(tmp_path / "journal.sqlite")
    told: list[Alert] = []
    for block in Captures([str(PCAPS / "demo.pcap")]):
        for output in pipeline.feed(block):
            survey.add([output])
            told = output.alerts
            journal.write(told)
        store.add(survey.usages.drain(), days=30)
    for output in pipeline.finish():
        survey.add([output])
        journal.write(output.alerts)
    store.add(survey.usages.drain(), days=30)
    words = ("impact", "--format", "json")
    kept = port25(*words, "--journal", "--state", str(tmp_path), check=True).stdout
    replayed = port25(*words, "-q", str(PCAPS / "demo.pcap"), check=True).stdout
    assert json.loads(kept) == json.loads(replayed)
    later = port25(
        *words, "--journal", "--state", str(tmp_path), "--since", "2030-01-01", check=True
    )
    assert json.loads(later.stdout)["subscribers"] == []


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((), 2, b"either captures or --journal"),
        (("--journal", "x.pcap"), 2, b"either captures or --journal"),
        (("--journal", "--state", "/nonexistent"), 1, b"live.usage = true"),
        (("--journal", "--since", "yesterday"), 2, b"--since"),
    ],
)
def test_what_is_wrong_is_said(words, code, text):
    run = port25("impact", *words)
    assert (run.returncode, text in run.stderr) == (code, True), run.stderr


def test_no_more_sessions_a_second_are_told_of_than_asked():
    pipeline = Pipeline(Settings(), sessions="all", most_sessions=1)
    whole = Pipeline(Settings(), sessions="all")
    few, every = (
        sessions_of(one.run(Captures([str(PCAPS / "fast_bot.pcap")]))) for one in (pipeline, whole)
    )
    passed_over = pipeline.counters()["connections"]["sessions_passed_over"]
    assert passed_over > 0
    assert len(few) + passed_over == len(every)
