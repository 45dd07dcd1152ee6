"""Pages over Kafka's topics alone: all show what who decides has, whatever dies meanwhile."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.alerts import alert, closed
from lab.broker import Broker
from lab.waiting import wait_for
from lab.web import serving, settings_for
from sensor.base.database import DatabaseError
from sensor.blocking.desk import Desk
from sensor.blocking.ledger import Ledger
from sensor.cluster.brokers import brokers_of
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.cluster.test_decide import NOW
from tests.cluster.test_decide import Desk as Topics
from tests.conftest import ROOT, needs, port25

pytestmark = pytest.mark.kafka


@pytest.fixture
def own(tmp_path):
    """A broker that may be killed."""
    needs("java", "mvn")
    made = Broker(tmp_path / "kafka").start()
    yield made
    made.kill()


def opened(kind, path, look):
    """What a book says; None: it cannot be opened at this moment."""
    try:
        with contextlib.closing(kind(path, read_only=True)) as book:
            return look(book)
    except DatabaseError:
        return None


def alerts_in(state: Path):
    found = opened(Journal, state / "journal.sqlite", lambda one: list(one.read()))
    return [(a.id, a.revision) for _, a in found or ()]


def decisions_in(state: Path):
    found = opened(Ledger, state / "blocking.sqlite", lambda one: one.page()) or ()
    return [(e.decision.id, e.decision.action, e.decision.host) for e in found]


def tree(pid: int) -> list[int]:
    """Processes that one started, and those they did."""
    found = [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid, *(one for child in found for one in tree(child))]


class Page:
    """``port25 web --from-kafka`` in a folder of its own."""

    def __init__(self, topics: Topics, name: str, stack: contextlib.ExitStack) -> None:
        self.state = topics.folder / name
        tokens = topics.folder / f"tokens-{name}"
        tokens.mkdir(exist_ok=True)
        self.config = tokens / "page.toml"
        self.config.write_text(topics.config.read_text() + settings_for(tokens).read_text())
        self.words = ("--from-kafka", "-c", str(self.config))
        self.server = stack.enter_context(serving(self.state, *self.words))

    def status(self):
        return self.server.get("/api/v1/status").json()

    def fleet(self):
        return self.server.get("/api/v1/fleet").json()

    def heads(self):
        return self.server.get("/api/v1/alerts").json()["alerts"]


def test_two_pages_show_what_who_decides_has(broker, tmp_path):
    topics = Topics(broker, tmp_path, "max_blocks = 3\nmax_share = 0.5")
    told = [("north", alert(f"203.0.113.{n}", NOW + n, NOW + n)) for n in range(6)]
    told.append(("south", closed("203.0.113.1", NOW + 10, NOW + 1)))
    with contextlib.ExitStack() as stack:
        topics.tell(told)  # before: all read them in the order of their times
        one = topics.decide("decides")
        stack.callback(one.process.kill)
        first = Page(topics, "first", stack)
        wait_for(lambda: len(alerts_in(one.state)) == 7, 60, "all alerts")
        second = Page(topics, "second", stack)
        both = (first, second)

        def same():
            wanted = alerts_in(one.state), decisions_in(one.state)
            assert one.process.poll() is None, one.log.read_text()
            return wanted[1] and all(
                (alerts_in(page.state), decisions_in(page.state)) == wanted for page in both
            )

        wait_for(same, 60, "the same alerts and decisions")
        assert first.heads() == second.heads() != []
        listed = topics.in_force()
        assert listed and all(key.endswith("@port25-decide") for key in listed)

        # A person at one page: all folders, and the block list.
        host = next(iter(listed)).partition("@")[0]
        body = {"host": host, "reason": "cleaned"}
        done = first.server.get("/api/v1/releases", "operator", method="POST", json=body)
        assert done.status_code == 200, done.text
        wait_for(lambda: f"{host}@port25-decide" not in topics.in_force(), 60, "the release")
        id_ = next(one["id"] for one in first.heads() if one["host"] == host)
        body = {"alerts": [id_], "act": "note", "reason": "called him"}
        done = second.server.get("/api/v1/acts", "analyst", method="POST", json=body)
        assert done.status_code == 200, done.text

        def noted(state):
            said = opened(Desk, StateFolder(state).desk, lambda desk: desk.notes(id_))
            return [note.reason for note in said or ()] == ["called him"]

        for state in (one.state, first.state, second.state):
            wait_for(lambda: noted(state), 60, f"the note in {state}")  # noqa: B023
        # Nothing but words of persons went out of the pages.
        assert topics.in_force().keys() == listed.keys() - {f"{host}@port25-decide"}
        assert len(topics.broker.read(topics.alerts)) == len(told)

        # Killed with all it started, and begun anew: nothing twice, nothing lost.
        for pid in tree(first.server.pid):
            os.kill(pid, signal.SIGKILL)
        topics.tell([("north", alert("203.0.113.99", NOW + 60, NOW + 60))])
        again = stack.enter_context(serving(first.state, *first.words))
        first.server = again
        wait_for(lambda: len(alerts_in(one.state)) == 8, 60, "another alert")
        wait_for(lambda: alerts_in(first.state) == alerts_in(one.state), 60, "it here")
        wait_for(lambda: [d[1:] for d in decisions_in(first.state)].count(("block", host)) == 1, 9)
        wait_for(lambda: first.heads() == second.heads(), 30, "the same list")


def test_a_page_answers_on_while_kafka_is_away(own, tmp_path):
    topics = Topics(own, tmp_path)
    topics.tell([("north", alert("203.0.113.7", NOW, NOW))])
    text = topics.config.read_text().replace("[kafka]\n", "[kafka]\nhealth_interval = 1\n")
    topics.config.write_text(text)
    with contextlib.ExitStack() as stack:
        one = topics.decide("decides")  # so that there is a word each second
        stack.callback(one.process.kill)
        page = Page(topics, "page", stack)
        wait_for(lambda: len(page.heads()) == 1, 60, "the alert")
        wait_for(lambda: page.status()["running"], 60, "a word of who decides")
        kafka = page.fleet()["kafka"]
        assert kafka["answers"] and [one["reachable"] for one in kafka["brokers"]] == [True]
        before = time.time_ns()
        own.kill()
        wait_for(lambda: not page.fleet()["kafka"]["answers"], 30, "it to be seen")
        kafka = page.fleet()["kafka"]
        assert kafka["since"] >= before - 10**9 and kafka["fault"]
        assert [one["reachable"] for one in kafka["brokers"]] == [False]
        assert page.heads()[0]["host"] == "203.0.113.7"
        wait_for(lambda: page.status()["silent"] > 3, 30, "silence to be told")
        own.start()
        wait_for(lambda: page.fleet()["kafka"]["answers"], 60, "it to be back")
        topics.tell([("north", alert("203.0.113.8", NOW + 1, NOW + 1))])
        wait_for(lambda: len(page.heads()) == 2, 60, "another alert")
        wait_for(lambda: page.status()["silent"] < 3, 60, "a word again")


def test_a_terminal_shows_the_same_and_a_page_without_kafka_begins(broker, tmp_path):
    topics = Topics(broker, tmp_path)
    topics.tell([("north", alert("203.0.113.7", NOW, NOW))])
    state = tmp_path / "watch"
    words = ["watch", "--plain", "--language", "en", "--from-kafka", "-c", str(topics.config)]
    with subprocess.Popen(
        [sys.executable, "-m", "sensor", *words, "--state", str(state)], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as shown:  # fmt: skip
        wait_for(lambda: len(alerts_in(state)) == 1, 60, "the alert")
        wait_for(lambda: brokers_of(state) is not None, 60, "a look at Kafka")
        out, _ = shown.communicate("list\nfleet\nquit\n", 60)
    assert "203.0.113.7" in out
    assert not any(
        str(state) in (p / "cmdline").read_text() for p in Path("/proc").glob("[0-9]*")
        if (p / "cmdline").exists()
    )  # fmt: skip
    config = tmp_path / "nowhere.toml"
    config.write_text('[kafka]\nbootstrap = ["127.0.0.1:9"]\n[live]\nuser = "root"\n')
    nowhere = tmp_path / "nowhere"
    with serving(nowhere, "--from-kafka", "-c", str(config)):
        wait_for(lambda: brokers_of(nowhere) is not None, 60, "a look at Kafka")
        assert not brokers_of(nowhere).answers
    assert port25("web", "--from-kafka", "--state", str(nowhere)).returncode == 2
    assert json.loads(StateFolder(nowhere).kafka.read_text())["heard"] == 0
