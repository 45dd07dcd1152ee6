"""Routes to ExaBGP on standard output, its answers from standard input, as long as it is there."""

import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sensor.base.database import DatabaseError
from sensor.blocking import feed_faults
from sensor.blocking.announcer import Announcer
from sensor.blocking.decision import Decision
from sensor.blocking.feeds import exabgp

__all__ = ["announce"]

_AGAIN: Final = 1.0
"""Seconds between looks into the ledger."""
_NAMED: Final = 10
"""Refused routes named in a minute; the others are counted."""
_MINUTE: Final = 60.0
_WAIT: Final = 200
"""Milliseconds."""
_READ: Final = 1 << 16
_GONE: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL


def announce(
    blocks: Callable[[], list[Decision]],
    ended: Callable[[], list[Decision]],
    state: Path,
    complain: Callable[[str], None],
) -> int:
    """Until the reader is gone, or it is interrupted; the exit code.

    ``blocks``: those in force now; ``ended``: those that were. One before this may have announced
    any of them. ``complain`` is told in words what goes wrong.
    """
    return _Announcement(blocks, ended, state, complain).run()


class _Announcement:
    def __init__(
        self,
        blocks: Callable[[], list[Decision]],
        ended: Callable[[], list[Decision]],
        state: Path,
        complain: Callable[[str], None],
    ) -> None:
        self._blocks = blocks
        self._ended: Callable[[], list[Decision]] | None = ended
        self._state = state
        self._complain = complain
        self._announcer = Announcer()
        self._unsaid = b""
        self._looked = -_AGAIN
        self._complaints: dict[str, str] = {}
        """the last of each kind"""
        self._minute = time.monotonic()
        self._named = self._unnamed = 0
        self._left: list[str] | None = None

    def run(self) -> int:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        while True:
            now = time.monotonic()
            if self._announcer.idle and now - self._looked >= _AGAIN:
                self._looked = now
                self._look(now)
                self._tell(now)
            self._unsaid = self._unsaid or self._announcer.say(now)
            # Without POLLOUT a reader that has gone is told all the same.
            poll.register(1, select.POLLOUT if self._unsaid else 0)
            for file, event in poll.poll(_WAIT):
                if file == 0:
                    if not self._hear():
                        poll.unregister(0)
                elif event & _GONE:
                    self._complain("exabgp: who reads the routes is gone")
                    return 1
                else:  # so much is taken without a wait; who waits does not read
                    self._unsaid = self._unsaid[os.write(1, self._unsaid[: select.PIPE_BUF]) :]

    def _look(self, now: float) -> None:
        """What is in force, if the ledger can be read; else what was stays announced."""
        try:
            found = self._blocks()
            if self._ended is not None:
                self._announcer.inherit(exabgp.announced([*self._ended(), *found]))
                self._ended = None
        except (DatabaseError, OSError) as error:
            # To end would have ExaBGP start this again a few times, and then end itself.
            self._once("ledger", f"{error}; trying again")
            return
        self._complaints.pop("ledger", None)
        self._announcer.want(exabgp.routes(found, time.time_ns()), now)

    def _hear(self) -> bool:
        """Read what there is; False at its end."""
        try:
            data = os.read(0, _READ)
        except OSError:
            return False
        for command in self._announcer.hear(data, time.monotonic()):
            if self._named < _NAMED:
                self._complain(f"exabgp answers error to: {command}")
                self._named += 1
            else:
                self._unnamed += 1
        return bool(data)

    def _tell(self, now: float) -> None:
        """What is refused, on standard error and in the state folder."""
        announcer = self._announcer
        if announcer.silent:
            self._once("silent", "exabgp does not answer: what it refuses cannot be known")
        if announcer.given_up:
            what = (
                f"{announcer.given_up:,} withdrawals" if announcer.given_up > 1 else "1 withdrawal"
            )
            self._once("given up", f"exabgp refuses {what} for good: routes may still be announced")
        if announcer.oversized:
            self._once(
                "oversized", f"{announcer.oversized:,} lines of exabgp were too long to read"
            )
        refused = announcer.refused
        if refused != self._left:
            self._left = refused
            try:
                feed_faults.tell(self._state, "exabgp", refused, time.time_ns())
            except OSError as error:
                self._once("state", f"the page is not told what exabgp refuses: {error}")
        if self._unnamed and now - self._minute >= _MINUTE:
            self._complain(
                f"exabgp answers error to {self._unnamed:,} more; {len(refused):,} commands"
                f" are refused now, {announcer.errors:,} errors in all"
            )
        if now - self._minute >= _MINUTE:
            self._minute, self._named, self._unnamed = now, 0, 0

    def _once(self, kind: str, text: str) -> None:
        if self._complaints.get(kind) != text:
            self._complain(text)
        self._complaints[kind] = text
