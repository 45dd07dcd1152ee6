"""The impact report in the forms people and programs read. One file a form, named as the form.

Each has

* ``render(report)``: the text of a report;
* ``inconclusive(why)``: what stands in its place, in the same form, when captures let nothing be
  known of anybody: a table of zeros would read as leave to close the port.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from sensor.impact.report import Report

__all__ = ["FORMATS", "Format", "form"]

FORMATS: Final = sorted(file.stem for file in Path(__path__[0]).glob("[a-z]*.py"))
"""Names of all forms; none of them is imported for it."""


class Format(Protocol):
    """What a file here offers."""

    def render(self, report: "Report") -> str:
        """The report as text."""

    def inconclusive(self, why: list[str]) -> str:
        """That there is none, and why."""


def form(name: str) -> Format:
    """The form of a name."""
    return cast(Format, importlib.import_module(f"{__name__}.{name}"))
