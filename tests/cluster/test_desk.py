"""What persons exempt reaches those who correlate, and how these are is told."""

import json
import re
import signal
import subprocess
import sys
import urllib.request

import msgspec
import pytest
from kafka import KafkaProducer

from lab.alerts import T0, alert
from lab.broker import free_ports
from lab.splitting import by_direction, split
from lab.waiting import wait_for
from sensor import __version__
from sensor.base.units import SECOND
from sensor.blocking.desk_record import record
from sensor.cluster.exempting import Exemptions
from sensor.settings import digest, load_settings
from sensor.sinks.kafka.connection import Connection, named
from sensor.sinks.kafka.topics import ensure_topics
from tests.cluster.test_kafka import Cluster, by_host, replayed
from tests.conftest import PCAPS, ROOT


def word(host, begins, ends, sensor="desk"):
    return record("exempt", host, T0 + begins * SECOND, T0 + ends * SECOND, "ann", "tested", sensor)


def test_alerts_raised_while_a_host_is_exempt_are_held_back():
    known = Exemptions()
    known.take(word("203.0.113.9", 100, 200))
    assert not known.holds(alert("203.0.113.9", 50, 50)), "before it"
    assert not known.holds(alert("203.0.113.9", 150, 50)), "open before it"
    assert known.holds(alert("203.0.113.9", 150, 120))
    assert not known.holds(alert("203.0.113.9", 250, 120)), "over"
    assert not known.holds(alert("203.0.113.8", 150, 120)), "another's"
    # The last word counts, whoever said it, and whenever it comes.
    known.take(word("203.0.113.9", 130, 130, "north"))
    known.take(word("203.0.113.9", 90, 900, "south"))
    assert not known.holds(alert("203.0.113.9", 150, 120))


def test_what_is_kept_of_exemptions_is_bounded():
    known = Exemptions(most=3)
    for last in range(1, 6):
        known.take(word(f"203.0.113.{last}", 0, 900))
    assert known.forgotten == 2
    held = [n for n in range(1, 6) if known.holds(alert(f"203.0.113.{n}", 20, 10))]
    assert held == [3, 4, 5]


@pytest.fixture
def correlating(broker, tmp_path):
    """A cluster with a second of health, and who correlates in it, with a port for Prometheus."""
    cluster = Cluster(broker, tmp_path)
    text = cluster.config.read_text()
    cluster.config.write_text(text.replace("[kafka]\n", "[kafka]\nhealth_interval = 1\n"))
    port = free_ports()
    made = []

    def begin():
        with (tmp_path / "correlate.log").open("wb") as out:
            words = ("--name", "one", "--metrics", f"127.0.0.1:{port}")
            made.append(subprocess.Popen(
                [sys.executable, "-m", "sensor", "correlate", "-c", str(cluster.config), *words],
                stdout=out, stderr=out, cwd=ROOT,
            ))  # fmt: skip

    def measured(name):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=300) as answer:
                page = answer.read().decode()
        except OSError:
            return None
        found = re.search(rf"(?m)^port25_{re.escape(name)} (.+)$", page)
        return float(found[1]) if found else None

    yield cluster, begin, measured
    for process in made:
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0


def test_an_exemption_holds_alerts_back_and_who_correlates_says_how_it_is(correlating):
    cluster, begin, measured = correlating
    want = [json.loads(line) for line in replayed(PCAPS / "demo.pcap")]
    exempted = want[0]["host"]
    settings = load_settings(str(cluster.config)).kafka
    ensure_topics(Connection(named(settings)))
    since = want[0]["opened"] - SECOND
    said = record("exempt", exempted, since, since + 3600 * SECOND, "ann", "tested", "desk")
    producer = KafkaProducer(bootstrap_servers=cluster.broker.bootstrap, acks="all")
    producer.send(settings.desk_topic, msgspec.json.encode(said), said.key.encode())
    producer.close()
    for path, name in zip(
        split(PCAPS / "demo.pcap", cluster.config.parent, by_direction), ("north", "south"),
        strict=True,
    ):  # fmt: skip
        cluster.forward(path, name)
    begin()
    others = [one for one in want if one["host"] != exempted]
    assert 0 < len(others) < len(want)
    wait_for(lambda: len(cluster.committed()) >= len(others), 60, "alerts of the others")
    held = len(want) - len(others)
    wait_for(lambda: measured("alerts_held_back_total") == held, 30, "what was held back")
    told = [record.value for record in cluster.committed()]
    assert by_host(told) == by_host([json.dumps(one).encode() for one in others])
    assert measured("desk_heard_total") == 1
    assert measured('partition_lag{partition="0"}') == 0
    assert measured("segments_merged_total") > 1000
    words = [json.loads(one.value) for one in cluster.broker.read(settings.health_topic)]
    word = [one for one in words if one["schema"] == "port25.health/1"][-1]
    assert (word["sensor"], word["version"]) == ("port25-correlate-one", __version__)
    assert word["counters"]["partitions"] == {"0": 0}
    assert word["counters"]["settings"]["settings_digest"] == digest(
        load_settings(str(cluster.config))
    )
