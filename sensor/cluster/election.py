"""Who of several decides: the member of a group that has the one partition of a topic.

The others stand by. When the one that decides dies, another is given the partition after ten
seconds; nothing else is done with that topic, which stays empty.
"""

from collections.abc import Iterable
from typing import Any, Final

from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.heart import Heart

__all__ = ["Election"]

SILENCE: Final = 30.0
"""Seconds without a heartbeat after which it is begun anew; for the brokers it is over in ten."""


class Election:
    """Raises KafkaError from everything."""

    def __init__(self, connection: Connection, topic: str) -> None:
        """The topic must be there."""
        from kafka import ConsumerRebalanceListener, KafkaConsumer
        from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

        self.is_won = False
        """whether it is for this process to decide"""
        self.is_lost = False
        """whether it was, and is no longer"""
        self._consumer = KafkaConsumer(
            **connection.arguments,
            client_id="port25-decide-election",
            group_id=topic,
            # Sticky: who comes later does not take the partition from who has it.
            partition_assignment_strategy=(CooperativeStickyAssignor,),
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_000,
        )
        election = self

        class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
            """kafka-python insists on its own class."""

            def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
                election.is_won |= bool(list(assigned))

            def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
                election.is_lost |= bool(list(revoked))

            def on_partitions_lost(self, lost: Iterable[Any]) -> None:
                election.is_lost |= bool(list(lost))

        self._consumer.subscribe([topic], listener=Listener())
        self._heart = Heart(self._consumer)

    def turn(self, milliseconds: int) -> None:
        """Remain a member."""
        self._consumer.poll(milliseconds)
        self._heart.check(SILENCE)

    def close(self) -> None:
        """Leave; another is elected at once."""
        self._consumer.close(autocommit=False)
