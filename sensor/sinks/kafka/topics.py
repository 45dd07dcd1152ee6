"""The topics: made as they should be, and held against that where they are there already."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from sensor.sinks.kafka.connection import Connection, KafkaSettings

__all__ = [
    "ENFORCEMENT",
    "Topics",
    "administrator",
    "ensure_enforcement_topic",
    "ensure_topics",
    "make_topic",
    "wanted",
]

ENFORCEMENT: Final = {"cleanup.policy": "compact"}
"""What the topic of controllers is configured as, where one of them makes it."""
_USUAL_LARGEST: Final = 1_048_588
"""Bytes: ``max.message.bytes`` where nobody set it."""
_PATIENCE: Final = 50
"""Tenths of a second for new topics to be known."""
_DAY: Final = 86_400_000
"""Milliseconds."""


@contextlib.contextmanager
def administrator(connection: Connection) -> Iterator[Any]:
    """Of topics, for as long as it is needed. Raises KafkaError."""
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(**connection.arguments, client_id="port25-topics")
    try:
        yield admin
    finally:
        admin.close()


def wanted(settings: KafkaSettings) -> dict[str, dict[str, str]]:
    """What each topic must be configured as.

    Alerts and health are kept for a time. Of the block list the last word of each sensor on each
    subscriber is kept for good (compacted), as is that of persons; a tombstone stays for a week, so
    that a controller that was away for less learns of every release.
    """
    acts = {"cleanup.policy": "delete", "retention.ms": str(30 * _DAY)}
    return ({settings.acts_topic: acts} if settings.acts_topic else {}) | {
        settings.alerts_topic: {"cleanup.policy": "delete", "retention.ms": str(30 * _DAY)},
        settings.blocklist_topic: {
            "cleanup.policy": "compact",
            "delete.retention.ms": str(7 * _DAY),
        },
        settings.desk_topic: {"cleanup.policy": "compact"},
        settings.health_topic: {"cleanup.policy": "delete", "retention.ms": str(7 * _DAY)},
    }


class Topics(NamedTuple):
    """How the topics are."""

    faults: list[str]
    """what is wrong with them, in words"""
    largest: int
    """bytes of a batch that each of them takes"""
    missing: frozenset[str] = frozenset()
    """topics that are not there and can be done without"""


def ensure_topics(connection: Connection) -> Topics:
    """Make what is missing, and look at those that are there.

    Raises KafkaError, UnknownTopicOrPartitionError where topics are missing and must not be made.
    Without the desk's everything else goes on: it is newer than the others, and whoever makes
    topics by hand may not have made it.
    """
    from kafka.admin import ConfigResource, ConfigResourceType
    from kafka.errors import UnknownTopicOrPartitionError

    settings = connection.settings
    topics = wanted(settings)
    with administrator(connection) as admin:
        desk = settings.desk_topic
        without = desk not in set(admin.list_topics()) and not _made(admin, settings, topics[desk])
        if without:
            del topics[desk]
        missing = sorted(topics.keys() - set(admin.list_topics()))
        if missing and not settings.create_topics:
            raise UnknownTopicOrPartitionError(f"no topic {', '.join(missing)}")
        for name in missing:
            make_topic(admin, name, settings.partitions, settings.replication, topics[name])
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
        for _ in range(_PATIENCE):  # not every broker knows a new one at once
            found = admin.describe_configs(asked, config_filter="all")["topic"]
            if all(found.get(name) for name in topics):
                break
            time.sleep(0.1)
    readable = {name: found[name] for name in topics if found.get(name)}
    sizes = [int(configs["max.message.bytes"]["value"]) for configs in readable.values()]
    faults = _compare(topics, readable)
    if without:
        faults.append(f"topic {desk}: missing; releases and exemptions reach no other sensor")
    return Topics(faults, min([*sizes, _USUAL_LARGEST]), frozenset({desk} if without else ()))


def ensure_enforcement_topic(connection: Connection) -> None:
    """Make the topic of what is in force, if it is missing and may be made. Raises KafkaError."""

    settings = connection.settings
    if not settings.create_topics:
        return
    with administrator(connection) as admin:
        if settings.enforcement_topic not in set(admin.list_topics()):
            name, parts = settings.enforcement_topic, settings.partitions
            make_topic(admin, name, parts, settings.replication, ENFORCEMENT)


def _made(admin: Any, settings: KafkaSettings, config: dict[str, str]) -> bool:
    """Make the desk's topic, if that may be."""
    from kafka.errors import KafkaError

    if not settings.create_topics:
        return False
    try:
        make_topic(admin, settings.desk_topic, settings.partitions, settings.replication, config)
    except KafkaError:
        return False
    return True


def make_topic(
    admin: Any, name: str, partitions: int, replication: int, config: Mapping[str, str]
) -> bool:
    """Make a topic; False: another did so just now. ``replication`` 0: as the brokers have it.

    Raises KafkaError.
    """
    from kafka.admin import NewTopic
    from kafka.errors import TopicAlreadyExistsError

    new = NewTopic(name, partitions, replication or -1, topic_configs=dict(config))
    try:
        admin.create_topics([new])
    except TopicAlreadyExistsError:
        return False
    return True


def _compare(topics: Mapping[str, Mapping[str, str]], found: Any) -> list[str]:
    faults = []
    for name, values in topics.items():
        if name not in found:
            faults.append(f"topic {name}: how it is configured may not be read")
            continue
        for key, value in values.items():
            given = str(found[name][key]["value"])
            right = given == value
            if key.endswith("retention.ms"):
                right = int(given) < 0 or int(given) >= int(value)
            if not right:
                faults.append(f"topic {name}: {key} is {given}, should be {value}")
    return faults
