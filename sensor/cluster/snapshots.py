"""The state of a partition on Kafka, so that any other process can go on with it.

A snapshot is written by a forked child into a file, as the sensor's own is (``state.snapshot``).
When that is done it goes out in pieces, as messages of the state topic's partition of the same
number, together with the next alerts and offsets. Where it begins is noted beside the offsets of
the group. The topic is compacted: of each piece the last one stays.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sensor.cluster.share import Share
from sensor.settings import Settings
from sensor.sinks.kafka.connection import Connection
from sensor.state.snapshot import SnapshotError, fork_and_write, read

__all__ = ["Writing", "fetch", "send", "sweep"]

_PIECE: Final = 900_000
"""Bytes: a message stays below the megabyte that topics take."""
_FOLDER: Final = f"port25-state-{os.getpid()}-"
_PATIENCE: Final = 20
"""Polls of a second without a piece after which the snapshot is given up."""
_LONGEST: Final = 600.0
"""Seconds that a child may write: its disk may hang, or a lock that a thread held at the fork."""


class Writing:
    """A snapshot that a child is writing."""

    def __init__(self, share: Share, offset: int) -> None:
        """Of ``share`` as it is now; its log was read up to ``offset``. Raises OSError."""
        self._path = Path(tempfile.mkdtemp(prefix=_FOLDER), "state")
        arrays, facts = share.state()
        try:
            self._child = fork_and_write(self._path, arrays, facts | {"offset": offset})
            self._until = time.monotonic() + _LONGEST
        except OSError:
            shutil.rmtree(self._path.parent, ignore_errors=True)
            raise

    def done(self) -> bytes | None:
        """What was written; empty: it could not be. None: it is not done yet."""
        pid, status = os.waitpid(self._child, os.WNOHANG)
        if pid == 0:
            if time.monotonic() > self._until:
                os.kill(self._child, signal.SIGKILL)
            return None
        self._child = 0
        written = b""
        with contextlib.suppress(OSError):  # somebody tidied up
            written = self._path.read_bytes() if status == 0 else b""
        shutil.rmtree(self._path.parent, ignore_errors=True)
        return written

    def abandon(self) -> None:
        """It is not needed any more; nobody waits until it is written."""
        if self._child:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._child = 0
        shutil.rmtree(self._path.parent, ignore_errors=True)


def sweep() -> None:
    """Remove what processes left that were killed while they wrote one."""
    for folder in Path(tempfile.gettempdir()).glob("port25-state-*-*"):
        process = folder.name.split("-")[2]
        if process.isdecimal() and not Path("/proc", process).exists():
            shutil.rmtree(folder, ignore_errors=True)


def send(written: bytes, put: Callable[[str, bytes], Any]) -> list[Any]:
    """Give ``put`` a key and a value for each piece; the futures it returns."""
    return [
        put(str(number), written[at : at + _PIECE])
        for number, at in enumerate(range(0, len(written), _PIECE))
    ]


def fetch(
    connection: Connection, settings: Settings, partition: int, first: int, pieces: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and facts of the snapshot whose ``pieces`` begin at offset ``first`` of the topic.

    Raises SnapshotError where it is not there whole, KafkaError.
    """
    from kafka import KafkaConsumer, TopicPartition

    part = TopicPartition(settings.cluster.state_topic, partition)
    consumer = KafkaConsumer(
        **connection.arguments,
        client_id=f"port25-state-{partition}",
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        allow_auto_create_topics=False,
    )
    found: list[bytes] = []
    try:
        consumer.assign([part])
        consumer.seek(part, first)
        silent = 0
        while len(found) < pieces and silent < _PATIENCE:
            records = consumer.poll(1000).get(part, ())
            silent = 0 if records else silent + 1
            for record in records:
                if len(found) < pieces and record.key == str(len(found)).encode():
                    found.append(record.value)
    finally:
        consumer.close()
    if len(found) < pieces:
        raise SnapshotError(f"{part.topic}: {len(found)} of {pieces} pieces at offset {first}")
    # In memory: a full disk is no reason to begin without it.
    with os.fdopen(os.memfd_create("port25-state"), "wb") as file:
        file.writelines(found)
        file.flush()
        return read(Path(f"/proc/self/fd/{file.fileno()}"))
