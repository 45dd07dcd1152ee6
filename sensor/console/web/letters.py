"""Letters about an alert: a draft to begin with, sent by a person, and kept as it was sent."""

import contextlib
import time
from typing import Annotated

import msgspec

from sensor.alerts.alert import Alert
from sensor.blocking.desk import Desk, Letter
from sensor.console.web import schemas
from sensor.console.web.app_state import ApiError
from sensor.console.web.operation import ApiRequest
from sensor.notify import letters
from sensor.notify.mail import ADDRESS
from sensor.state.folder import StateFolder

__all__ = ["LetterQuery", "LetterText", "Letters", "draft", "kept", "send"]

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\r\n]+$")]


class LetterQuery(schemas.Query, frozen=True):
    """Which draft."""

    kind: letters.Kind = "customer.en"


class LetterText(schemas.Body, frozen=True):
    """What is to be sent."""

    kind: letters.Kind
    to: Annotated[str, msgspec.Meta(pattern=ADDRESS, max_length=254)]
    subject: Line
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]


class Letters(msgspec.Struct, frozen=True):
    """Those about an alert, the oldest first."""

    letters: list[Letter]


def _last(request: ApiRequest) -> Alert:
    found = request.view.messages(request.path["id"])
    if not found:
        raise ApiError(404, "there is no such alert")
    return found[-1]


def draft(request: ApiRequest) -> letters.Draft:
    """Of a template."""
    of = request.app.settings.notify.letters
    try:
        return letters.draft(of, _last(request), request.query.kind)
    except letters.LetterError as error:
        raise ApiError(503, str(error)) from None


def kept(request: ApiRequest) -> Letters:
    """What was sent."""
    id_, path = _last(request).id, StateFolder(request.view.state).desk
    if not path.exists():
        return Letters([])
    with contextlib.closing(Desk(path, read_only=True)) as desk:
        return Letters(desk.letters(id_))


def send(request: ApiRequest) -> Letters:
    """Send one; it is kept before that, and marked when a mail server has taken it."""
    body: LetterText = request.body
    alert, post = _last(request), request.app.post
    if post is None:
        raise ApiError(409, "no letters are sent from here (notify.letters)")
    letter = letters.Draft(body.kind, body.subject, body.text)
    name = request.person.name
    try:
        made = letters.message(request.app.settings.notify.letters, alert, letter, body.to)
        told = f"{body.kind} to {body.to}: {body.subject}"
        request.view.note(name, "letter", [(alert.host, alert.id)], told)
        with contextlib.closing(Desk(StateFolder(request.view.state).desk)) as desk:
            whole = made.as_bytes().decode(errors="replace")
            one = Letter(time.time_ns(), name, body.kind, body.to, body.subject, whole, 0)
            number = desk.keep_letter(alert.id, alert.host, one)
            post(made, body.to)
            desk.letter_sent(number, time.time_ns())
    except letters.LetterError as error:
        raise ApiError(503, str(error)) from None
    return kept(request)
