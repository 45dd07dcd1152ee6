"""Patience: until something is so, however busy the machine."""

import time
from collections.abc import Callable

__all__ = ["BUSY", "wait_for"]

BUSY = 10
"""How many times as long a busy machine takes for anything, at most."""


def wait_for(what: Callable[[], object], seconds: float = 20, why: str = "") -> None:
    """Until ``what`` is true; AssertionError when it never was.

    ``seconds`` are what a quiet machine needs at most: a busy one is given ten times as many.
    """
    begun = time.monotonic()
    while not what():
        waited = time.monotonic() - begun
        assert waited < seconds * BUSY, f"waited {waited:.0f} s for {why or what}"
        time.sleep(0.05)
