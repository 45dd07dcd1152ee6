"""How blocking that stopped itself goes on by itself: by steps, and old hands first.

A flood that trips ``max_per_minute`` (forged or real) must not keep the port open for ever to hosts
that were known long before it. So a stop holds for everybody else, and

* blocks made ten minutes before the stop or earlier go on being renewed: that adds none to those
  in force;
* after ``quiet`` seconds in which fewer than ``max_per_minute`` hosts were turned away comes a
  *step*, and one more after each further ``quiet``: one new block in it, then two, four, eight...,
  and only for hosts with a history from before the stop: blocked an hour before it or earlier, or
  known an hour before it, with contacts proven before;
* when a step would allow as many as ``max_per_minute``, everything is as before the stop. If so
  many are turned away again before, the steps end and a new stop begins.

All ceilings hold all the time. After a stop at ``max_blocks`` it goes on as blocks expire: the
quiet time begins when no more than three quarters are in force. At ``max_share`` too many of *all*
subscribers seem to be spam sources, which a wrong prefix or a detector gone wrong does and time
does not mend: that waits for a person. A step is a decision like any other, made in packet time:
the same alerts give the same steps.
"""

from typing import Final, NamedTuple, Protocol

from sensor.alerts.alert import Alert
from sensor.base.sentences import Sentence, sentence
from sensor.base.units import SECOND
from sensor.blocking.decision import Decision, decision

__all__ = [
    "BY_PERSON",
    "BY_STEPS",
    "STOPPED",
    "TURNED_AWAY",
    "Pause",
    "PauseBook",
    "due",
    "long_proven",
    "renewed",
    "stopped_again",
    "turned_away",
]

STOPPED: Final = Sentence("recovery.stopped")
NOT_LONG: Final = Sentence("recovery.not_long")
USED_UP: Final = Sentence("recovery.used_up")
TURNED_AWAY: Final = (STOPPED.code, NOT_LONG.code, USED_UP.code)
"""Why a block was refused that would else have been made."""
BY_STEPS: Final = Sentence("recovery.by_steps")
BY_PERSON: Final = Sentence("recovery.by_person")
_BY_STEPS_OF_OLD: Final = "it goes on by steps after a quiet time, or at once after `port25 resume`"
"""In decisions that bear no codes yet."""

_HISTORY: Final = 3600
"""Seconds before the stop from which a host must have been known."""
_BEFORE: Final = 600
"""Seconds before the stop at which a block must have begun to be renewed all the same."""
_CONTACTS: Final = 9
"""Contacts proven before the stop that make a history: as many as are usual in a day."""
_WINDOWS: Final = {"10 s": 10, "1 min": 60, "10 min": 600, "1 h": 3600}


class Pause(NamedTuple):
    """Blocking has stopped, and how far it has come since."""

    stop: Decision
    """the first since it last went on as usual"""
    last: Decision
    """the newest stop or step"""


class PauseBook(Protocol):
    """What must be known of earlier decisions. Times are ns since 1970."""

    def pause(self) -> Pause | None:
        """None where blocking has not stopped, or goes on as before."""

    def turned_away(self, nth: int) -> int:
        """When the ``nth`` last block was refused for a reason of ``TURNED_AWAY``; 0: never."""

    def free_from(self, blocks: int) -> int:
        """When the last moment ends at which more than so many blocks are in force; 0: never."""


def due(
    book: PauseBook, ts: int, quiet: int, rate: int, most: int, enforced: bool
) -> list[Decision]:
    """The steps, and at last the resumption, whose time has come by ``ts``.

    ``quiet`` in seconds (0: never), ``rate`` new blocks a minute, ``most`` in force.
    """
    pause = book.pause()
    if pause is None or not quiet or not _by_steps(pause.last):
        return []
    made = []
    step, since = pause.last.level, pause.last.ts
    loud, room = book.turned_away(rate), book.free_from(3 * most // 4)
    while (when := max(since, loud, room) + quiet * SECOND) <= ts:
        step, since = step + 1, when
        allowed = 1 << (step - 1)
        if allowed >= rate:
            why = sentence("recovery.resumed", steps=step - 1)
            made.append(decision("resume", when, [why], enforced=enforced))
            break
        why = sentence(
            "recovery.step", step=step, blocks=allowed, seconds=quiet,
            before=f"{pause.stop.time[:19]}Z", rate=rate,
        )  # fmt: skip
        made.append(decision("step", when, [why, BY_STEPS], enforced=enforced, level=step))
    return made


def _by_steps(last: Decision) -> bool:
    """Whether blocking goes on by itself after this stop or step."""
    if last.causes:
        return BY_STEPS in last.causes
    return _BY_STEPS_OF_OLD in last.reasons[1:]


def renewed(block: Decision, pause: Pause) -> bool:
    """Whether a block may be renewed while blocking has stopped: it adds none to those in force."""
    return block.since <= pause.stop.ts - _BEFORE * SECOND


def turned_away(
    pause: Pause, alert: Alert, earlier: Decision | None, made_since: int
) -> Sentence | None:
    """Why no new block is made of ``alert`` while blocking has stopped; None: it may be.

    ``earlier``: the last word on its host; ``made_since``: new blocks since the last step.
    """
    if pause.last.action == "stop":
        return STOPPED
    if not _blocked_before(earlier, pause.stop.ts) and not long_proven(alert, pause.stop.ts):
        return NOT_LONG
    if made_since >= 1 << (pause.last.level - 1):
        return USED_UP
    return None


def stopped_again(book: PauseBook, pause: Pause, ts: int, quiet: int, rate: int) -> list[Decision]:
    """A stop that ends the steps, where as many were turned away as would have stopped it."""
    loud = book.turned_away(rate)
    if pause.last.action != "step" or loud <= max(pause.last.ts, ts - quiet * SECOND):
        return []
    why = sentence("recovery.again", rate=rate, seconds=quiet)
    return [decision("stop", ts, [why, BY_STEPS], enforced=pause.last.enforced)]


def long_proven(alert: Alert, stopped: int) -> bool:
    """Whether the host had completed handshakes with many servers well before ``stopped`` (ns).

    It was known an hour before, and of the first contacts it proved in a day, enough are older
    than the stop (or than an hour, which is as far as the windows tell them apart).
    """
    if alert.first_seen * SECOND > stopped - _HISTORY * SECOND:
        return False
    ago = (alert.ts - stopped) // SECOND
    window = next((name for name, length in _WINDOWS.items() if length >= ago), "1 h")
    proven = {name: counts.get("first_proven", 0) for name, counts in alert.windows.items()}
    return proven.get("1 day", 0) - proven.get(window, 0) >= _CONTACTS


def _blocked_before(earlier: Decision | None, stopped: int) -> bool:
    return (
        earlier is not None
        and earlier.action in ("block", "release")
        and 0 < earlier.since <= stopped - _HISTORY * SECOND
    )
