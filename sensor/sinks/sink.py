"""What passes alerts on to others: what every sink must do, and may leave undone.

A sink is a file with a section of the settings (a :class:`SinkSettings`), whose ``prepare`` makes
the sink. The section stands in :class:`sensor.settings.Settings`; nothing else names a sink. It
works in the process that decides on blocks, beside the sensor: whatever it does, packets are read
on.

A sink reads what lies on disk (journals, the ledger, the desk) from where it had come to, and notes
in the outbox how far it is once it need not see a row again. What it was given between the two and
a crash it is given twice: at least once, never lost.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import msgspec

from sensor.alerts.notice import Health, Notice
from sensor.base.sentences import Sentence

if TYPE_CHECKING:
    from sensor.blocking.acts import DeskAct
    from sensor.blocking.desk_record import DeskRecord
    from sensor.state.folder import StateFolder

__all__ = ["LEDGER", "Around", "Metrics", "Sink", "SinkSettings", "SinkSettingsError"]

LEDGER = "ledger"
"""Name of the ledger as a source; a journal's is :meth:`StateFolder.source`."""


class SinkSettingsError(Exception):
    """The settings of a sink cannot be used here; the text names the key."""


class Metrics(NamedTuple):
    """What the counters of a sink mean, by name."""

    counters: Mapping[str, str] = {}
    """that only grow"""
    gauges: Mapping[str, str] = {}
    """that may fall"""
    states: Mapping[str, tuple[str, tuple[str, ...]]] = {}
    """that are words: what they say, and which there are"""


class Around(NamedTuple):
    """What a sink is given when it starts."""

    state: "StateFolder"
    notice: Callable[[Sentence], None]
    """to be told whenever its state changes; from any thread"""
    live: bool
    """whether time is that of this machine, or that of a capture"""
    hold: int
    """seconds that a person's release holds where it does not say so itself"""
    from_topic: bool = False
    """whether alerts are those of Kafka's topic already"""
    follows: str = ""
    """name of who decides, where the same is decided here to be shown alone: only what persons say
    is passed on; empty: what is decided here counts
    """


class Sink(Protocol):
    """One sink, from its preparation to its end. Only ``start`` and what follows may do work."""

    name: str
    """under which its positions are kept, and its counters shown: that of its section"""
    title: str
    """as people call it"""
    sensor: str = ""
    """name of this sensor in the decisions it passes on; empty: it passes on none"""

    def start(self, around: Around) -> None:
        """Begin, in a thread of its own. Nothing may be imported from here on."""

    def position(self, source: str) -> int:
        """Number of the last row of a source it is done with, as it is on disk. Raises
        DatabaseError.
        """

    def waiting(self, newest: Mapping[str, int]) -> int:
        """How many rows it is not done with, by the number of the newest of each source.

        The ledger is none of its sources where it passes on no decisions.
        """
        mine = {name: last for name, last in newest.items() if self.sensor or name != LEDGER}
        return sum(max(0, last - self.position(name)) for name, last in mine.items())

    def counters(self) -> dict[str, Any]:
        """Counts and states, as its section's ``metrics`` explains them."""
        return {}

    def tell(self, what: Notice | Health) -> None:
        """Pass on what is on no disk, if that can be now; it may be dropped."""

    def heard(self) -> "DeskRecord | DeskAct | None":
        """The oldest word of a person at another sensor that waits to be obeyed."""
        return None

    @property
    def all_heard(self) -> bool:
        """Whether all was heard that persons had said before the start."""
        return True

    def obeyed(self) -> None:
        """It is obeyed, and that is on disk."""

    def stop(self) -> None:
        """End within seconds; what it is not done with it is given again at the next start."""


class SinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of a sink's section of the settings; it takes effect at the start."""

    title: ClassVar[str]
    """as people call the sink"""
    metrics: ClassVar[Metrics] = Metrics()

    def prepare(self) -> Sink | None:
        """The sink, not yet started; None where the settings want none.

        Called before privileges are given up: secrets are read here, and what the sink needs is
        imported. Raises SinkSettingsError.
        """
        raise NotImplementedError
