"""All machines by their last word: what is told of each, what is left out, what is bounded."""

import signal
import time

import msgspec
import pytest

from lab.waiting import wait_for
from sensor.alerts.notice import HEALTH, SCHEMA, Health, Notice
from sensor.base.units import DAY, SECOND
from sensor.cluster.brokers import brokers_of
from sensor.cluster.fleet import Fleet, members_of
from sensor.console.web.fleet import STALE, FleetPage
from sensor.settings import Settings, settings_said
from sensor.state.folder import StateFolder
from tests.cluster.test_decide import Desk
from tests.conftest import PCAPS

NOW = 1_750_000_000 * SECOND


DIGEST = b'"aa","settings_digests":{"dns":5}'


def word(name, at=NOW, digest="aa", **counters):
    counters["settings"] = {"settings_digest": digest}
    return msgspec.json.encode(Health(HEALTH, at, "", name, "1.2.3", counters))


def take(fleet, *words, now=NOW):
    for one in words:
        fleet.take(b"", one, now)


def test_each_machine_by_its_last_word_and_what_others_know_of_it():
    fleet = Fleet("port25-decide")
    capture = {"packets_per_second": 1200.5, "loss_ratio": 0.25}
    known = {"north": {"ahead": 0.002, "behind": 1.5, "left_behind": 1}}
    other = {"north": {"ahead": 0.001, "behind": 2.5, "left_behind": 0}}
    take(
        fleet,
        word("port25-decide"),
        word(
            "port25-correlate-one",
            partitions={"0": 7, "2": 1},
            sensors=known,
            cluster={"commit_latency_seconds": 0.75},
        ),
        word("port25-correlate-two", partitions={"1": 0}, sensors=other),
        word("south", digest="bb"),
        word("north", capture=capture, alone={"judges_alone": 1}),
        word("north", at=NOW - SECOND, capture={"packets_per_second": 1}),
    )
    said = Notice(SCHEMA, NOW, "", "cluster", "Kafka takes no segments")
    fleet.take(b"north", msgspec.json.encode(said), NOW)
    north, south, one, two, decides = fleet.members(NOW)
    assert (north.name, north.role, north.version) == ("north", "sensor", "1.2.3")
    assert (north.packets, north.loss, north.behind, north.ahead) == (1200.5, 0.25, 2.5, 0.002)
    assert (north.alone, south.alone) == (True, False)
    assert north.left_behind and not north.differs and north.notice == said.text
    assert (south.differs, south.behind, south.packets) == (True, None, None)
    assert (one.role, one.partitions) == ("correlates", {"0": 7, "2": 1})
    assert two.partitions == {"1": 0} and decides.role == "decides"
    assert (one.latency, two.latency) == (0.75, None)
    # What one that is silent knew of sensors no longer counts.
    later = NOW + 120 * SECOND
    take(fleet, word("port25-correlate-two", later, partitions={}, sensors={}), now=later)
    assert fleet.members(later)[0].behind is None


def test_who_is_silent_for_a_week_or_beyond_the_ceiling_is_forgotten_and_counted():
    fleet = Fleet("port25-decide", most=3)
    take(fleet, *(word(f"s{n}", NOW + n) for n in range(5)), now=NOW + DAY)
    assert [one.name for one in fleet.members(NOW)] == ["s2", "s3", "s4"]
    assert [one.name for one in fleet.members(NOW + 7 * DAY + 3)] == ["s3", "s4"]
    assert fleet.counters["fleet_forgotten"] == 3


def test_which_settings_differ_is_said_by_name():
    fleet = Fleet("port25-decide")

    def said(name, **changed):
        settings = msgspec.structs.replace(Settings(), **changed)
        counters = {"settings": settings_said(settings)}
        return msgspec.json.encode(Health(HEALTH, NOW, "", name, "1.2.3", counters))

    take(fleet, said("a"), said("b"), said("c", ports=(25, 2525), dns=False), word("old"))
    a, b, c, old = fleet.members(NOW)
    assert (a.differing, b.differing, old.differing) == ([], [], [])
    assert c.differs and c.differing == ["dns", "ports"]


@pytest.mark.parametrize(
    "value",
    [
        b"", b"{", b"[]", b"\xff", b'{"schema":"port25.health/1"}', b"[" * 100_000,
        word("s", partitions={"0": "many"}).replace(b'"s"', b'"port25-correlate-s"'),
        word("s", live={"packets_per_second": 10**400}),
        word("port25-correlate-s", sensors={"north": {"ahead": 1}}).replace(b'"aa"', DIGEST),
        word("s", sensors={"north": 3}).replace(b'"sensor":"s"', b'"sensor":"port25-correlate-s"'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_counted(value):
    fleet = Fleet("port25-decide")
    take(fleet, value)
    assert fleet.counters["fleet_unreadable"] == 1 and fleet.members(NOW) == []


def test_a_clock_that_is_ahead_is_not_believed():
    fleet = Fleet("port25-decide")
    take(fleet, word("s", NOW + DAY))
    assert fleet.members(NOW)[0].heard == NOW


def test_a_file_that_is_none_shows_nobody(tmp_path):
    assert members_of(tmp_path) == []
    StateFolder(tmp_path).fleet.write_bytes(b'[{"name":3}]')
    assert members_of(tmp_path) == []


@pytest.fixture
def desk(broker, tmp_path):
    made = Desk(broker, tmp_path)
    text = made.config.read_text()
    made.config.write_text(text.replace("[kafka]\n", "[kafka]\nhealth_interval = 1\n"))
    yield made
    for process in made.processes:
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0


def test_who_decides_leaves_the_fleet_for_the_page(desk, tmp_path):
    one = desk.decide("one")
    wait_for(lambda: one.says("decides;"), 60, "the election")
    desk.forward(PCAPS / "fast_bot.pcap", "north")
    desk.correlate("--name", "two")

    def heard():
        return {member.name: member for member in members_of(one.state)}

    both = {"port25-correlate-two", "port25-decide"}
    wait_for(lambda: both <= heard().keys(), 60, "a word of each")
    found = heard()
    assert found["port25-correlate-two"].partitions.keys() == {"0"}
    assert found["port25-decide"].role == "decides"
    assert len({member.settings for member in found.values()}) == 1
    now = time.time_ns()
    kafka = brokers_of(one.state)
    assert kafka.answers and [broker.reachable for broker in kafka.brokers] == [True]
    assert kafka.heard > now - 60 * SECOND
    page = FleetPage(now, SECOND, now, STALE, list(found.values()), kafka)
    assert msgspec.json.decode(msgspec.json.encode(page), type=FleetPage) == page
