"""Leases that reach a running pipeline through a process, in pieces, over starts and deaths."""

import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from lab.alerts import alert
from lab.leases import known_as
from lab.outputs import alerts_of, feed, finish
from lab.waiting import wait_for
from sensor.capture.merge import Captures
from sensor.leases.file import LeaseFile
from sensor.leases.lines import HEADER
from sensor.leases.settings import CustomerSettings, ResolverSettings
from sensor.pipeline import Pipeline
from sensor.service.leases import LeaseSources, prepare_sources
from sensor.settings import LiveSettings, Settings
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.conftest import PCAPS
from tests.leases.test_resolver import HOST, System

SECOND = 10**9
HEAD = ",".join(HEADER) + "\n"
START = 1_750_000_000 * SECOND
BOT = known_as("bot@isp.example")


class Running:
    """A pipeline and its sources, without interfaces."""

    def __init__(self, folder, **customers):
        customers = {"file": str(folder / "told.csv")} | customers
        self.settings = Settings(
            customers=CustomerSettings(**customers), live=LiveSettings(user="root")
        )
        self.files = StateFolder(folder / "state")
        self.files.path.mkdir(exist_ok=True)
        self.said = []
        self.pipeline = Pipeline(self.settings)
        self.sources = None

    def start(self, positions=None):
        sources = prepare_sources(self.settings.customers, folder=self.files)
        self.sources = LeaseSources(self.settings, self.files, sources)
        self.sources.positions.update(positions or {})
        self.sources.attach(self.pipeline, lambda _, said: self.said.append(said.text))
        self.sources.begin()
        return self

    def hear(self, counter, wanted):
        """Until a counter is what is wanted."""

        def done():
            self.sources.turn()
            return self.counters[counter] == wanted

        wait_for(done, 5, f"{counter} {wanted}: {self.sources.counters}")

    @property
    def counters(self):
        return self.pipeline.counters()["customers"] | self.sources.counters


@pytest.fixture
def running(tmp_path):
    made = []

    def make(**customers):
        made.append(Running(tmp_path, **customers).start())
        return made[-1]

    yield make
    for one in made:
        if one.sources is not None:
            one.sources.stop()


