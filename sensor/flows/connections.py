"""Flows to segments, so that what judges a mirror judges them as well.

Of each connection to a watched port its client's side becomes a SYN, and, where the flow says
that the client went on, a bare acknowledgement: what a mirror without the servers' side would show.
A reset of a server that accepted nothing (RST and no SYN among its flags) becomes that reset. No
segment is made of a server's own number: so nothing is ever proven of a host, and no block is
recommended.

A connection counts when its record arrives. Whether a client went on is told

    by flags       an ACK among them; where one packet in many is looked at, each is taken to have
                   gone on, for a lone SYN there says nothing of an answer
    without them   by packets larger than a SYN

A record without SYN that is no continuation known here is a connection where packets are sampled,
or flags are not told; else it is the rest of one from before. Two exporters on one path tell of a
connection twice: what another says of it within ``_TWICE`` is the same one.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import table
from sensor.decode.segment import ACK, RST, SEGMENT, SYN, port_in
from sensor.decode.sharing import LEAD, unpack
from sensor.flows.record import Flow

__all__ = ["Connections"]

_TWICE: Final = 120_000_000_000
"""Nanoseconds: exporters' timeouts differ."""
_LASTS: Final = 3_600_000_000_000
"""Nanoseconds after which a record of the same ends is of another connection."""
_HEADER: Final = 8
"""Bytes: of the client's own header nothing is known, so nothing is to be made of it."""
_LARGEST_SYN: Final = 80
_MOD: Final = 0xFFFFFFFF

Ends = tuple[bytes, int, bytes, int]
"""Client, its port, server, its port."""


class _Known(NamedTuple):
    since: int
    exporter: str
    seq: int
    went_on: bool


class Connections:
    """Those heard of, at most ``most``; the one heard of longest ago goes first."""

    def __init__(self, watched: NDArray[np.uint8], seed: np.uint64, most: int) -> None:
        """``watched``: by port; ``seed``: the pipeline's."""
        self._watched = watched
        self._seed = seed
        self._most = most
        self._known: dict[Ends, _Known] = {}
        self._made = 0
        self._counts = dict.fromkeys(
            ("flows_of_other_ports", "flows_opened", "flows_continued", "flows_refused",
             "flows_told_twice", "flows_of_before", "flows_of_servers", "connections_forgotten"), 0,
        )  # fmt: skip

    def counters(self) -> dict[str, int]:
        """What became of flows; all but ``connections_forgotten`` add up to those given."""
        return self._counts

    def take(
        self, flows: Sequence[Flow], exporter: str, ts: int
    ) -> tuple[NDArray[np.void], NDArray[np.uint8]] | None:
        """Segments (dtype SEGMENT) of a message's flows, and their data; None: there are none."""
        made: list[tuple[Ends, bool, int, int, int]] = []
        from_clients: list[Flow] = []
        others: list[Flow] = []
        for one in flows:
            (from_clients if port_in(self._watched, one.port) else others).append(one)
        for one in from_clients:
            self._of_client(one, exporter, ts, made)
        for one in others:
            if port_in(self._watched, one.source_port):
                self._of_server(one, made)
            else:
                self._counts["flows_of_other_ports"] += 1
        return self._segments(made, ts) if made else None

    def _of_client(
        self, flow: Flow, exporter: str, ts: int, made: list[tuple[Ends, bool, int, int, int]]
    ) -> None:
        ends = flow.source, flow.source_port, flow.destination, flow.port
        known = self._known.pop(ends, None)
        if known is not None and ts - known.since > _LASTS:
            known = None
        opens = flow.flags < 0 or flow.flags & SYN > 0
        sampled = flow.rate > 1
        went_on = self._went_on(flow)
        same = known is not None and (
            sampled or not opens or flow.flags < 0
            or (known.exporter != exporter and ts - known.since < _TWICE)
        )  # fmt: skip
        if same:
            assert known is not None
            twice = known.exporter != exporter
            self._counts["flows_told_twice" if twice else "flows_continued"] += 1
            if went_on and not known.went_on:
                made.append((ends, True, ACK, known.seq + 1, 1))
                known = known._replace(went_on=True)
        elif not opens and not sampled:
            self._counts["flows_of_before"] += 1
            return
        else:
            self._counts["flows_opened"] += 1
            self._made += 1
            known = _Known(ts, exporter, self._made * 0x9E3779B1 & _MOD, went_on)
            made.append((ends, True, SYN, known.seq, 0))
            if went_on:
                made.append((ends, True, ACK, known.seq + 1, 1))
        assert known is not None
        self._known[ends] = known
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
            self._counts["connections_forgotten"] += 1

    @staticmethod
    def _went_on(flow: Flow) -> bool:
        if flow.rate > 1:
            return True
        if flow.flags < 0:
            return flow.size > flow.packets * _LARGEST_SYN
        return bool(flow.flags & ACK)

    def _of_server(self, flow: Flow, made: list[tuple[Ends, bool, int, int, int]]) -> None:
        ends = flow.destination, flow.port, flow.source, flow.source_port
        known = self._known.get(ends)
        refuses = flow.flags >= 0 and flow.flags & (RST | SYN) == RST
        if known is None or known.went_on or not refuses:
            self._counts["flows_of_servers"] += 1
            return
        self._counts["flows_refused"] += 1
        made.append((ends, False, RST | ACK, 0, known.seq + 1))

    def _segments(
        self, made: list[tuple[Ends, bool, int, int, int]], ts: int
    ) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
        rows = table(len(made), SEGMENT)
        for k, (ends, by_client, flags, seq, ack) in enumerate(made):
            client, client_port, server, server_port = ends
            source, destination = (client, server) if by_client else (server, client)
            ports = (client_port, server_port) if by_client else (server_port, client_port)
            row = rows[k]
            row["ts"], row["frame"], row["vlan"], row["header"] = ts, 0, -1, _HEADER
            row["src_hi"], row["src_lo"] = _halves(source)
            row["dst_hi"], row["dst_lo"] = _halves(destination)
            row["sport"], row["dport"] = ports
            row["tcp_flags"], row["seq"], row["ack"] = flags, seq & _MOD, ack & _MOD
        data = np.zeros(len(made) * (LEAD + _HEADER), np.uint8)
        nothing = np.zeros(len(made) * _HEADER, np.uint8)
        unpack(rows, np.zeros(len(made), np.uint8), nothing, self._seed, 0, data)
        return rows, data


def _halves(address: bytes) -> tuple[int, int]:
    if len(address) == 4:
        return 0, 0xFFFF << 32 | int.from_bytes(address)
    return int.from_bytes(address[:8]), int.from_bytes(address[8:])
