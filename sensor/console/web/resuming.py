"""Blocking that stopped itself goes on, here or where somebody else decides."""

import contextlib
import time
from typing import Annotated

import msgspec

from sensor.blocking.ledger import Ledger
from sensor.blocking.resuming import let_go_on
from sensor.console.web import schemas
from sensor.console.web.app_state import ApiError
from sensor.console.web.operation import ApiRequest
from sensor.state.folder import StateFolder

__all__ = ["ResumeOf", "Resumption", "resume"]


class ResumeOf(schemas.Body, frozen=True):
    """Whose blocking is to go on."""

    reason: schemas.ReasonText
    of: Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,62})?$")] = ""
    """a sensor that decides by itself, or who decides for all; empty: of this folder"""


class Resumption(msgspec.Struct, frozen=True):
    """Where blocking goes on."""

    here: bool
    """it had stopped in this folder; if not, who was named is told over Kafka"""


def resume(request: ApiRequest) -> Resumption:
    """A person has looked at it."""
    body, view, by = request.body, request.view, request.person.name
    path = StateFolder(view.state).ledger
    if not path.exists():
        raise ApiError(409, "nothing is decided in this folder")
    view.note(by, "resume", detail=f"{body.of}: {body.reason}" if body.of else body.reason)
    with contextlib.closing(Ledger(path)) as ledger:
        here = let_go_on(ledger, body.of, max(view.now, time.time_ns()), body.reason, by)
        told = bool(body.of) and ledger.shared
    if not here and not told:
        why = "who is named cannot be told without Kafka" if body.of else "blocking had not stopped"
        raise ApiError(409, why)
    return Resumption(here)
