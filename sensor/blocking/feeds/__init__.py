"""Blocks in force in the forms that routers, firewalls and name servers read. One file a form.

The file's name is that of the form. Each has

* ``render(blocks, ts, own)``: the text of the blocks in force at ``ts`` (ns since 1970); ``own``
  are the provider's mail servers, to which even a blocked subscriber may speak;
* ``LOOKUPS``: whether customers of shared addresses whom somebody must look up are to be in it, as
  in lists for people and programs. All others only block.

Nothing else lies here: what is not in this folder is no form, and what is, is one.
"""

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from sensor.blocking.decision import Decision

__all__ = ["FORMATS", "Feed", "feed"]

FORMATS: Final = sorted(file.stem for file in Path(__path__[0]).glob("[a-z]*.py"))
"""Names of all forms; none of them is imported for it."""


class Feed(Protocol):
    """What a file here offers."""

    LOOKUPS: bool

    def render(self, blocks: "Sequence[Decision]", ts: int, own: Iterable[str] = ()) -> str:
        """The whole list as text."""


def feed(name: str) -> Feed:
    """The form of a name."""
    return cast(Feed, importlib.import_module(f"{__name__}.{name}"))
