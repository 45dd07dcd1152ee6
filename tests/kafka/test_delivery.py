"""From a replay through journal and ledger to Kafka, and what a consumer finds there."""

import json
import subprocess
import sys
import uuid

import jsonschema
import pytest
from py_ocsf_models.events.findings.detection_finding import DetectionFinding

from lab.broker import by_id
from sensor.alerts.alert import json_schema as alert_schema
from sensor.blocking.decision import json_schema as decision_schema
from sensor.blocking.ledger import Ledger
from sensor.sinks.outbox import Outbox
from sensor.state.journal import Journal
from tests.conftest import PCAPS, ROOT, port25

DEMO = str(PCAPS / "demo.pcap")


class Sent:
    """A replay into a broker, with topics of its own."""

    def __init__(self, broker, folder, more: str = "", mode: str = "enforce") -> None:
        run = uuid.uuid4().hex[:8]
        self.broker, self.folder = broker, folder
        self.alerts, self.blocklist, self.health = (
            f"{kind}-{run}" for kind in ("alerts", "blocklist", "health")
        )
        self.state = folder / "state"
        self.config = folder / "port25.toml"
        self.config.write_text(
            f'[blocking]\nmode = "{mode}"\n[kafka]\nbootstrap = ["{broker.bootstrap}"]\n'
            f'alerts_topic = "{self.alerts}"\nblocklist_topic = "{self.blocklist}"\n'
            f'health_topic = "{self.health}"\ndesk_topic = "desk-{run}"\nsensor = "north"\n{more}\n'
        )

    def replay(self, *words: str):
        return port25(
            "replay", "-q", "--json", "-c", str(self.config), "--state", str(self.state), DEMO,
            *words, timeout=200,
        )  # fmt: skip


def test_the_topic_holds_what_the_replay_printed(broker, tmp_path):
    sent = Sent(broker, tmp_path)
    done = sent.replay()
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    records = broker.read(sent.alerts)
    assert sorted(r.value for r in records) == sorted(printed)
    for record in records:
        told = json.loads(record.value)
        jsonschema.validate(told, alert_schema())
        headers = {name: value.decode() for name, value in record.headers}
        assert headers["schema"] == "port25.alert/1" == told["schema"]
        assert headers["content-type"] == "application/json"
        assert headers["producer"].startswith("port25/")
        assert (headers["id"], headers["revision"]) == (told["id"], str(told["revision"]))
        assert record.key.decode() == told["host"]
    by_host: dict[str, list[dict]] = {}
    for record in records:
        by_host.setdefault(record.key, []).append(json.loads(record.value))
    for told in by_host.values():
        assert [t["ts"] for t in told] == sorted(t["ts"] for t in told)
    again = sent.replay()
    assert (again.returncode, again.stdout) == (0, b"")
    assert len(broker.read(sent.alerts)) == len(printed), "a second replay sends nothing"


def test_the_block_list_holds_the_last_word_on_each(broker, tmp_path):
    sent = Sent(broker, tmp_path)
    assert sent.replay().returncode == 0
    ledger = Ledger(sent.state / "blocking.sqlite", read_only=True)
    blocked = {e.decision.host for e in ledger.page() if e.decision.action == "block"}
    last = {r.key.decode(): r.value for r in broker.read(sent.blocklist)}
    assert last.keys() == {f"{host}@north" for host in blocked}
    assert len(blocked) == 4
    for value in last.values():
        if value is not None:
            jsonschema.validate(json.loads(value), decision_schema())
    words = ("--all", "--reason", "end of the test", "--by", "mary", "--state", str(sent.state))
    assert port25("release", *words).returncode == 0
    assert sent.replay().returncode == 0
    last = {r.key.decode(): r.value for r in broker.read(sent.blocklist)}
    assert set(last.values()) == {None}, "a tombstone releases"


def test_a_dry_run_puts_nothing_on_the_block_list(broker, tmp_path):
    sent = Sent(broker, tmp_path, mode="dry-run")
    assert sent.replay().returncode == 0
    assert broker.read(sent.blocklist) == []
    ledger = Ledger(sent.state / "blocking.sqlite", read_only=True)
    assert {e.decision.action for e in ledger.page()} == {"block"}


