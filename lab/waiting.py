"""Patience: until something is so, however busy the machine."""

import time
from collections.abc import Callable

_BUSY = 10


def wait_for(what: Callable[[], object], seconds: float = 20, why: str = "") -> None:
    """Until ``what`` is true; AssertionError when it never was.

    ``seconds`` are what a quiet machine needs at most: a busy one is given ten times as many.
    """
    begun = time.monotonic()
    while not what():
        waited = time.monotonic() - begun
        assert waited < seconds * _BUSY, f"waited {waited:.0f} s for {why or what}"
        time.sleep(0.05)
