"""What a check is given, and what it gives."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from sensor.doctor.traffic import Traffic
    from sensor.settings import Settings

__all__ = ["Finding", "Patient"]


class Finding(msgspec.Struct, frozen=True):
    """One thing, as it is."""

    about: str
    """a word or two: clock, disk, eth1"""
    verdict: Literal["fine", "advice", "wrong", "unknown"]
    """``wrong``: the sensor would not run, or would not see what it should"""
    text: str
    do: str = ""
    """what to do about it; nothing where it is fine"""


class Patient(NamedTuple):
    """A sensor, as it would run here."""

    settings: "Settings"
    state: Path
    interfaces: tuple[str, ...] = ()
    traffic: "Traffic | None" = None
    """what was seen on them, or in captures; None: nothing was looked at"""
