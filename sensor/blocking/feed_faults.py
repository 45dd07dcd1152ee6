"""What routers refuse, told to the sensor and its page: a file for each feed in the state folder.

Who feeds a router runs beside the sensor, often as another user; it leaves here what was refused,
and takes it away when nothing is.
"""

import os
from pathlib import Path
from typing import Final

import msgspec

from sensor.alerts.alert import rfc3339
from sensor.base.sentences import Sentence, sentence
from sensor.state.folder import StateFolder

__all__ = ["Fault", "FaultReader", "faults", "tell"]

_NAMED: Final = 20
_LARGEST: Final = 1 << 20


class Fault(msgspec.Struct, frozen=True):
    """What one feed's reader refuses now."""

    feed: str
    ts: int
    """when it was first refused, wall time, nanoseconds since 1970"""
    refused: int
    first: list[str]
    """the first of them"""

    @property
    def said(self) -> Sentence:
        """In a line."""
        return sentence(
            "feed.refuses", feed=self.feed, refused=self.refused, since=rfc3339(self.ts),
            first=self.first[:3],
        )  # fmt: skip


def tell(state: Path, feed: str, refused: list[str], ts: int) -> None:
    """Leave what is refused, in place of what was there before. Raises OSError."""
    path = StateFolder(state).feed_fault(feed)
    if not refused:
        path.unlink(missing_ok=True)
        return
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_bytes(msgspec.json.encode(Fault(feed, ts, len(refused), refused[:_NAMED])))
    new.replace(path)


def faults(state: Path) -> list[Fault]:
    """Those left in a state folder; a file that cannot be read is one itself."""
    found = []
    for feed, path in StateFolder(state).feed_faults.items():
        try:
            with path.open("rb") as file:
                found.append(msgspec.json.decode(file.read(_LARGEST), type=Fault))
        except FileNotFoundError:
            continue
        except (OSError, msgspec.DecodeError) as error:
            found.append(Fault(feed, 0, 0, [f"{path.name} cannot be read: {error}"]))
    return found


class FaultReader:
    """The faults in a state folder, for who tells them once."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._told: dict[str, Fault] = {}

    def news(self) -> list[Sentence]:
        """What is new since the last time."""
        found = {one.feed: one for one in faults(self._state)}
        told = [one.said for feed, one in found.items() if self._told.get(feed) != one]
        gone = [feed for feed in self._told if feed not in found]
        told += [sentence("feed.well", feed=feed) for feed in gone]
        self._told = found
        return told
