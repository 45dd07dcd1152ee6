"""What a state folder holds of a customer: blocks that moved, his packets alone, a way to him."""

import csv
import json

import pytest

from lab.leases import known_as
from sensor.blocking.ledger import Ledger
from sensor.capture.merge import Captures
from sensor.decode.decoder import Decoder
from sensor.sinks.kafka.alert_source import AlertSource
from sensor.sinks.kafka.connection import KafkaSettings
from sensor.state.journal import Journal, Wanted
from tests.conftest import PCAPS, port25

SECOND = 10**9
START = 1_750_000_000 * SECOND
BOT, HOME = known_as("bot@isp.example"), known_as("home1@isp.example")
LEASES = ("pcaps/reconnects.pcap", "--leases", "pcaps/reconnects.csv")


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    run = port25("replay", "-q", "--state", folder, *LEASES)
    assert run.returncode == 0, run.stderr
    return folder


def test_one_block_moves_with_him(state):
    run = port25("decisions", "--state", state, "--json")
    made = [json.loads(line) for line in run.stdout.splitlines()]
    assert {one["customer"] for one in made} == {BOT}
    in_force = set()
    for one in made:
        if one["action"] == "release":
            in_force.remove(one["host"])
        else:
            in_force.add(one["host"])
        assert len(in_force) <= 1, "the old address is freed first"
    assert {one["since"] for one in made if one["action"] == "block"} == {made[0]["since"]}
    assert {one["level"] for one in made} == {0}
    ledger = Ledger(state / "blocking.sqlite", read_only=True)
    for k in range(1, 7):
        for moment in (0, 300, 599):
            now = START + (k * 600 + moment) * SECOND
            blocks = ledger.as_of(now, enforced=False)
            assert [one.host for one in blocks] == [f"203.0.113.{100 + k}"]


def test_he_is_found_by_his_pseudonym_and_by_an_address_he_had(state):
    journal = Journal(state / "journal.sqlite", read_only=True)
    for text in (BOT, BOT[:9], "203.0.113.102", "203.0.113.106"):
        (found,) = journal.heads(10, Wanted(text=text))
        assert (found.customer, found.host) == (BOT, "203.0.113.106")
    assert journal.heads(10, Wanted(text="203.0.113.10")) == []
    assert journal.heads(10, Wanted(text=HOME)) == []
    assert journal.heads_of(BOT) == journal.heads_of("203.0.113.100") == [found]


def test_only_his_packets_are_given_out(state, tmp_path):
    (alert,) = Journal(state / "journal.sqlite", read_only=True).heads(10)
    out = tmp_path / "out.pcapng"
    assert port25("evidence", alert.id, "--state", state, "-w", out).returncode == 0
    lent = {}
    with (PCAPS / "reconnects.csv").open() as file:
        for row in csv.DictReader(file):
            if row["customer"] == "bot@isp.example":
                lent[row["prefix"]] = len(lent)
    decoder, seen = Decoder((25,)), set()
    for block in Captures([str(out)]):
        for one in decoder.decode(block):
            client = one["src_lo"] if one["dport"] == 25 else one["dst_lo"]
            address = f"203.0.113.{int(client) & 255}"
            k = lent[address]
            assert START + k * 600 * SECOND <= one["ts"] < START + (k + 1) * 600 * SECOND
            seen.add(address)
    assert len(seen) == 6


def test_all_his_messages_are_in_one_partition_of_kafka(state):
    source = AlertSource(state / "journal.sqlite", "alerts", KafkaSettings())
    assert {one.key for one in source.read(0, 100)} == {BOT.encode()}


def test_he_is_released_by_his_pseudonym(state):
    last = port25("release", BOT, "--state", state, "--reason", "a mistake", "--by", "eve")
    assert last.stdout == b"released 203.0.113.106 (a dry run)\n"


def test_explain_finds_him_by_name_pseudonym_and_address():
    for host in ("bot@isp.example", BOT, "203.0.113.106"):
        run = port25("explain", host, "-r", *LEASES)
        assert run.returncode == 0 and b"spam source" in run.stdout, host
    run = port25("explain", "203.0.113.100", "-r", *LEASES)
    assert run.returncode == 2
    assert BOT.encode() in run.stderr and b"several had it by turns" in run.stderr
