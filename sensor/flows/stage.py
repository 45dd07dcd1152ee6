"""From export messages to what the pipeline is given: collector and connections, wired together."""

import os
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor.decode.decoder import Decoder
from sensor.decode.segment import watched_ports
from sensor.flows.collector import Collector
from sensor.flows.connections import Connections
from sensor.flows.source import Message

__all__ = ["Stage"]


class Stage:
    """Keeps what it was told of templates, and counts everything."""

    def __init__(self, ports: tuple[int, ...], seed: np.uint64, most: int) -> None:
        """``ports`` are watched; ``seed``: the pipeline's; ``most`` connections are remembered."""
        self._collector = Collector(Decoder(ports, duplicate_window=-1))
        self._connections = Connections(watched_ports(list(ports)), seed, most)
        self._learned = 0

    def take(self, message: Message) -> tuple[NDArray[np.void], NDArray[np.uint8]] | None:
        """Segments (dtype SEGMENT) and their data; None: there are none."""
        flows = self._collector.hear(message.data, message.exporter)
        return self._connections.take(flows, message.exporter, message.ts) if flows else None

    def take_up(self, path: Path) -> str:
        """Templates of before; what is wrong with the file, or nothing."""
        try:
            self._collector.templates.take_up(path.read_bytes())
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            return f"{path}: templates of before are not known: {error}"
        return ""

    def keep(self, path: Path) -> None:
        """Write the templates where there are new ones, whole or not at all. Raises OSError."""
        if self._collector.templates.learned == self._learned:
            return
        self._learned = self._collector.templates.learned
        new = path.with_name(f".{path.name}.{os.getpid()}")
        new.write_bytes(self._collector.templates.kept())
        new.replace(path)

    def counters(self) -> dict[str, int]:
        """Of messages, and of flows."""
        return self._collector.counters() | self._connections.counters()

    @property
    def rates(self) -> dict[str, int]:
        """By exporter, one packet in how many it looks at."""
        return dict(self._collector.rates)

    @property
    def faults(self) -> list[str]:
        """What was wrong with messages, the first of each kind."""
        collector = self._collector
        unexpected = f"not expected, please report it: {collector.door.reason}"
        return [*filter(None, [collector.fault]), *([unexpected] if collector.door.refused else [])]
