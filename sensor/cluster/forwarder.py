"""What one sensor decodes, as batches: one after another for each partition.

No mail leaves here: payloads are masked (``smtp.mask``), of DNS only what has to do with mail goes
out (``dns.mail_only``), and at ``privacy = "headers"`` no payload at all.

A batch goes out when it is full and when :meth:`Forwarder.flush` is called, even an empty one, to
tell how far this sensor is: nothing older than the mark will come. :meth:`Forwarder.speak` does so
where no full one has told it of late.
"""

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import table
from sensor.cluster.batch import LATEST, MOST_BYTES, MOST_SEGMENTS, Head, encode
from sensor.decode.segment import SEGMENT, watched_ports
from sensor.decode.sharing import pack, share_out, shorten
from sensor.dns.mail_only import ASKER, ASKERS, withhold
from sensor.settings import Settings, subscriber_prefixes
from sensor.smtp.mask import MASKED, MASKED_ROWS, NO_KEY, mask

__all__ = ["Forwarder", "read_key"]

_NO_MARK: Final = 0

Send = Callable[[int, bytes], None]


def read_key(settings: Settings) -> np.uint64:
    """The provider's key, of the file the settings name. Raises OSError.

    ``NO_KEY`` where they name none: then nothing tells that two local parts are the same.
    """
    if not settings.cluster.key_file:
        return NO_KEY
    secret = Path(settings.cluster.key_file).read_bytes().strip()
    return np.uint64(int.from_bytes(hashlib.blake2b(secret, digest_size=8).digest()) | 1)


class _Share:
    """The batch of one partition that is being filled."""

    def __init__(self) -> None:
        self.rows = table(MOST_SEGMENTS, SEGMENT)
        self.ttls = np.zeros(MOST_SEGMENTS, np.uint8)
        self.packed = np.zeros(MOST_BYTES, np.uint8)
        self.fill = np.zeros(2, np.int64)
        self.number = 0
        self.told, self.at = 0, float("-inf")
        """number of the next batch as :meth:`Forwarder.speak` knows it, and since when"""


class Forwarder:
    """Gives ``send`` a partition and a message for it."""

    def __init__(
        self,
        settings: Settings,
        sensor: str,
        partitions: int,
        send: Send,
        key: np.uint64 = NO_KEY,
        live: bool = False,
    ) -> None:
        self._sensor = sensor
        self._send = send
        self._live = live
        self._run = secrets.token_hex(8)
        self._watched = watched_ports(list(settings.ports))
        prefixes = subscriber_prefixes(settings)
        # As the workers have it: all that one may hold goes one way.
        self._prefix = min([64, *(p.delegated for p in prefixes if p.delegated)])
        self._shares = [_Share() for _ in range(partitions)]
        self._short = np.zeros(MOST_BYTES, np.uint8)
        self._mark = _NO_MARK
        self._most = MOST_BYTES if settings.reads else 0
        self._key = key
        self._seed = np.uint64(secrets.randbits(64))
        self._streams = table(MASKED_ROWS + 1, MASKED)
        self._askers = table(ASKERS, ASKER)
        self.withheld = 0
        """messages of DNS that stayed here"""
        self.segments = 0
        """sent, those that go to several partitions as often"""
        self.batches = 0
        self.bytes = 0

    def add(
        self, segments: NDArray[np.void], data: NDArray[np.uint8], newest: int, link: str
    ) -> None:
        """Take what was decoded from a block whose newest frame is of packet time ``newest``.

        A stamp that no batch may have becomes the nearest one that it may.
        """
        if len(segments) and (segments["ts"].min() < 0 or segments["ts"].max() > LATEST):
            segments["ts"] = np.clip(segments["ts"], 0, LATEST)
        whose = np.zeros(len(segments), np.int64)
        share_out(segments, self._watched, self._prefix, len(self._shares), whose)
        self.withheld += int(withhold(segments, data, self._askers, whose))
        for number, share in enumerate(self._shares):
            at = 0
            while True:
                at = self._take(segments, data, whose, number, at, share)
                if at == len(segments):
                    break
                self._give(number, share, link, self._mark)
        self._mark = max(self._mark, min(newest, LATEST))

    def _take(
        self,
        segments: NDArray[np.void],
        data: NDArray[np.uint8],
        whose: NDArray[np.int64],
        number: int,
        at: int,
        share: _Share,
    ) -> int:
        """Pack what a share has from segment ``at`` on, masked; where it stopped."""
        before = int(share.fill[0])
        at = pack(
            segments, data, whose, number, at, self._most,
            share.rows, share.ttls, share.packed, share.fill,
        )  # fmt: skip
        fresh = share.rows[before : int(share.fill[0])]
        mask(fresh, share.packed, self._watched, self._seed, self._key, self._streams)
        return int(at)

    def advance(self, ts: int) -> None:
        """Nothing older than packet time ``ts`` will come, though nothing came."""
        self._mark = max(self._mark, ts)

    def flush(self, link: str = "") -> None:
        """Send what there is, and to each partition how far this sensor is."""
        for number, share in enumerate(self._shares):
            self._give(number, share, link, self._mark)

    def speak(self, now: float, seconds: float, link: str = "") -> None:
        """Flush partitions to which nothing went for so long; ``now`` is any steady clock's."""
        for number, share in enumerate(self._shares):
            if share.number == share.told and now - share.at >= seconds:
                self._give(number, share, link, self._mark)
            if share.number != share.told:
                share.told, share.at = share.number, now

    def end(self, link: str = "") -> None:
        """Flush; and that nothing more will come."""
        for number, share in enumerate(self._shares):
            self._give(number, share, link, self._mark, end=True)

    def _give(
        self, number: int, share: _Share, link: str, mark: int = _NO_MARK, end: bool = False
    ) -> None:
        n, size = share.fill.tolist()
        rows = share.rows[:n]
        size = int(shorten(rows, share.packed[:size], self._short))
        head = Head(
            sensor=self._sensor,
            run=self._run,
            number=share.number,
            link=link[-200:],
            first=int(rows["ts"].min()) if n else 0,
            last=max(int(rows["ts"].max()) if n else 0, mark if end else 0),
            mark=mark,
            segments=n,
            bytes=size,
            live=self._live,
            end=end,
        )
        message = encode(head, rows, share.ttls[:n], self._short[:size])
        share.number += 1
        share.fill[:] = 0
        self.batches += 1
        self.segments += n
        self.bytes += len(message)
        self._send(number, message)
