"""The door of every reader in Python of what came over the network.

What a reader did not expect must cost one message and nothing else: it is refused, counted, and the
reason kept for people. A reader that is known to be wrong about something says so by itself; this
is for what nobody thought of.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from sensor.base.sentences import Sentence, sentence
from sensor.base.terminal import printable

__all__ = ["Door"]

T = TypeVar("T")

_LONGEST: Final = 200
"""Characters of a reason; part of it may be the sender's."""


class Door:
    """One reader's; ``counter`` is the name its refusals are told under."""

    def __init__(self, counter: str) -> None:
        self.counter = counter
        self.refused = 0
        self.reason = ""
        """of the first refusal: kind of error, what it said, where"""
        self._is_told = False

    def read(self, reader: Callable[..., T], *what: Any) -> T | None:
        """What ``reader`` makes of it; None when it failed, which is counted."""
        try:
            return reader(*what)
        except Exception as error:
            self.refused += 1
            self.reason = self.reason or _said(error)
            return None

    def news(self) -> Sentence | None:
        """Of the first refusal, once."""
        if self._is_told or not self.refused:
            return None
        self._is_told = True
        return sentence("reader.refused", counter=self.counter, reason=self.reason)


def _said(error: Exception) -> str:
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = f" ({Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno})" if at else ""
    return printable(f"{type(error).__name__}: {error}")[:_LONGEST] + where
