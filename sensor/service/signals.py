"""The signals a process of the sensor obeys, collected for its loop to look at.

SIGTERM and SIGINT end it, SIGHUP has it read its settings again, SIGUSR1 print its counters.
"""

import signal
import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

from sensor.service import systemd
from sensor.service.messages import Counters

__all__ = ["ENDING", "collect_signals", "obey", "print_counters", "take"]

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


def print_counters(counters: Counters) -> None:
    """One line of JSON on standard error."""
    sys.stderr.buffer.write(msgspec.json.encode(counters) + b"\n")
    sys.stderr.flush()


def obey(got: set[int], counters: Callable[[], Counters], reload: Callable[[], None]) -> None:
    """Do what signals ask of a sensor's loop, but its end."""
    if take(got, signal.SIGUSR1):
        print_counters(counters())
    if take(got, signal.SIGHUP):
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        reload()
        systemd.notify("READY=1")
