"""What a member that died had begun to tell is ended at once, by who has its partitions now.

A transaction that is left open holds up all who read committed messages, until the brokers give it
up: after its timeout, which they look at every ten seconds. Who begins under the same transactional
id ends it, and nobody else can tell anything under that id any more: not one that was only slow,
whose partitions are another's now, either. Members that the group still knows are let alone: what
they give up in good order has no transaction open.
"""

from collections.abc import Callable
from typing import Final

from sensor.base.sentences import Sentence
from sensor.cluster.standing import NAME
from sensor.settings import Settings
from sensor.sinks.kafka.closing import close
from sensor.sinks.kafka.connection import Connection

__all__ = ["end_transaction", "transactional_id"]

_PATIENCE: Final = 10_000
"""Milliseconds for the brokers to end it."""


def transactional_id(settings: Settings, member: str) -> str:
    """Under which a member tells alerts."""
    return f"{settings.cluster.group}-{member}"


def end_transaction(
    connection: Connection,
    settings: Settings,
    member: str,
    notice: Callable[[Sentence | str], None],
) -> bool:
    """End what ``member`` left open, if the group has it no more; whether it did.

    Where the brokers refuse that, it is said: then they end it by themselves, later.
    """
    from kafka import KafkaAdminClient, KafkaProducer
    from kafka.errors import KafkaError

    group = settings.cluster.group
    try:
        admin = KafkaAdminClient(**connection.arguments, client_id="port25-fencing")
        try:
            known = admin.describe_groups([group])[group]["members"]
        finally:
            admin.close()
        if any(one["client_id"] == NAME + member for one in known):
            return False
        producer = KafkaProducer(
            **connection.arguments,
            client_id="port25-fencing",
            transactional_id=transactional_id(settings, member),
            max_block_ms=_PATIENCE,
        )
        try:
            producer.init_transactions()
        finally:
            close(producer, 1)
    except KafkaError as error:
        notice(f"what {member} had begun to tell: {type(error).__name__}: {error}; ends later")
        return False
    return True
