"""The customer behind the address: one alert wherever he goes, and nobody inherits it."""

import datetime
import json
import subprocess
import sys

import msgspec
import pytest

import sensor.pipeline as module
from lab.leases import known_as, lend, write
from lab.outputs import alerts_of, feed, finish
from sensor.blocking.ledger import Ledger
from sensor.blocking.settings import BlockingSettings
from sensor.capture.merge import Captures
from sensor.hosts.subscribers import Exemption
from sensor.leases.file import LeaseFile
from sensor.pipeline import Pipeline
from sensor.settings import Settings, load_settings, policy_of
from sensor.state.journal import Row
from tests.conftest import PCAPS, ROOT, port25

SECOND = 10**9
START = 1_750_000_000 * SECOND
BOT = known_as("bot@isp.example")
BOT_PCAP = PCAPS / "fast_bot.pcap"  # 203.0.113.10, for a minute


def replay(name, leases=None, settings=None):
    path = PCAPS / f"{name}.toml"
    settings = settings or load_settings(str(path) if path.exists() else None)
    pipeline = Pipeline(settings)
    if leases is not None:
        file = LeaseFile(str(leases), settings.customers)
        pipeline.lend(file.changes, file.counters)
    return alerts_of(pipeline.run(Captures([str(PCAPS / f"{name}.pcap")]))), pipeline


def told(alerts):
    return [(a.host, a.state, a.block_code) for a in alerts]


@pytest.fixture(scope="module")
def reconnects():
    return replay("reconnects", PCAPS / "reconnects.csv")


def test_a_bot_that_reconnects_is_one_alert_that_goes_on(reconnects):
    alerts, _ = reconnects
    assert {a.customer for a in alerts} == {BOT}
    assert len({a.id for a in alerts}) == 1
    assert [a.revision for a in alerts] == list(range(1, len(alerts) + 1))
    hosts = list(dict.fromkeys(a.host for a in alerts))
    assert hosts == [f"203.0.113.{100 + k}" for k in range(7)]
    last = alerts[-1]
    assert [one.address for one in last.addresses] == hosts[::-1]
    since = [one.since for one in last.addresses]
    assert since == [START + k * 600 * SECOND for k in range(6, -1, -1)]
    assert [one.until for one in last.addresses] == [None, *since[:-1]]


def test_the_old_address_is_freed_before_the_new_one_is_named(reconnects):
    alerts, _ = reconnects
    for k in range(1, 7):
        moved = [a for a in alerts if a.ts == START + k * 600 * SECOND]
        assert told(moved) == [
            (f"203.0.113.{99 + k}", "refreshed", "block.away"),
            (f"203.0.113.{100 + k}", "refreshed", "block.proven"),
        ]
        assert [a.block_recommended for a in moved] == [False, True]


def test_a_later_owner_begins_at_the_prior(reconnects):
    _, pipeline = reconnects
    assert pipeline.counters()["hosts"]["hosts"] == 7
    for k in range(6):
        watching = Pipeline(Settings(), watch=known_as(f"home{k}@isp.example"))
        lend_file(watching, "reconnects")
        outputs = list(watching.run(Captures([str(PCAPS / "reconnects.pcap")])))
        seen = [one.watched for one in outputs if one.watched]
        assert seen[0].score == -300, "centibans: the prior"
        assert max(one.score for one in seen) == -300


def lend_file(pipeline, name):
    file = LeaseFile(str(PCAPS / f"{name}.csv"), pipeline.settings.customers)
    pipeline.lend(file.changes, file.counters)


def test_without_leases_each_address_is_a_host():
    alerts, _ = replay("reconnects")
    assert len({a.host for a in alerts}) > 3
    assert b'"customer"' not in msgspec.json.encode(alerts)


