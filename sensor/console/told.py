"""The destinations of notifications as the page shows them, and a test of one a person wants."""

import contextlib
from typing import Final

import msgspec

from sensor.base.database import DatabaseError
from sensor.console.view import View
from sensor.sinks.outbox import Away, Outbox, Trial
from sensor.state.folder import StateFolder

__all__ = ["Told", "told", "try_out"]

_NOTIFY: Final = "notify/"
"""How names of sinks begin that are destinations."""


class Told(msgspec.Struct, frozen=True):
    """A destination of notifications."""

    name: str
    waiting: int
    """messages of alerts that it is not done with"""
    refused: int
    """that it will never take"""
    away: Away | None
    """since when and why it takes nothing; null: it does"""
    trial: Trial | None
    """the last test of it that a person asked for"""


def told(view: View) -> list[Told]:
    """All there are."""
    waiting, away = view.waiting(), {one.sink: one for one in view.away()}
    trials: dict[str, Trial] = {}
    refused: dict[str, int] = {}
    path = StateFolder(view.state).outbox
    # A file that no sensor has opened since it has these tables has none.
    if path.exists():
        with (
            contextlib.suppress(DatabaseError),
            contextlib.closing(Outbox(path, read_only=True)) as outbox,
        ):
            refused = outbox.refusals()
            trials = {one.sink: one for one in outbox.trials()}
    return [
        Told(
            sink.removeprefix(_NOTIFY),
            messages,
            refused.get(sink, 0),
            away.get(sink),
            trials.get(sink),
        )
        for sink, messages in waiting.items()
        if sink.startswith(_NOTIFY)
    ]


def try_out(view: View, name: str, by: str) -> bool:
    """Have the sensor send a test; False: there is no such destination."""
    if f"{_NOTIFY}{name}" not in view.waiting():
        return False
    with contextlib.closing(Outbox(StateFolder(view.state).outbox)) as outbox:
        outbox.ask_for_trial(f"{_NOTIFY}{name}", by)
    return True
