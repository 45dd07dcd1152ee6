"""A source of leases: what its process asks of it. Each is one file of this room."""

from typing import Protocol

from sensor.leases.intake import Intake

__all__ = ["Source"]


class Source(Protocol):
    """Hears of leases, and tells an intake."""

    name: str
    """in one word"""
    intake: Intake

    @property
    def position(self) -> str:
        """How far it is, for who goes on from there; of a source that cannot go back, nothing."""

    def open(self, position: str) -> None:
        """Begin, or go on from a position. Raises OSError."""

    def turn(self, seconds: float) -> None:
        """Hear what comes within ``seconds``. Raises OSError."""

    def taken(self) -> None:
        """All that was heard so far is on disk."""

    def counters(self) -> dict[str, int]:
        """What it counts beside what the intake does."""