def test_behind_a_shared_address_each_bot_is_found_and_no_home():
    leases = PCAPS / "shared_address.csv"
    alerts, pipeline = replay("shared_address", leases)
    ports = {}
    for line in leases.read_text().splitlines()[1:]:
        _, _, address, block, name = line.split(",")
        if name.startswith("bot"):
            ports[known_as(name)] = f"{address}:{block}"
    assert {a.customer: a.host for a in alerts} == ports
    assert len(ports) == 10
    blocked = {a.customer for a in alerts if a.block_recommended}
    assert blocked == ports.keys()
    assert not any(a.shared_address for a in alerts)
    assert pipeline.counters()["customers"]["customers_known"] == 210


def test_however_packets_and_buffers_are_cut(monkeypatch, reconnects):
    expected = msgspec.json.encode(reconnects[0])
    monkeypatch.setattr(module, "_EVENTS", 2)
    assert msgspec.json.encode(replay("reconnects", PCAPS / "reconnects.csv")[0]) == expected
    pipeline, alerts = Pipeline(Settings()), []
    lend_file(pipeline, "reconnects")
    for block in Captures([str(PCAPS / "reconnects.pcap")]):
        for at in range(0, len(block.frames), 7):
            part = block._replace(frames=block.frames[at : at + 7], number=block.number + at)
            alerts += feed(pipeline, part)
            alerts += alerts_of(pipeline.catch_up(pipeline.packet_time))
    assert msgspec.json.encode(alerts + finish(pipeline)) == expected


@pytest.mark.slow
def test_a_snapshot_keeps_leases(reconnects):
    alerts, pipeline = [], Pipeline(Settings())
    lend_file(pipeline, "reconnects")
    (block,) = Captures([str(PCAPS / "reconnects.pcap")])
    for at in range(0, len(block.frames), 450):
        part = block._replace(frames=block.frames[at : at + 450], number=block.number + at)
        alerts += feed(pipeline, part)
        later = Pipeline(Settings())
        later.restore({k: a.copy() for k, a in pipeline.arrays().items()}, pipeline.facts())
        file = LeaseFile(str(PCAPS / "reconnects.csv"), later.settings.customers)
        later.lend(file.changes[file.changes["ts"] > pipeline.packet_time], file.counters)
        pipeline = later
    alerts += finish(pipeline)
    assert msgspec.json.encode(alerts) == msgspec.json.encode(reconnects[0])


def bot(tmp_path, lines, **settings):
    """The fast bot, with leases."""
    pipeline = Pipeline(Settings(**settings))
    file = lend(pipeline, tmp_path / "leases", lines)
    alerts = alerts_of(pipeline.run(Captures([str(BOT_PCAP)])))
    counters = pipeline.counters()["customers"]
    return alerts, counters, [one.text for one in file.faults(pipeline.leases_refused, counters)]


def test_an_address_that_becomes_a_customers_is_told_no_more(tmp_path):
    begin = START + 30 * SECOND
    alerts, _, _ = bot(tmp_path, [f"{begin},,203.0.113.10,,alice"])
    before = [a for a in alerts if not a.customer]
    assert told(before)[-1] == ("203.0.113.10", "closed", "block.lent")
    assert begin <= before[-1].ts <= begin + 10 * SECOND
    after = [a for a in alerts if a.customer]
    assert after[0].customer == known_as("alice") and after[0].state == "raised"
    assert after[0].first_seen >= begin // SECOND
    assert after[0].score < before[-2].score


def test_when_nobody_has_the_address_it_is_judged_by_itself(tmp_path):
    end = START + 30 * SECOND
    alerts, _, _ = bot(tmp_path, [f"{START},{end},203.0.113.10,,alice"])
    of_alice = [a for a in alerts if a.customer]
    assert told(of_alice)[-1] == ("203.0.113.10", "refreshed", "block.away")
    assert of_alice[-1].ts == end
    (raised,) = [a for a in alerts if not a.customer and a.state == "raised"]
    assert raised.first_seen >= end // SECOND


