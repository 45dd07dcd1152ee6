"""Traffic from a mirror port, for a while, or from captures."""

import time
from collections.abc import Iterable, Sequence
from typing import Final

from sensor.capture.block import Block, CaptureError
from sensor.capture.merge import Captures
from sensor.decode.decoder import Decoder
from sensor.doctor.traffic import Traffic
from sensor.service.taps import Taps
from sensor.settings import Settings

__all__ = ["heard", "read"]

_TURN: Final = 0.25
_ENOUGH: Final = 2_000_000
"""Segments after which no more is learnt."""


class _Ear:
    def __init__(self, settings: Settings) -> None:
        self._decoder = Decoder(settings.ports, settings.duplicate_window)
        self.traffic = Traffic(self._decoder.watched)

    def add(self, blocks: Iterable[Block]) -> bool:
        """Take them in; whether that is enough."""
        for block in blocks:
            self.traffic.add(self._decoder.decode(block), len(block.frames))
            if self.traffic.segments >= _ENOUGH:
                return True
        return False


def heard(interfaces: Sequence[str], settings: Settings, seconds: float) -> Traffic:
    """What comes in within ``seconds``. Raises CaptureError, FilterError, OSError."""
    ear = _Ear(settings)
    taps = Taps(settings, interfaces, None, None, None, lambda kind, said: None)
    try:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if ear.add(taps.read(min(left, _TURN))):
                break
    finally:
        taps.close()
    return ear.traffic


def read(files: list[str], settings: Settings) -> tuple[Traffic, list[CaptureError]]:
    """What captures hold, and what was wrong with them."""
    ear = _Ear(settings)
    captures = Captures(files)
    ear.add(captures)
    return ear.traffic, list(captures.faults)
