"""What others say of subscribers: read, and taken in by HTTP."""

import contextlib
import time

import msgspec

from sensor.complaints.book import Complaints, Refused
from sensor.complaints.complaint import Complaint, ComplaintError
from sensor.complaints.intake import take
from sensor.console.corroboration import newest
from sensor.console.web.app_state import ApiError
from sensor.console.web.operation import ApiRequest
from sensor.state.folder import StateFolder

__all__ = ["ComplaintPage", "page", "report"]


class ComplaintPage(msgspec.Struct, frozen=True):
    """Complaints, and how many were not taken."""

    complaints: list[Complaint]
    """that came last"""
    refused: list[Refused]
    """by reason; empty for who is bound to prefixes"""


def page(request: ApiRequest) -> ComplaintPage:
    """The newest."""
    return ComplaintPage(*newest(request.view, request.query.limit))


def report(request: ApiRequest) -> Complaint:
    """Take in one."""
    request.view.note(request.person.name, "complaint")
    with contextlib.closing(Complaints(StateFolder(request.view.state).complaints)) as book:
        try:
            return take(book, request.app.subscribers, request.body, time.time_ns())
        except ComplaintError as error:
            status = 409 if error.reason == "twice" else 422
            raise ApiError(status, f"{error.reason}: {error}") from None
