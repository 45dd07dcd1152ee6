"""An event in numbers becomes an alert in words."""

import numpy as np
import pytest
from msgspec import UNSET

from detectors.score import Model
from lab.dns_messages import MX, A, answer, name, record
from lab.fuzz.dns import learn
from sensor.alerts.abuse import KINDS
from sensor.alerts.compose import Composer, Weighed
from sensor.alerts.lifecycle import STATES
from sensor.dns.known import new_known
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.subscribers import SubscriberPrefix, compile_subscribers
from sensor.hosts.windows import WINDOWS
from sensor.tracking.state import EVENT

HOST = 0xFFFF_CB00_7109  # 203.0.113.9
SERVERS = [0xFFFF_C000_0201 + n for n in range(12)]


@pytest.fixture
def composer() -> Composer:
    prefixes = (SubscriberPrefix("203.0.113.0/24"), SubscriberPrefix("2001:db8::/32", 56))
    named = {name("mx.example.org"): SERVERS[:3], name("mail.example.com"): SERVERS[5:6]}
    told = [record(name("d.example"), MX, b"\0\1" + one) for one in named]
    beside = [
        record(one, A, (server & 0xFFFFFFFF).to_bytes(4))
        for one, servers in named.items()
        for server in servers
    ]
    learn(known := new_known(100), answer(told, beside))
    return Composer(Model(), 200, compile_subscribers(prefixes).classes, known, "")


def weighed(
    state="raised", score=3000, proven=0, tick=1_000, counts=(), abuse="spam", **facts
) -> Weighed:
    event = np.zeros(1, EVENT)[0]
    event["ts"], event["opened"] = 1_000 * 10**9, 900 * 10**9
    event["host_lo"], event["score"], event["tick"] = HOST, score, tick
    event["state"], event["proven"] = STATES.index(state), proven
    event["revision"], event["destinations"] = 3, len(SERVERS)
    event["abuse"] = KINDS.index(abuse)
    evidence = Evidence(
        np.zeros((len(Count), len(WINDOWS)), np.int64), np.zeros(len(Fact), np.int64)
    )
    for what, count in counts:
        evidence.counts[what] = count
    evidence.facts[Fact.CLASS] = 1
    for what, value in facts.items():
        evidence.facts[Fact[what.upper()]] = value
    his = np.zeros(len(SERVERS), np.uint64)
    ticks = np.arange(tick, tick - len(SERVERS), -1, np.uint32)
    return Weighed(event, evidence, his, np.array(SERVERS, np.uint64), ticks)


def test_numbers_become_an_alert(composer):
    alert = composer.alert(weighed(connections=50, first_seen=400))
    assert (alert.host, alert.state, alert.revision) == ("203.0.113.9", "raised", 3)
    assert (alert.score, alert.connections, alert.first_seen) == (300.0, 50, 400)
    assert alert.time == "1970-01-01T00:16:40.000000Z"
    assert alert.sensor is UNSET
    assert composer._replace(sensor="edge-1").alert(weighed()).sensor == "edge-1"


def test_ten_destinations_are_listed_and_all_are_named(composer):
    alert = composer.alert(weighed())
    assert [d.address for d in alert.destinations] == [f"192.0.2.{n}" for n in range(1, 11)]
    assert [d.last_seen for d in alert.destinations] == list(range(1000, 990, -1))
    assert [(x.name, x.provider, x.addresses) for x in alert.exchangers] == [
        ("mx.example.org", "example.org", 3),
        ("mail.example.com", "example.com", 1),
    ]


def test_times_are_those_of_packets_where_sensor_time_runs_ahead(composer):
    alert = composer.alert(weighed(tick=1_060, first_seen=460))
    assert (alert.first_seen, alert.destinations[0].last_seen) == (400, 1_000)


@pytest.mark.parametrize(
    ("above", "proven", "severity"),
    [(299, 0, "medium"), (300, 0, "medium"), (299, 1, "high"), (300, 1, "critical")],
)
def test_severity(composer, above, proven, severity):
    alert = composer.alert(weighed(score=composer.model.raise_at + above, proven=proven))
    assert alert.severity == severity


def test_a_block_is_recommended_by_the_rule(composer):
    proven = composer.alert(weighed(proven=1, counts=[(Count.FIRST_PROVEN, 200)]))
    assert proven.block_recommended
    assert proven.block_reason.startswith("the host itself spoke to ")
    earlier = composer.alert(weighed(proven=1))
    assert earlier.block_reason == "the host itself spoke to enough new destinations before"
    assert not composer.alert(weighed()).block_recommended
    composer.classes["shared"] = 1
    assert composer.alert(weighed(proven=1)).block_reason.startswith("shared address")


@pytest.mark.parametrize(("below", "why"), [(0, "the evidence has lapsed"), (1, "forged SYNs")])
def test_an_alert_that_is_closed(composer, below, why):
    score = composer.model.clear_at + below
    assert why in composer.alert(weighed("closed", score)).block_reason


def test_what_is_kept_of_a_watched_host_is_its_own(composer):
    one = weighed()
    watched = composer.watched(one)
    one.evidence.counts[:], one.evidence.facts[:] = 7, 7
    assert not watched.evidence.counts.any()
    assert watched.evidence.fact(Fact.CLASS) == 1
    assert (watched.host, watched.score, len(watched.exchangers)) == ("203.0.113.9", 3000, 2)


@pytest.mark.parametrize("abuse", KINDS)
def test_what_may_be_blocked_is_a_setting(composer, abuse):
    one = weighed(proven=1, counts=[(Count.FIRST_PROVEN, 200)], abuse=abuse)
    allowed = abuse in ("spam", "worm", "credential guessing", "relay testing")
    alert = composer.alert(one)
    assert (alert.abuse, alert.block_recommended) == (abuse, allowed)
    if not allowed:
        assert "200 new destinations" in alert.block_reason
        assert alert.block_code == ("block.unknown" if abuse == "unknown" else "block.kind")
    assert composer._replace(kinds=frozenset({abuse})).alert(one).block_recommended
    assert not composer._replace(kinds=frozenset()).alert(one).block_recommended


@pytest.mark.parametrize(
    ("seen", "shared"),
    [
        ({"helo_names": 30, "syn_shapes": 4}, True),
        ({"helo_names": 8, "logins_taken": 9}, True),
        ({"helo_names": 8, "syn_shapes": 2}, True),
        ({"helo_names": 1, "syn_shapes": 3, "logins_taken": 6}, True),
        ({"helo_names": 500, "syn_shapes": 1}, False),  # a bot that makes them up
        ({"helo_names": 1, "logins_taken": 40}, False),  # stolen accounts that work
        ({"helo_names": 3, "syn_shapes": 3, "logins_taken": 3}, False),  # a home
    ],
)
def test_an_address_that_looks_shared_is_never_recommended_for_a_block(composer, seen, shared):
    alert = composer.alert(weighed(proven=1, counts=[(Count.FIRST_PROVEN, 200)], **seen))
    assert alert.shared_address is shared
    assert alert.block_recommended is not shared
    assert (alert.block_code == "block.seems_shared") is shared
