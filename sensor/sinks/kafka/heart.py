"""Whether a member of a group is still one to the brokers."""

import time
from typing import Any, Final

__all__ = ["Heart"]

_EVERY: Final = 1.0
"""Seconds."""


class Heart:
    """Of one consumer.

    kafka-python 3.0 ends its heartbeats without a word where the partitions of a topic become known
    after a group was joined, so that it is joined again, and a poll ends before that is done: the
    group's answer is then not heeded, and it is given no partition.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._begun = self._looked = time.monotonic()

    def check(self, silence: float) -> None:
        """Raises KafkaTimeoutError where it has stopped: membership is to be begun anew.

        ``silence``: seconds without a heartbeat. None is sent while the group is joined, which
        takes as long as its slowest member: who has anything to lose waits longer.
        """
        now = time.monotonic()
        if now < self._looked + _EVERY:
            return
        self._looked = now
        facts = self._consumer.metrics()["consumer-coordinator-metrics"]
        if min(facts["last-heartbeat-seconds-ago"], now - self._begun) > silence:
            from kafka.errors import KafkaTimeoutError

            raise KafkaTimeoutError("no heartbeat is sent any more")
