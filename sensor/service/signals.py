"""The signals a process of the sensor obeys, collected for its loop to look at.

SIGTERM and SIGINT end it, SIGHUP has it read its settings again, SIGUSR1 print its counters.
"""

import signal
from typing import Final

__all__ = ["ENDING", "collect_signals", "take"]

ENDING: Final = frozenset((signal.SIGTERM, signal.SIGINT))


def collect_signals() -> set[int]:
    """From now on the four signals only end up in this set."""
    got: set[int] = set()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, lambda number, _: got.add(number))
    return got


def take(got: set[int], number: int) -> bool:
    """Whether a signal has come since it was last taken."""
    came = number in got
    got.discard(number)
    return came
