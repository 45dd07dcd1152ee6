"""Alerts as JSON lines: the embedded default, one object a line, nothing else."""

from typing import BinaryIO

import msgspec

from sensor.alerts.alert import Alert

__all__ = ["JsonLines"]


class JsonLines:
    """Writes alerts to a binary stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._encoder = msgspec.json.Encoder()

    def write(self, alert: Alert) -> None:
        """One line; the same alert always gives the same bytes."""
        self._stream.write(self._encoder.encode(alert) + b"\n")

    def flush(self) -> None:
        """Hand what was written on."""
        self._stream.flush()

    def close(self) -> None:
        """Nothing more comes; the stream stays open, it is the caller's."""
        self._stream.flush()
