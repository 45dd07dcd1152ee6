"""A producer ended for good."""

import contextlib
from typing import Any, Final

__all__ = ["close"]

_PATIENCE: Final = 5.0
"""Seconds for its threads, which have nothing to wait for."""


def close(producer: Any, seconds: float) -> None:
    """End it: what is not acknowledged within ``seconds`` is given up, and not sent any more.

    kafka-python's own ``close`` raises where something is still on its way, and leaves the threads
    behind: they go on sending for as long as the process lives, so that what was given up may come
    behind what was told since.
    """
    from kafka.errors import KafkaError

    with contextlib.suppress(KafkaError):
        producer.flush(seconds)
    sender = producer._sender  # it has no public name
    sender.force_close()
    sender.join(_PATIENCE)
    with contextlib.suppress(KafkaError):
        producer.close(timeout=0)
