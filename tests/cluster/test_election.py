"""Who is no longer heard of by the brokers does not go on as if he were."""

import time

import pytest
from kafka.errors import KafkaTimeoutError

from sensor.cluster import election as module
from sensor.cluster.election import Election
from sensor.cluster.topics import ensure_decide_topic
from sensor.settings import parse_settings
from sensor.sinks.kafka.connection import Connection


def test_a_member_whose_heart_stops_begins_anew(broker, monkeypatch):
    topic = f"decide-{time.time_ns()}"
    text = f'[kafka]\nbootstrap = ["{broker.bootstrap}"]\n[cluster]\ndecide_topic = "{topic}"\n'
    settings = parse_settings(text)
    connection = Connection(settings.kafka)
    ensure_decide_topic(connection, settings)
    election = Election(connection, topic)
    monkeypatch.setattr(module, "SILENCE", 4.0)  # two heartbeats
    try:
        until = time.monotonic() + 60
        while not election.is_won and time.monotonic() < until:
            election.turn(200)
        assert election.is_won
        beating = time.monotonic() + 8
        while time.monotonic() < beating:
            election.turn(200)
        election._consumer._coordinator._disable_heartbeat()
        until = time.monotonic() + 60
        with pytest.raises(KafkaTimeoutError, match="no heartbeat"):
            while time.monotonic() < until:
                election.turn(200)
    finally:
        election.close()
