"""What can be told of a mirror from a minute of its mail: who speaks, and whether both sides do.

Takes segments of watched ports as the decoder gives them. Memory is bounded: of hosts beyond
``MOST_HOSTS`` nothing is kept, and of a host's peers no more than ``MOST_PEERS``.
"""

from collections import Counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sensor.decode.segment import ACK, SYN, TCP, port_in

__all__ = ["MOST_HOSTS", "MOST_PEERS", "Client", "Traffic"]

MOST_HOSTS: Final = 50_000
MOST_PEERS: Final = 64
_HALF: Final = 64

Address = int
"""128 bits, IPv4 mapped"""


class Client:
    """One that opened connections."""

    def __init__(self) -> None:
        self.opened = 0
        self.answered = 0
        self.servers: set[Address] = set()
        """some of them: MOST_PEERS at most"""


class Traffic:
    """Counts of what was seen."""

    def __init__(self, watched: NDArray[Any]) -> None:
        self._watched = watched
        self.frames = 0
        self.segments = 0
        self.asked = 0
        """SYNs"""
        self.accepted = 0
        """their answers"""
        self.from_clients = 0
        self.from_servers = 0
        self.copies = 0
        """segments that were seen a second time"""
        self.vlans: Counter[int] = Counter()
        """segments by outermost VLAN, -1 without one"""
        self.clients: dict[Address, Client] = {}
        self.callers: dict[Address, set[Address]] = {}
        """by server, some of those that opened connections to it"""
        self.not_kept = 0
        """SYNs of hosts that there was no room for"""

    def add(self, segments: NDArray[Any], frames: int) -> None:
        """The segments of one block of ``frames`` frames."""
        self.frames += frames
        rows = segments[segments["kind"] == TCP]
        self.copies += int(np.count_nonzero(rows["duplicate"]))
        rows = rows[rows["duplicate"] == 0]
        to_server = port_in(self._watched, rows["dport"])
        self.segments += len(rows)
        self.from_clients += int(np.count_nonzero(to_server))
        self.from_servers += int(np.count_nonzero(~to_server))
        ids, counts = np.unique(rows["vlan"], return_counts=True)
        self.vlans.update(dict(zip(ids.tolist(), counts.tolist(), strict=True)))
        flags = rows["tcp_flags"]
        asks = rows[(flags & (SYN | ACK) == SYN) & to_server]
        answers = rows[(flags & (SYN | ACK) == SYN | ACK) & ~to_server]
        self.asked += len(asks)
        self.accepted += len(answers)
        for source, target in zip(_addresses(asks, "src"), _addresses(asks, "dst"), strict=True):
            self._ask(source, target)
        for target in _addresses(answers, "dst"):
            if target in self.clients:
                self.clients[target].answered += 1

    def _ask(self, source: Address, target: Address) -> None:
        client = self.clients.get(source)
        if client is None:
            if len(self.clients) >= MOST_HOSTS:
                self.not_kept += 1
                return
            client = self.clients[source] = Client()
        client.opened += 1
        if len(client.servers) < MOST_PEERS:
            client.servers.add(target)
        callers = self.callers.get(target)
        if callers is None:
            if len(self.callers) >= MOST_HOSTS:
                return
            callers = self.callers[target] = set()
        if len(callers) < MOST_PEERS:
            callers.add(source)


def _addresses(rows: NDArray[Any], side: str) -> list[Address]:
    high, low = rows[f"{side}_hi"].tolist(), rows[f"{side}_lo"].tolist()
    return [hi << _HALF | lo for hi, lo in zip(high, low, strict=True)]