@pytest.mark.parametrize(
    ("line", "counter"),
    [
        (f"{START + 10 * SECOND},,203.0.113.0/28,,bob", "leases_overlapping"),
        (f"{START + 10 * SECOND},,203.0.113.10,0-1023,bob", "leases_overlapping"),
        (f"{START + 10 * SECOND},{START + 20 * SECOND},203.0.113.10,,bob", "leases_overlapping"),
        (f"{START + 20 * SECOND},{START + 10 * SECOND},203.0.113.10,,bob", "leases_backwards"),
        (f"{START - 7200 * SECOND},,203.0.113.10,,bob", "leases_late"),
        (f"{START + 10 * SECOND},,203.0.0.0/8,,bob", "leases_too_wide"),
        (f"{START + 10 * SECOND},,192.0.2.25,,bob", "leases_of_own_servers"),
        (f"{START + 10 * SECOND},,203.0.113.", "leases_ill_formed"),
    ],
)
def test_a_bad_lease_changes_nothing_but_its_counter(tmp_path, line, counter):
    good = f"{START - 3600 * SECOND},{START + 3600 * SECOND},203.0.113.10,,alice"
    own = {"own_mail_servers": ("192.0.2.25",)}
    alone, counts, said = bot(tmp_path, [good], **own)
    assert not said and counts["leases_taken"] == 1
    alerts, counts, said = bot(tmp_path, [good, line], **own)
    assert (counts[counter], counts["leases_taken"]) == (1, 1)
    assert len(said) == 1 and "1 lease not taken, the first in line 3: " in said[0]
    assert alerts == alone and {a.customer for a in alerts} == {known_as("alice")}


@pytest.mark.parametrize(
    ("line", "counter"),
    [
        (f"{START + 10 * SECOND},,203.0.113.99,,alice", "leases_overlapping"),
        (f"{START + 10 * SECOND},,203.0.113.96/30,,alice", "leases_overlapping"),
        (f"{START + 10 * SECOND},,203.0.113.99,1024-2047,alice", "leases_overlapping"),
        (f"{START + 10 * SECOND},,192.0.2.25,,alice", "leases_of_own_servers"),
        (f"{START + 10 * SECOND},,0.0.0.0/1,,alice", "leases_too_wide"),
        (f"{START + 9 * SECOND},{START},203.0.113.99,,alice", "leases_backwards"),
        (f"{START - 7200 * SECOND},,203.0.113.99,,alice", "leases_late"),
        (f"{START + 10 * SECOND},,203.0.113.9", "leases_ill_formed"),
    ],
)
def test_no_bad_lease_moves_a_block_to_a_bystander(tmp_path, line, counter):
    hour = 3600 * SECOND
    good = [
        f"{START - hour},{START + hour},203.0.113.10,,alice",
        f"{START - hour},{START + hour},203.0.113.99,,home",
    ]
    own = {"own_mail_servers": ("192.0.2.25",)}
    alerts, counts, _ = bot(tmp_path, [*good, line], **own)
    assert (counts[counter], counts["leases_taken"]) == (1, 2)
    ledger = Ledger(tmp_path / "blocking.sqlite")
    policy = policy_of(Settings(**own, blocking=BlockingSettings(mode="enforce")))
    rows = [Row(number, one) for number, one in enumerate(alerts, 1)]
    made = ledger.take("journal", rows, policy)
    assert {(one.host, one.customer) for one in made if one.action == "block"} == {
        ("203.0.113.10", known_as("alice"))
    }


def test_an_alert_without_told_end_goes_with_the_next_lease(tmp_path):
    lines = [f"{START},,203.0.113.10,,alice", f"{START + 30 * SECOND},,203.0.113.10,,bob"]
    alerts, counts, said = bot(tmp_path, lines)
    assert (counts["leases_replaced"], said) == (1, [])
    of_alice = [a for a in alerts if a.customer == known_as("alice")]
    assert told(of_alice)[-1][2] == "block.away"
    of_bob = [a for a in alerts if a.customer == known_as("bob")]
    assert of_bob[0].state == "raised" and of_bob[0].first_seen >= START // SECOND + 30


def test_an_exempt_address_is_so_for_its_customer(tmp_path):
    exempt = (Exemption("203.0.113.10", "mail server", load("2099-01-01")),)
    alerts, _, _ = bot(tmp_path, [f"{START},,203.0.113.10,,alice"], exempt=exempt)
    assert alerts == []


