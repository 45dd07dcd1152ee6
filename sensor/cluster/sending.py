"""Batches to Kafka: an idempotent producer, so that each is in the log once and in order."""

import collections
from typing import Any, Final

from sensor.cluster.batch import SCHEMA
from sensor.sinks.kafka.closing import close
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.message import Header, headers

__all__ = ["Sender", "batch_headers"]

_IN_FLIGHT: Final = 64
"""Batches that are not acknowledged yet."""
_TIMEOUT: Final = 60.0
"""Seconds for an acknowledgement."""


def batch_headers(sensor: str) -> list[Header]:
    """Of each message that is a batch."""
    kind = {"content-type": "application/octet-stream"}
    return list(headers(SCHEMA, sensor=sensor, **kind))


class Sender:
    """Sends to the partitions of one topic. Raises KafkaError from everything."""

    def __init__(self, connection: Connection, topic: str, sensor: str) -> None:
        from kafka import KafkaProducer

        self._topic = topic
        self._key = sensor.encode()
        self._headers = batch_headers(sensor)
        self._sent: collections.deque[Any] = collections.deque()
        self._producer = KafkaProducer(
            **connection.arguments,
            client_id=f"port25-forward-{sensor}",
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            delivery_timeout_ms=int(_TIMEOUT * 1000),
            request_timeout_ms=int(_TIMEOUT * 500),
            # Who comes back late is left behind by the others.
            reconnect_backoff_max_ms=1000,
            max_block_ms=10_000,
            allow_auto_create_topics=False,
        )

    def send(self, partition: int, message: bytes) -> None:
        """Send one; waits where many are on their way."""
        from kafka.errors import InvalidPartitionsError

        try:
            sent = self._producer.send(
                self._topic, message, self._key, headers=self._headers, partition=partition
            )
        except ValueError as error:  # the topic was made again, with fewer
            raise InvalidPartitionsError(str(error)) from None
        self._sent.append(sent)
        while len(self._sent) > _IN_FLIGHT:
            self._sent.popleft().get(timeout=_TIMEOUT)

    def flush(self) -> None:
        """Until all are acknowledged."""
        while self._sent:
            self._sent.popleft().get(timeout=_TIMEOUT)

    def close(self) -> None:
        """Nothing more comes."""
        close(self._producer, 5)