def test_alerts_as_ocsf(broker, tmp_path):
    sent = Sent(broker, tmp_path, 'format = "ocsf"')
    assert sent.replay().returncode == 0
    journal = Journal(sent.state / "journal.sqlite", read_only=True)
    alerts = {(a.id, a.revision): a for _, a in journal.read()}
    records = by_id(broker.read(sent.alerts))
    assert records.keys() == alerts.keys()
    for key, record in records.items():
        told = json.loads(record.value)
        DetectionFinding.model_validate(told)
        assert told["type_uid"] == told["class_uid"] * 100 + told["activity_id"]
        assert told["finding_info"]["uid"] == key[0]
        assert told["time"] == alerts[key].ts // 1_000_000
        assert told["resources"][0]["uid"] == alerts[key].host


def test_topics_are_made_as_they_should_be_and_held_against_that(broker, tmp_path):
    sent = Sent(broker, tmp_path, "partitions = 2")
    broker.create(sent.blocklist, cleanup_policy="delete")
    done = sent.replay()
    assert done.returncode == 0
    said = done.stderr.decode()
    assert f"topic {sent.blocklist}: cleanup.policy is delete, should be compact" in said
    assert sent.alerts not in said.replace(f'"{sent.alerts}"', "")
    assert len({r.partition for r in broker.read(sent.alerts)}) <= 2


def test_what_is_too_large_is_noted_and_passed_over(broker, tmp_path):
    """Others go on; nothing waits for it."""
    sent = Sent(broker, tmp_path, 'compression = "none"')
    sizes = sorted(map(len, port25("replay", "-q", "--json", DEMO, check=True).stdout.splitlines()))
    # Key, headers and what Kafka puts around a record are some 200 bytes.
    broker.create(sent.alerts, max_message_bytes=str(sizes[len(sizes) // 2] + 200))
    done = sent.replay()
    assert done.returncode == 0, done.stderr
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    records = by_id(broker.read(sent.alerts))
    outbox = Outbox(sent.state / "outbox.sqlite", read_only=True)
    refused = {number for _, source, number, _ in outbox.refused()}
    journal = Journal(sent.state / "journal.sqlite", read_only=True)
    kept = {n: (a.id, a.revision) for n, a in journal.read()}
    assert {kept[n] for n in refused} == set(kept.values()) - records.keys()
    assert 0 < len(refused) < len(printed)
    assert "too large for the topic" in done.stderr.decode()


def test_without_topics_that_must_not_be_made_everything_waits(broker, tmp_path):
    sent = Sent(broker, tmp_path, "create_topics = false")
    done = sent.replay()
    assert done.returncode == 1
    assert "no topic" in done.stderr.decode()
    assert "messages wait for Kafka" in done.stderr.decode()
    journal = Journal(sent.state / "journal.sqlite", read_only=True)
    assert len(list(journal.read())) > 20
    for topic in (sent.alerts, sent.blocklist, sent.health):
        broker.create(topic, cleanup_policy="compact" if topic == sent.blocklist else "delete")
    assert sent.replay().returncode == 0
    assert len(by_id(broker.read(sent.alerts))) == len(list(journal.read()))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('sasl = "plain"', "kafka.user: missing"),
        ('sasl = "plain"\nuser = "x"', "kafka.password_file: missing"),
        ('sasl = "plain"\nuser = "x"\npassword_file = "/nowhere"', "kafka.password_file"),
        ('security = "tls"\nca_file = "/nowhere"', "kafka.ca_file"),
    ],
)
def test_settings_that_cannot_be_used_here(tmp_path, more, said):
    class Nobody:
        bootstrap = "127.0.0.1:1"

    done = Sent(Nobody, tmp_path, more).replay()
    assert done.returncode == 2
    assert said in done.stderr.decode()


def test_the_consumer_in_the_documentation(broker, tmp_path):
    sent = Sent(broker, tmp_path)
    done = sent.replay()
    page = (ROOT / "docs" / "kafka.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    for written, here in (
        ("port25.alerts", sent.alerts),
        ("127.0.0.1:9092", broker.bootstrap),
        ('group_id="desk"', 'auto_offset_reset="earliest", consumer_timeout_ms=5000'),
    ):
        assert written in code
        code = code.replace(written, here)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=600)
    hosts = [json.loads(line)["host"] for line in done.stdout.splitlines()]
    assert sorted(run.stdout.decode().split()) == sorted(hosts)
