"""Units of time. Times and spans are int64 nanoseconds unless a name says seconds."""

from typing import Final

__all__ = ["DAY", "HOUR", "MILLISECOND", "MINUTE", "SECOND"]

MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000 * MILLISECOND
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
