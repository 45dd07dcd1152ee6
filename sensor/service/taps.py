"""The interfaces a sensor listens to, as one source of blocks.

Each has a ring the kernel fills, and a filter in the kernel. What is read may be written to a file
as well (``-w``), as tcpdump does.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.sentences import Sentence, sentence
from sensor.capture.afpacket import (
    Fanout,
    Interface,
    Interfaces,
    Statistics,
    link_of,
    probe,
    trouble_of,
)
from sensor.capture.block import Block
from sensor.capture.bpf import Instruction, expression, mail_filter, steering
from sensor.evidence.store import Writer
from sensor.settings import Settings, subscriber_prefixes

__all__ = ["Taps", "Worker", "check_interfaces"]


class Worker(NamedTuple):
    """One of several processes on the same interfaces."""

    number: int
    of: int
    group: int
    """of PACKET_FANOUT, for the first interface"""
    shown: NDArray[np.int64]
    """shared by all; see ``Pipeline.pool_visibility``"""

    def fanout(self, interface: int, settings: Settings, link: int) -> Fanout:
        """Its place among those that share an interface."""
        prefixes = subscriber_prefixes(settings)
        shortest = min([64, *(p.delegated for p in prefixes if p.delegated)])
        return Fanout(self.group + interface, steering(settings.ports, shortest, link))


def _filter(settings: Settings, name: str, bpf: str | None, link: int) -> list[Instruction]:
    if bpf:
        return expression(bpf, name)
    return mail_filter(settings.ports, settings.reads_dns, settings.live.tunnels, link)


def check_interfaces(settings: Settings, names: Sequence[str], bpf: str | None) -> None:
    """Find out whether they could be opened. Raises CaptureError, FilterError."""
    for name in names:
        _filter(settings, name, bpf, probe(name))


class Taps:
    """Some interfaces, open; packets come in from now on."""

    def __init__(
        self,
        settings: Settings,
        names: Sequence[str],
        bpf: str | None,
        worker: Worker | None,
        record: str | None,
        notify: Callable[[str, Sentence], None],
    ) -> None:
        """``bpf``: a filter in place of the sensor's; ``record``: a file for all that is read.

        Raises CaptureError, FilterError, OSError.
        """
        self.statistics = Statistics(0, 0, 0)
        """the kernel's counts, of all interfaces, as of the last second"""
        self.rate = 0.0
        """frames read a second, in the last second"""
        self._bpf = bpf
        self._notify = notify
        self._frames = 0
        # Held open for as long as the sensor runs.
        self._record = Writer(Path(record).open("wb")) if record else None  # noqa: SIM115
        live = settings.live
        self._interfaces = [
            Interface(
                name,
                _filter(settings, name, bpf, link_of(name)),
                live.ring,
                live.promiscuous,
                live.incoming_only,
                worker.fanout(number, settings, link_of(name)) if worker else None,
            )
            for number, name in enumerate(names)
        ]
        self._source = Interfaces(self._interfaces)

    def read(self, seconds: float) -> Iterator[Block]:
        """What there is within ``seconds``; each block is valid until the next is asked for.

        Raises CaptureError.
        """
        for block in self._source.read(seconds):
            self._frames += len(block.frames)
            self._write(block)
            yield block

    def _write(self, block: Block) -> None:
        if self._record is None:
            return
        whole = block.frames["captured"].astype(np.int64)
        try:
            self._record.write(block.data, block.frames, whole)
        except OSError as error:
            self._notify("evidence", sentence("evidence.record", error=error.strerror))
            self._record = None

    def count(self, seconds: float | None = None) -> Statistics:
        """Ask for the kernel's counts; ``seconds`` have passed since the rate was worked out."""
        columns = zip(*(i.statistics for i in self._interfaces), strict=True)
        self.statistics = Statistics(*map(sum, columns))
        if seconds is not None:
            self.rate, self._frames = self._frames / seconds, 0
        return self.statistics

    @property
    def waiting(self) -> int:
        """Blocks of the rings that wait to be read."""
        return sum(interface.waiting for interface in self._interfaces)

    @property
    def troubles(self) -> dict[str, Sentence | None]:
        """By interface, what is wrong with its cable."""
        return {i.name: trouble_of(i.name) for i in self._interfaces}

    def reload(self, settings: Settings) -> None:
        """Other settings may ask for other packets."""
        for interface in self._interfaces if not self._bpf else ():
            name = interface.name
            interface.set_filter(_filter(settings, name, None, link_of(name)))

    def close(self) -> None:
        """Close the rings, and the file."""
        for interface in self._interfaces:
            interface.close()
        if self._record is not None:
            self._record.close()