def child_of(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children")
    wait_for(children.read_text, 5, "its child")
    return int(children.read_text())


def append(folder, text):
    with (folder / "told.csv").open("a") as file:
        file.write(text)


def replayed(path, settings):
    pipeline = Pipeline(settings)
    file = LeaseFile(str(path), settings.customers)
    pipeline.lend(file.changes, file.counters)
    return alerts_of(pipeline.run(Captures([str(PCAPS / "reconnects.pcap")]))), pipeline


def parts(size):
    for block in Captures([str(PCAPS / "reconnects.pcap")]):
        for at in range(0, len(block.frames), size):
            frames = block.frames[at : at + size]
            yield block._replace(frames=frames, number=block.number + at)


def test_a_replay_of_what_was_kept_gives_the_same_alerts(tmp_path, running):
    """Each lease is told some seconds late, at a moment of its own."""
    lines = (PCAPS / "reconnects.csv").read_text().splitlines(keepends=True)[1:]
    append(tmp_path, HEAD + lines.pop(0))
    one = running()
    one.hear("leases_heard", 1)
    alerts, told = [], 1
    for part in parts(11):
        now = int(part.frames["ts"][0])
        while lines and told <= (now - START) // (300 * SECOND):
            append(tmp_path, lines.pop(0))
            told += 1
            one.hear("leases_heard", told)
        alerts += feed(one.pipeline, part)
    alerts += finish(one.pipeline)
    assert not lines and not one.said
    assert len({a.host for a in alerts if a.customer == BOT}) == 7
    again, other = replayed(one.files.leases, one.settings)
    assert msgspec.json.encode(again) == msgspec.json.encode(alerts)
    assert other.counters()["customers"] == one.pipeline.counters()["customers"]
    in_time, _ = replayed(PCAPS / "reconnects.csv", one.settings)
    assert msgspec.json.encode(in_time) != msgspec.json.encode(alerts), "nothing was late"
    assert "isp.example" not in one.files.leases.read_text(), "no name is kept"


def test_who_starts_again_goes_on_where_it_was(tmp_path, running):
    append(tmp_path, HEAD + f"{START},,203.0.113.1,,a\n{START},,203.0.113.2,,b\n")
    first = running()
    first.hear("leases_heard", 2)
    later = time.time_ns() + 60 * SECOND
    append(tmp_path, f"{later},,203.0.113.3,,c\n{START},,203.0")  # cut: the rest is to come
    first.hear("leases_heard", 3)
    for part in parts(50):
        feed(first.pipeline, part)
        break
    assert first.counters["leases_live"] == 2
    arrays = {name: array.copy() for name, array in first.pipeline.arrays().items()}
    facts, positions = first.pipeline.facts(), dict(first.sources.positions)
    first.sources.stop()
    first.sources = None
    append(tmp_path, ".113.4,,d\n")
    second = Running(tmp_path)
    second.pipeline.restore(arrays, facts)
    second.start(positions)
    second.hear("leases_heard", 1)
    assert second.counters["leases_waiting"] == 2
    for part in parts(50):
        feed(second.pipeline, part)
    assert (second.counters["leases_live"], second.counters["leases_waiting"]) == (3, 1)
    assert not second.counters["leases_renewed"] and not second.said
    kept = second.files.leases.read_text().splitlines()
    assert [line.split(",")[2] for line in kept[1:]] == [
        "203.0.113.1",
        "203.0.113.2",
        "203.0.113.4",
    ]
    assert len(second.files.old_leases) == 1
    second.sources.stop()


def test_a_source_that_dies_is_started_again_and_tells_nothing_twice(tmp_path, running):
    append(tmp_path, HEAD + f"{START},,203.0.113.1,,a\n")
    one = running()
    one.hear("leases_heard", 1)
    (link,) = one.sources._links
    os.kill(child_of(link.pid), signal.SIGKILL)
    append(tmp_path, f"{START},,203.0.113.2,,b\n")
    one.hear("leases_heard", 2)
    assert one.said == [
        f"the process that hears {tmp_path}/told.csv of leases died, and was started again"
    ]
    assert one.counters["lease_sources_gone"] == 0


def test_a_source_whose_process_is_gone_is_said(tmp_path, running):
    append(tmp_path, HEAD)
    one = running()
    (link,) = one.sources._links
    child = child_of(link.pid)
    os.kill(link.pid, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    one.hear("lease_sources_gone", 1)
    assert one.said == [f"the process that hears {tmp_path}/told.csv of leases is gone"]


@pytest.mark.parametrize(
    ("line", "counter", "said"),
    [
        ("{later},,203.0.113.9,,b", "leases_early", "3,600 seconds ahead of now"),
        ("{old},,203.0.113.1,,b", "leases_late", "was told before"),
        ("5,4,203.0.113.1,,b", "leases_backwards", "it ends before it begins"),
        ("5,,2000::/3,,b", "leases_too_wide", "2000::/3 is no customer's: /40 is the widest"),
        ("5,,203.0.", "leases_ill_formed", "it has 3 fields, expected 5"),
    ],
)
def test_what_is_no_lease_is_said_once_and_counted(tmp_path, running, line, counter, said):
    append(tmp_path, HEAD + f"{START},,203.0.113.1,,a\n")
    one = running()
    one.hear("leases_heard", 1)
    bad = line.format(later=time.time_ns() + 3601 * SECOND, old=START - 3600 * SECOND)
    append(tmp_path, f"{bad}\n{bad}\n{START},,203.0.113.2,,a\n")
    one.hear("leases_heard", 2)
    assert one.counters[counter] == 2
    (text,) = one.said
    assert "a lease was not taken (line 3)" in text and said in text


def test_what_the_table_refuses_is_said_with_its_line_in_what_is_kept(tmp_path, running):
    append(tmp_path, HEAD + f"{START},,203.0.113.0/28,,a\n{START + 1},,203.0.113.1,,b\n")
    one = running()
    one.hear("leases_heard", 2)
    for part in parts(50):
        feed(one.pipeline, part)
    one.sources.say_refused()
    one.sources.say_refused()
    assert one.counters["leases_overlapping"] == 1
    assert one.said == [
        f"{one.files.leases}: a lease was not taken (line 3): another customer has the prefix, or a"
        " part of it, at that time; more of the kind are only counted"
    ]


def test_a_file_of_another_name_is_read_from_its_beginning(tmp_path, running):
    one = running()
    wait_for(lambda: one.sources.turn() or one.said, 5, "no file")
    assert "told.csv cannot be read" in one.said.pop() and not one.said
    append(tmp_path, HEAD + f"{START},,203.0.113.1,,a\n")
    one.hear("leases_heard", 1)
    (tmp_path / "new").write_text("until,from\n")
    (tmp_path / "new").replace(tmp_path / "told.csv")
    wait_for(lambda: one.sources.turn() or one.said, 5, "a header that is none")
    assert "line 1: expected from,until,prefix,ports,customer" in one.said[0]
    (tmp_path / "new").write_text(HEAD + f"{START},,203.0.113.2,,a\n")
    (tmp_path / "new").replace(tmp_path / "told.csv")
    one.hear("leases_heard", 2)


def test_no_more_wait_than_there_is_room_for(tmp_path, running, monkeypatch):
    now = time.time_ns() + 60 * SECOND
    append(tmp_path, HEAD + "".join(f"{now},,203.0.113.{n},,a{n}\n" for n in range(40)))
    one = Running(tmp_path)
    one.settings = msgspec.structs.replace(
        one.settings, limits=msgspec.structs.replace(one.settings.limits, max_leases=16)
    )
    one.start()
    one.hear("leases_waiting", 16)
    one.hear("leases_early", 24)
    one.sources.stop()


def test_of_what_is_kept_the_oldest_goes(tmp_path, running):
    one = running(keep_megabytes=1)
    append(tmp_path, HEAD)
    for n in range(20):
        lines = (
            f"{START},,10.{n}.{k >> 8}.{k & 255},,customer-{n}-{k}@isp.example\n"
            for k in range(2000)
        )
        append(tmp_path, "".join(lines))
        one.hear("leases_heard", 2000 * (n + 1))
        if not n:
            feed(one.pipeline, next(parts(50)))
            assert one.counters["leases_live"] == 2000
    all_ = [*one.files.old_leases, one.files.leases]
    assert len(all_) == 8
    for path in all_:
        in_force = [line for line in path.read_text().splitlines() if ",10.0." in line]
        assert len(in_force) == 2000, "each stands by itself"
        assert path.stat().st_size < 600_000


def test_a_system_is_asked_and_its_answer_is_kept(tmp_path, running):
    """By a process of its own, about who has an alert in the journal."""
    system = System()
    system.say("alice@isp.example")
    at = time.time() - 1_700_000_000
    (tmp_path / "state").mkdir()
    Journal(tmp_path / "state" / "journal.sqlite").write([alert(host=HOST, at=at, opened=at)])
    one = running(file="", resolver=ResolverSettings(system.url))
    one.hear("leases_heard", 1)
    one.hear("resolver_answered", 1)
    (line,) = one.files.leases.read_text().splitlines()[1:]
    assert known_as("alice@isp.example") in line and f",{HOST}," in line
    system.server.shutdown()


def test_moves_that_are_told_all_at_once_lead_nowhere_on_the_way(tmp_path, running):
    """To a sensor that was killed: an alert in the journal, and three moves in the file."""
    anew = running()
    told, _ = replayed(PCAPS / "reconnects.csv", anew.settings)
    known = next(a for a in told if a.block_recommended)
    ends = [START + n * 600 * SECOND for n in range(1, 5)]
    hosts = [f"203.0.113.{100 + n}" for n in range(4)]
    assert known.host == hosts[0]
    lines = [f"{START},,{hosts[0]},,bot@isp.example"]
    for n in range(3):
        since = START if n == 0 else ends[n - 1]
        lines.append(f"{since},{ends[n]},{hosts[n]},,bot@isp.example")
        lines.append(f"{ends[n]},,{hosts[n + 1]},,bot@isp.example")
        lines.append(f"{ends[n]},,{hosts[n]},,home{n}@isp.example")
    append(tmp_path, HEAD + "\n".join(lines) + "\n")
    anew.pipeline.adopt(known)
    anew.hear("leases_heard", 10)
    found = []
    for block in parts(100):
        later = block._replace(frames=block.frames[block.frames["ts"] > ends[2] + SECOND])
        found += feed(anew.pipeline, later) if len(later.frames) else []
        if found:
            break
    assert {a.id for a in found} == {known.id}
    assert [a.host for a in found if a.block_recommended][:1] == [hosts[3]]
    assert not {a.host for a in found} & set(hosts[1:3])
    first = next(a for a in found if a.host == hosts[3])
    assert first.handshake_proven and first.proven == known.proven
    assert [one.address for one in first.addresses] == hosts[::-1]
