"""The packets that made an alert, out of the evidence store; every access is logged.

The log, ``access.log`` beside the packets, is a line of JSON for each: who, when, which alert.
"""

import datetime
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor.alerts.alert import Alert
from sensor.base.addresses import as_int
from sensor.base.kernel import table
from sensor.base.units import SECOND
from sensor.capture.block import FRAME, CaptureError
from sensor.capture.merge import Captures
from sensor.customers.words import Address
from sensor.decode.decoder import Decoder
from sensor.decode.segment import port_in
from sensor.evidence.store import Writer, frames_of, stored_files
from sensor.hosts.subscribers import Subscribers, host_of, parse_host, where
from sensor.state.folder import StateFolder

__all__ = ["EvidenceError", "Export", "Wanted", "get_ready", "wanted"]


class EvidenceError(Exception):
    """Nothing was given out; the text says why."""


class Wanted(msgspec.Struct, frozen=True):
    """Which packets, and for which alert."""

    alert: str
    host: str
    """as alerts name it"""
    first: int
    last: int
    """packet time of the oldest and the newest, nanoseconds since 1970"""
    addresses: list[Address] = []
    """of a known customer: whatever he had, while it was his"""
    comment: str = ""


def wanted(alert: Alert) -> Wanted:
    """The packets of an alert's host, up to its last message."""
    held = list(alert.addresses or ())
    return Wanted(alert.id, alert.host, alert.first_seen * SECOND, alert.ts, held, _comment(alert))


class Export(NamedTuple):
    """Gives out packets of hosts as ``subscribers`` and ``ports`` of the settings tell them."""

    subscribers: Subscribers
    ports: Sequence[int]

    def write(
        self, folder: Path, alert: Alert, output: Path, by: str
    ) -> tuple[int, list[CaptureError]]:
        """Write the stored packets of an alert's host, up to its last message, as pcapng.

        Of a known customer those of each address while it was his; at other times it was others'.
        ``folder`` is the state folder of the worker that raised it. How many there were, and what
        was wrong with the store. Raises EvidenceError, and leaves no file then, where the access
        cannot be logged.
        """
        return self.cut([folder], wanted(alert), output, by)

    def cut(
        self, folders: Sequence[Path], what: Wanted, output: Path, by: str, most: int = 1 << 62
    ) -> tuple[int, list[CaptureError]]:
        """The same of what is wanted, from all ``folders``; the first has the log.

        It ends with the block of packets by which there are more than ``most`` bytes. Raises
        EvidenceError, and ValueError where a host or an address is none.
        """
        written, faults = self._copy(folders, what, output, most)
        try:
            _note_access(folders[0], what, by, written)
        except EvidenceError:
            output.unlink(missing_ok=True)
            raise
        return written, faults

    def _copy(
        self, folders: Sequence[Path], what: Wanted, output: Path, most: int
    ) -> tuple[int, list[CaptureError]]:
        first, last, held = what.first, what.last, what.addresses or None
        key = parse_host(what.host, self.subscribers) if held is None else (0, 0)
        files = [one for each in folders for one in stored_files(StateFolder(each).evidence)]
        decoder = Decoder(self.ports, duplicate_window=0)
        captures = Captures([str(file) for file in files])
        count = 0
        with output.open("wb") as target:
            writer = Writer(target, what.comment)
            for block in captures if files else ():
                segments = decoder.decode(block)
                times = segments["ts"]
                segments = segments[(times >= first) & (times <= last)]
                mine = np.zeros(len(segments), np.bool_)
                if held is None:
                    key_ = np.array(key, np.uint64)
                    host_of(segments, decoder.watched, self.subscribers, key_, mine)
                for one in held or ():
                    mine |= _while_his(segments, decoder.watched, one)
                frames, _ = frames_of(block, segments[mine], True)
                writer.write(block.data, frames, frames["captured"].astype(np.int64))
                count += len(frames)
                if target.tell() > most:
                    break
        return count, captures.faults


def _while_his(
    segments: NDArray[np.void], watched: NDArray[np.uint8], one: Address
) -> NDArray[np.bool_]:
    """Which segments are of an address while a customer had it: bool, one a segment."""
    network, ports = where(one.address)
    first = as_int(network.network_address)
    spare = network.max_prefixlen - network.prefixlen
    mask = (1 << 128) - (1 << spare)
    by_client = port_in(watched, segments["dport"])
    same = segments["ts"] >= one.since
    if one.until is not None:
        same &= segments["ts"] < one.until
    for half, shift in (("hi", 64), ("lo", 0)):
        cut, wanted = (np.uint64(n >> shift & (1 << 64) - 1) for n in (mask, first))
        client = np.where(by_client, segments[f"src_{half}"], segments[f"dst_{half}"])
        same &= client & cut == wanted
    if ports:
        port = np.where(by_client, segments["sport"], segments["dport"])
        same &= (port >= ports[0]) & (port <= ports[1])
    return same


def _comment(alert: Alert) -> str:
    reasons = "; ".join(line.reason for line in alert.evidence[1:] if line.decibans)
    return f"port25 alert {alert.id}: {alert.host}, {alert.score:+.1f} decibans. {reasons}"


def _note_access(folder: Path, what: Wanted, by: str, packets: int) -> None:
    log = StateFolder(folder).access_log
    entry = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(),
        "user": by,
        "alert": what.alert,
        "host": what.host,
        "packets": packets,
    }
    try:
        with log.open("ab") as out:
            out.write(msgspec.json.encode(entry) + b"\n")
    except OSError as error:
        raise EvidenceError(
            f"{log}: {error.strerror}; without a log of the access nothing is given out"
        ) from None


def get_ready(export: Export) -> None:
    """Have all code that an export needs read: later it may not be readable."""
    with tempfile.TemporaryDirectory() as made:
        store = StateFolder(Path(made)).evidence
        store.mkdir()
        with (store / "packets-0.pcapng").open("wb") as file:
            frame = table(1, FRAME)
            frame["captured"] = frame["wire"] = 60
            Writer(file).write(np.zeros(64, np.uint8), frame, np.full(1, 60))
        what = Wanted("", "192.0.2.1", 0, 0)
        export._copy([Path(made)], what, Path(made) / "out", 1 << 62)
