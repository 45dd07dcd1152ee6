"""Patience: until something is so, however busy the machine."""

import math
import time
from collections.abc import Callable

__all__ = ["BUSY", "end_within", "wait_for"]

BUSY = 10
"""How many times as long a busy machine takes for anything, at most."""
_LEFT = 0.05
"""Of a test's own limit, what is kept for saying what it waited for, and for tidying up."""
_ends = math.inf
"""When the test that runs is ended, on the monotonic clock."""


def end_within(seconds: float) -> None:
    """Whoever waits gives up shortly before so many seconds from now are over."""
    global _ends
    _ends = time.monotonic() + seconds * (1 - _LEFT)


def wait_for(what: Callable[[], object], seconds: float = 20, why: str = "") -> None:
    """Until ``what`` is true; AssertionError when it never was.

    ``seconds`` are what a quiet machine needs at most: a busy one is given ten times as many, as
    far as the test itself has them.
    """
    begun = time.monotonic()
    until = min(begun + seconds * BUSY, _ends)
    while not what():
        now = time.monotonic()
        assert now < until, f"waited {now - begun:.0f} s for {why or what}"
        time.sleep(0.05)
