"""What persons do at the desk reaches Kafka where that is wanted, as its schema says."""

import json

import jsonschema

from lab import ROOT
from sensor.blocking.desk import Desk
from sensor.blocking.handling import Act
from sensor.state.journal import Journal
from tests.conftest import PCAPS, port25
from tests.kafka.test_delivery import Sent


def replayed(sent):
    state = ["-c", str(sent.config), "--state", str(sent.state)]
    port25("replay", "-q", *state, str(PCAPS / "slow_bot.pcap"), check=True, timeout=200)


def test_acts_are_on_their_topic_once_in_order(broker, tmp_path):
    sent = Sent(broker, tmp_path, 'acts_topic = "acts.of.the.desk"')
    replayed(sent)
    (head,) = Journal(sent.state / "journal.sqlite", True).heads(1)
    desk = Desk(sent.state / "desk.sqlite")
    desk.act({head.id: 1}, 10**18, Act("take", "ann"))
    desk.act({head.id: 1}, 10**18 + 1, Act("done", "ann", "called", verdict="bot"))
    desk.exempt(head.host, 1, 10**18 + 2, "bob", "own server")
    desk.close()
    replayed(sent)
    schema = json.loads((ROOT / "docs" / "act.schema.json").read_text())
    found = [json.loads(one.value) for one in broker.read("acts.of.the.desk")]
    for one in found:
        jsonschema.validate(one, schema)
    assert sorted((one["act"], one["by"], one["host"]) for one in found) == [
        ("done", "ann", head.host), ("exempt", "bob", head.host), ("take", "ann", head.host),
    ]  # fmt: skip
