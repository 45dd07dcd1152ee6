"""What an operation of the API is: what it takes, who may, what it gives, what it does.

A handler runs in a thread with a :class:`View` and gives a struct; what it cannot do raises
:class:`ApiError`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sensor.base.access import Person, Role
from sensor.console.view import View
from sensor.console.web import schemas
from sensor.console.web.app_state import AppState

__all__ = ["ApiRequest", "Download", "Operation"]


class ApiRequest(NamedTuple):
    """A request, checked."""

    app: AppState
    view: View
    person: Person
    path: dict[str, str]
    query: Any
    body: Any


class Download(NamedTuple):
    """A file to keep: its kind, its name, itself."""

    kind: str
    name: str
    content: bytes | Path


class Operation(NamedTuple):
    """One thing the API does."""

    method: str
    path: str
    does: Callable[[ApiRequest], Any]
    role: Role
    summary: str
    gives: Any = None
    """a type of ``schemas``, or media types of files, with commas between"""

    query: type[schemas.Query] | None = None
    body: type[schemas.Body] | None = None
    raw: str = ""
    """media type of a body that is no JSON; the handler is given its bytes"""
    faults: tuple[int, ...] = ()
    """besides 400, 401, 403 and those of bodies"""
    slow: bool = False
    """it may take seconds, and must not keep others waiting"""

    whole: bool = False
    """it is of the whole sensor: nobody who is bound to prefixes may"""

    fleeting: bool = False
    """it changes while nothing is written"""

    @property
    def shared(self) -> bool:
        """Whether everybody gets the same answer until something changes."""
        return self.method == "GET" and not self.slow and not self.fleeting
