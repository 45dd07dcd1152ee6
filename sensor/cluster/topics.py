"""The topics of segments and of state: made where they are missing, as many parts of each."""

import time
from typing import Any, Final

from sensor.settings import Settings
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.topics import administrator, make_topic

__all__ = ["ensure_decide_topic", "ensure_segments_topic", "ensure_state_topic"]

_RETENTION: Final = 24 * 3_600_000
"""Milliseconds: a correlator that was away for longer begins anew."""
_CONFIG: Final = {
    "cleanup.policy": "delete",
    "retention.ms": str(_RETENTION),
    # Whether a sensor is alive is judged by one clock, the broker's.
    "message.timestamp.type": "LogAppendTime",
}


_PATIENCE: Final = 50
"""Tenths of a second."""
_STATE_CONFIG: Final = {
    "cleanup.policy": "compact",
    # Old snapshots are to go soon: a new one comes every half a minute.
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
}


def ensure_segments_topic(connection: Connection, settings: Settings) -> int:
    """The partitions the topic has. Raises KafkaError."""
    wanted = settings.cluster.partitions
    return _ensure(connection, settings, settings.cluster.segments_topic, wanted, _CONFIG)


def ensure_state_topic(connection: Connection, settings: Settings, partitions: int) -> None:
    """Have one with ``partitions``, as many as that of segments has: it may have been given more.

    Raises KafkaError, also where it is there with fewer and must not be given any.
    """
    from kafka.errors import InvalidPartitionsError

    name = settings.cluster.state_topic
    found = _ensure(connection, settings, name, partitions, _STATE_CONFIG)
    if found >= partitions:
        return
    if not settings.kafka.create_topics:
        segments = settings.cluster.segments_topic
        raise InvalidPartitionsError(
            f"{name}: {found} partitions; expected {partitions}, as many as {segments} has"
        )
    with administrator(connection) as admin:
        admin.create_partitions({name: partitions})


def ensure_decide_topic(connection: Connection, settings: Settings) -> None:
    """Have the topic by which it is found out who decides. Raises KafkaError."""
    _ensure(connection, settings, settings.cluster.decide_topic, 1, {})


def _ensure(
    connection: Connection, settings: Settings, name: str, wanted: int, config: dict[str, str]
) -> int:
    """The partitions a topic has; it is made if it is missing."""
    from kafka.errors import UnknownTopicOrPartitionError

    with administrator(connection) as admin:
        if name in set(admin.list_topics()):
            return _count(admin, name)
        if not settings.kafka.create_topics:
            raise UnknownTopicOrPartitionError(f"no topic {name}")
        if make_topic(admin, name, wanted, settings.kafka.replication, config):
            return wanted
        return _count(admin, name)


def _count(admin: Any, name: str) -> int:
    """Partitions of a topic; one that was just made is not known to every broker at once."""
    for _ in range(_PATIENCE):
        (found,) = admin.describe_topics([name])
        if count := len(found["partitions"]):
            return count
        time.sleep(0.1)
    return 0
