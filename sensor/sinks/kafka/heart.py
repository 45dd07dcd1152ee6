"""Whether a member of a group is still one to the brokers."""

import time
from typing import Any, Final

__all__ = ["Heart"]

_EVERY: Final = 1.0
"""Seconds."""


class Heart:
    """Of one consumer.

    kafka-python 3.0 joins a group again where a topic has other partitions than when it joined, and
    sends no heartbeats until that is done. Where a poll ends before, and the partitions are by then
    as they were (a topic becomes known; a broker begins anew), nobody heeds the group's answer: no
    heartbeat is sent any more, and to the brokers the member is dead.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._begun = self._looked = time.monotonic()

    def check(self, silence: float) -> None:
        """After a poll; raises KafkaTimeoutError where it has stopped: membership is begun anew.

        ``silence``: seconds without a heartbeat, for whatever reason. None is sent while the group
        is joined, which takes as long as its slowest member: who has anything to lose waits longer.
        """
        now = time.monotonic()
        if now < self._looked + _EVERY:
            return
        self._looked = now
        facts = self._consumer.metrics()["consumer-coordinator-metrics"]
        silent = min(facts["last-heartbeat-seconds-ago"], now - self._begun)
        if silent > silence or self._is_left():
            from kafka.errors import KafkaTimeoutError

            raise KafkaTimeoutError("no heartbeat is sent any more")

    def _is_left(self) -> bool:
        """Whether it sends none and means to send none."""
        one = self._consumer._coordinator  # it knows, and has no public name for it
        return not (one._heartbeat_enabled or one.need_rejoin())
