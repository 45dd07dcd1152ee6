"""Whether Kafka answers, for who looks at a folder that is fed by its topics: ``kafka.json``.

A thread asks every few seconds which brokers there are, and knocks at the door of each. What it
finds stands in the folder with the time since when it is so, and when something was last heard.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from sensor.base.replacing import replace
from sensor.sinks.kafka.connection import Connection, import_kafka
from sensor.state.folder import StateFolder

__all__ = ["Broker", "Brokers", "KafkaWatch", "brokers_of"]

_LOOK: Final = 2.0
"""Seconds between looks."""
_KNOCK: Final = 1.0
"""Seconds that a broker may take to open its door."""
_MOST: Final = 64
"""Brokers that are named."""
_LARGEST: Final = 1 << 16
_TEXT: Final = 300


class Broker(msgspec.Struct, frozen=True):
    """One of them."""

    id: int
    address: str
    reachable: bool


class Brokers(msgspec.Struct, frozen=True):
    """What is known of Kafka."""

    answers: bool
    """whether it says which brokers there are"""
    since: int
    """since when that is so, nanoseconds since 1970"""
    looked: int
    """when that was last asked"""
    heard: int
    """when something was last heard on its topics; 0: nothing was yet"""
    brokers: list[Broker] = []
    """as it said when it last answered, and whether each can be reached"""
    fault: str = ""
    """why it does not answer"""


def brokers_of(state: Path) -> Brokers | None:
    """What is written in a state folder; None: nobody follows topics in it."""
    path = StateFolder(state).kafka
    try:
        if path.stat().st_size > _LARGEST:
            return None
        return msgspec.json.decode(path.read_bytes(), type=Brokers)
    except (OSError, msgspec.MsgspecError):
        return None


def _is_open(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _KNOCK).close()
    except OSError:
        return False
    return True


class KafkaWatch(threading.Thread):
    """Until :meth:`stop`."""

    def __init__(self, connection: Connection, files: StateFolder) -> None:
        super().__init__(name="kafka watch", daemon=True)
        import_kafka()
        self._connection = connection
        self._path = files.kafka
        self._stopping = threading.Event()
        before = brokers_of(files.path)
        self.heard = before.heard if before else 0
        """when something was last heard, ns; to be set by who hears it"""
        self.found = Brokers(False, time.time_ns(), 0, self.heard)
        if before is not None and not before.answers:
            self.found = before

    def run(self) -> None:
        """The thread."""
        while not self._stopping.is_set():
            try:
                self._know(self._brokers(), "")
            except Exception as error:  # whatever kafka-python raises
                known = [one.address for one in self.found.brokers]
                known = known or list(self._connection.settings.bootstrap)
                ids = [one.id for one in self.found.brokers] or [-1] * len(known)
                text = f"{type(error).__name__}: {error}"[:_TEXT]
                self._know(list(zip(ids, known, strict=True)), text)
            self._write()
            self._stopping.wait(_LOOK)

    def _brokers(self) -> list[tuple[int, str]]:
        from kafka import KafkaAdminClient

        client: Any = KafkaAdminClient(
            **self._connection.arguments, client_id="port25-watch", request_timeout_ms=5_000
        )
        try:
            said = client.describe_cluster()["brokers"]
        finally:
            client.close()
        return [(int(one["broker_id"]), f"{one['host']}:{one['port']}") for one in said]

    def _know(self, brokers: Sequence[tuple[int, str]], fault: str) -> None:
        now, before = time.time_ns(), self.found
        since = before.since if before.answers == (not fault) else now
        named = [Broker(number, at, _is_open(at)) for number, at in sorted(brokers)[:_MOST]]
        self.found = Brokers(not fault, since, now, self.heard, named, fault)

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: what is shown says of when it is
            replace(self._path, msgspec.json.encode(self.found))

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
