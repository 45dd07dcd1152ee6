"""The topic of segments: made where it is missing, with as many partitions as the settings say."""

from typing import Final

from sensor.settings import Settings
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.topics import make_topic

__all__ = ["ensure_segments_topic"]

_RETENTION: Final = 24 * 3_600_000
"""Milliseconds: a correlator that was away for longer begins anew."""
_CONFIG: Final = {
    "cleanup.policy": "delete",
    "retention.ms": str(_RETENTION),
    # Whether a sensor is alive is judged by one clock, the broker's.
    "message.timestamp.type": "LogAppendTime",
}


def ensure_segments_topic(connection: Connection, settings: Settings) -> int:
    """The partitions the topic has. Raises KafkaError."""
    from kafka import KafkaAdminClient
    from kafka.errors import UnknownTopicOrPartitionError

    name = settings.cluster.segments_topic
    admin = KafkaAdminClient(**connection.arguments, client_id="port25-topics")
    try:
        if name not in set(admin.list_topics()):
            if not settings.kafka.create_topics:
                raise UnknownTopicOrPartitionError(f"no topic {name}")
            wanted = settings.cluster.partitions
            if make_topic(admin, name, wanted, settings.kafka.replication, _CONFIG):
                return wanted
        return _count(admin, name)
    finally:
        admin.close()


def _count(admin: "object", name: str) -> int:
    (found,) = admin.describe_topics([name])  # type: ignore[attr-defined]
    return len(found["partitions"])
