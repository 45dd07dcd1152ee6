"""A controller that the brokers no longer hear of joins anew."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaTimeoutError

from lab.waiting import wait_for
from sensor.blocking.bounds import Bounds
from sensor.blocking.controller import Controller
from sensor.service import controlling
from sensor.settings import parse_settings
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.heart import Heart
from sensor.sinks.kafka.topics import ensure_topics


def test_a_controller_whose_heart_stops_begins_anew(broker, monkeypatch):
    run = uuid.uuid4().hex[:8]
    names = "".join(f'{x}_topic = "{x}-{run}"\n' for x in ("alerts", "blocklist", "health", "desk"))
    text = f'[kafka]\nbootstrap = ["{broker.bootstrap}"]\n{names}'
    connection = Connection(parse_settings(text).kafka)
    ensure_topics(connection)
    made: list[Any] = []
    subscribed: Callable[..., Any] = controlling._subscribed

    def remembered(*given: Any) -> Any:
        made.append(subscribed(*given))
        return made[-1]

    def work(now: int) -> bool:
        if made[0].assignment():
            made[0]._coordinator._disable_heartbeat()
        return False

    monkeypatch.setattr(controlling, "_subscribed", remembered)
    monkeypatch.setattr(controlling, "_SILENCE", 4.0)
    held = Controller(Bounds((), (), ()), (), 1000, lambda script: None)
    with pytest.raises(KafkaTimeoutError, match="no heartbeat"):
        controlling.follow(connection, held, f"group-{run}", set(), work)


def test_a_group_joined_again_for_nothing_is_noticed_at_once(broker):
    """A topic's partitions are others for a moment, as where a broker begins anew."""
    topic = f"beats-{uuid.uuid4().hex[:8]}"
    broker.create(topic)
    member = KafkaConsumer(topic, bootstrap_servers=broker.bootstrap, group_id=topic)
    # Who joins before it knows the topic is given nothing, and may be left as this test leaves it.
    wait_for(lambda: member.partitions_for_topic(topic), 60, "the topic")
    heart = Heart(member)
    wait_for(lambda: member.poll(100) or member.assignment(), 60, "a partition")
    coordinator = member._coordinator
    known = coordinator._metadata_snapshot
    coordinator._metadata_snapshot = {}
    wait_for(lambda: member.poll(0) or not coordinator._heartbeat_enabled, 20, "a join")
    heart.check(1000)
    coordinator._metadata_snapshot = known

    def noticed() -> bool:
        member.poll(100)
        try:
            heart.check(1000)
        except KafkaTimeoutError:
            return True
        return False

    wait_for(noticed, 20, "no heart")
    member.close()