@pytest.mark.parametrize(("who", "exempt"), [("alice", True), ("bob", False)])
def test_an_exempt_customer_is_so_wherever_he_is_and_nobody_after_him(tmp_path, who, exempt):
    exemptions = (Exemption(known_as("alice"), "own test", load("2099-01-01")),)
    moment = START + 2 * SECOND
    lines = [f"{START},{moment},203.0.113.10,,alice", f"{moment},,203.0.113.10,,{who}"]
    alerts, counts, said = bot(tmp_path, lines, exempt=exemptions)
    assert said == [] and counts["leases_taken"] == 2
    assert [a.customer for a in alerts if a.state == "raised"] == (
        [] if exempt else [known_as(who)]
    )


def test_an_exempt_customer_is_so_at_each_of_his_addresses(reconnects):
    usual, _ = reconnects
    settings = Settings(exempt=(Exemption(BOT, "own test", load("2099-01-01")),))
    pipeline = Pipeline(settings)
    lend_file(pipeline, "reconnects")
    assert usual and alerts_of(pipeline.run(Captures([str(PCAPS / "reconnects.pcap")]))) == []
    assert pipeline.counters()["connections"]["suppressed_by_exemption"] > 0


def test_one_who_is_exempt_with_an_alert_keeps_it_until_it_is_over(tmp_path):
    pipeline = Pipeline(Settings())
    lend(pipeline, tmp_path / "leases", [f"{START},,203.0.113.10,,alice"])
    (block,) = Captures([str(BOT_PCAP)])
    (raised, *_) = feed(pipeline, block._replace(frames=block.frames[:400]))
    exempt = Exemption(known_as("alice"), "own test", load("2099-01-01"))
    pipeline.reload(Settings(exempt=(exempt,)))
    later = feed(pipeline, block._replace(frames=block.frames[400:])) + finish(pipeline)
    assert later and {one.id for one in later} == {raised.id}


def load(day):
    return datetime.date.fromisoformat(day)


def test_other_settings_leave_a_customer_his_class(tmp_path):
    alerts, pipeline = [], Pipeline(Settings())
    lend(pipeline, tmp_path / "leases", [f"{START},,203.0.113.10,,alice"])
    (block,) = Captures([str(BOT_PCAP)])
    alerts += feed(pipeline, block._replace(frames=block.frames[:40]))
    exempt = (Exemption("203.0.113.10", "mail server", load("2099-01-01")),)
    for _ in range(3):
        pipeline.reload(Settings(exempt=exempt))
    classes = pipeline._state.subscribers.classes
    assert len(classes) == len(Pipeline(Settings(exempt=exempt))._state.subscribers.classes)
    assert alerts == []
    assert feed(pipeline, block._replace(frames=block.frames[40:])) == []


@pytest.mark.slow
def test_the_fixtures_are_what_their_script_makes(tmp_path):
    subprocess.run([sys.executable, "pcaps/customers.py", tmp_path], cwd=ROOT, check=True)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (PCAPS / path.name).read_bytes(), path.name
    assert len(list(tmp_path.iterdir())) == 5


def test_the_command(tmp_path):
    run = port25("replay", "--json", "pcaps/reconnects.pcap", "--leases", "pcaps/reconnects.csv")
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert {line["customer"] for line in lines} == {BOT}
    assert b"leases_taken 13" in run.stderr and b"bot@isp" not in run.stdout + run.stderr
    for path, said in (
        (tmp_path / "none", b"No such file"),
        (BOT_PCAP, b"line 1: expected from,until,prefix,ports,customer"),
    ):
        run = port25("replay", "pcaps/reconnects.pcap", "--leases", str(path))
        assert run.returncode == 1 and said in run.stderr
    bad = write(tmp_path / "bad", ["5,3,203.0.113.7,,a"])
    run = port25("replay", "-q", "pcaps/home_user.pcap", "--leases", str(bad))
    assert run.returncode == 0
    assert b"1 lease not taken, the first in line 2: it ends before it begins" in run.stderr
