"""Which detectors there are. One is its file in this folder, and its line here.

What follows from the line: its settings ``[detectors.<name>]`` with their defaults and their
checks, its term of the score, its place among the reasons of an alert and of ``port25 explain``,
its sentences, the bound below which hosts are not weighed, its part in ``port25 tune``, and its
row in the ablation of ``docs/quality.md``. ``docs/how-to-add.md`` adds one.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from detectors.detector import Detector
from sensor.base.sentences import add

__all__ = ["DETECTORS", "DetectorSettings"]

PAGES: Final = (
    "fan_out",
    "first_contact",
    "rejections",
    "deliveries",
    "answers",
    "dialogue",
    "senders",
    "logins",
    "wordless",
    "campaign",
    "mx_lookups",
    "regularity",
    "submission",
    "inbound",
)
"""Names of the files, in the order in which reasons are shown."""


def _detector(page: str) -> type[Detector]:
    """The detector of a page."""
    module = importlib.import_module(f"detectors.{page}")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Detector)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1 or found[0].name != page:
        raise TypeError(f"detectors/{page}.py: expected one Detector, whose name is {page!r}")
    add(page, found[0].sentences)
    return found[0]


DETECTORS: Final = tuple(_detector(page) for page in PAGES)
"""Each detector's class."""

if TYPE_CHECKING:

    class DetectorSettings(msgspec.Struct, frozen=True):
        """The settings of each detector, by its name."""

        def __init__(self, **settings: msgspec.Struct) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

else:
    DetectorSettings = msgspec.defstruct(
        "DetectorSettings",
        [(one.name, one.Settings, one.Settings()) for one in DETECTORS],
        namespace={"__doc__": "The settings of each detector, by its name."},
        module=__name__,
        frozen=True,
        forbid_unknown_fields=True,
    )
