"""Which frames of a capture could not be read, and why, file by file.

Takes the decoder's counters as the blocks of :class:`Captures` go by; gives sentences for a person.
A capture in which not one segment, datagram of DNS or error about one was found says nothing about
anybody, and whoever reads it must not conclude that all is well.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sensor.capture.block import Block
from sensor.decode.decoder import Decoder
from sensor.decode.segment import Outcome

__all__ = ["Unread"]

_READ: Final = (
    Outcome.SEGMENT,
    Outcome.DUPLICATE,
    Outcome.ICMP_ERROR,
    Outcome.OTHER_TCP,
    Outcome.UDP_DNS,
    Outcome.TCP_DNS,
)
_OURS: Final = (Outcome.SEGMENT, Outcome.DUPLICATE, Outcome.ICMP_ERROR)
_ORDINARY: Final = {
    Outcome.NOT_IP: "not IP, or encrypted",
    Outcome.OTHER_IP: "IP of another protocol (encrypted or unknown tunnels)",
    Outcome.OTHER_UDP: "UDP other than DNS and known tunnels",
    Outcome.ICMP: "ICMP",
}
"""Any network has some; told only where they are most of a capture."""
_FAULTS: Final = {
    Outcome.UNSUPPORTED_LINK: "of a link type that is not supported",
    Outcome.CUT: "cut inside the headers (the capture's snap length)",
    Outcome.FRAGMENT: "IP fragments after the first",
    Outcome.TOO_DEEP: "with too many layers",
}


def _reason(outcome: Outcome) -> str:
    known = _FAULTS.get(outcome) or _ORDINARY.get(outcome)
    return known or outcome.name.lower().replace("malformed_", "malformed: ")


class Unread:
    """Counts by file."""

    def __init__(self, ports: Sequence[int] | None = (25,)) -> None:
        """``ports`` are those that were watched for (None: all)."""
        self._ports = ports
        self._files: dict[str, NDArray[np.int64]] = {}
        self._links: dict[str, set[int]] = {}

    def watch(self, blocks: Iterable[Block], decoder: Decoder) -> Iterator[Block]:
        """Yield ``blocks``; each must have gone through ``decoder`` when the next is asked for."""
        for block in blocks:
            before = decoder.counts.copy()
            name, some = block.source, block.frames["link"][:1].tolist()
            try:
                yield block
            finally:
                gone = decoder.counts - before
                if name not in self._files:
                    self._files[name] = np.zeros(len(Outcome), np.int64)
                self._files[name] += gone
                if gone[Outcome.UNSUPPORTED_LINK]:
                    self._links.setdefault(name, set()).update(some)

    @property
    def nothing(self) -> bool:
        """Whether no frame of all files was of TCP or DNS: there is nothing to conclude from."""
        return not sum(int(counts[list(_READ)].sum()) for counts in self._files.values())

    def sentences(self) -> list[str]:
        """One a file that could not be read whole, and one when none held a watched port."""
        if not self._files:
            return ["no frame was read: the capture holds none"]
        told = [line for name in self._files if (line := self._sentence(name))]
        if self.nothing:
            told.append("not one frame of TCP or DNS could be read; nothing can be concluded")
        elif not sum(int(counts[list(_OURS)].sum()) for counts in self._files.values()):
            frames = sum(int(counts.sum()) for counts in self._files.values())
            ports = (
                "any port" if self._ports is None else f"port {', '.join(map(str, self._ports))}"
            )
            told.append(f"{frames:,} frames were read, none of {ports}")
        return told

    def _sentence(self, name: str) -> str:
        counts = self._files[name]
        frames = int(counts.sum())
        causes: list[Outcome] = [
            o for o in Outcome if o not in _READ and o not in _ORDINARY and counts[o]
        ]
        ordinary: list[Outcome] = [o for o in _ORDINARY if counts[o]]
        if 2 * int(counts[causes + ordinary].sum()) > frames:
            causes += ordinary
        if not causes:
            return ""
        unread = int(counts[causes].sum())
        share = f"{100 * unread / frames:.1f} %" if 1000 * unread >= frames else "under 0.1 %"
        reasons = []
        for outcome in sorted(causes, key=lambda o: -int(counts[o])):
            links = sorted(self._links.get(name, ())) if outcome == Outcome.UNSUPPORTED_LINK else ()
            which = f" ({', '.join(map(str, links))})" if links else ""
            reasons.append(f"{int(counts[outcome]):,} {_reason(outcome)}{which}")
        return f"{name}: {unread:,} of {frames:,} frames ({share}) could not be read: " + "; ".join(
            reasons
        )
