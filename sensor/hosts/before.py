"""Details of hosts as versions before kept them, for a snapshot that one of those left.

Until November 2026 a detail had ``sums`` by window, and lower and upper halves of its destinations
apart, without tags.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import table
from sensor.hosts.distinct import tags_of
from sensor.hosts.layout import DETAIL

__all__ = ["details_as_now"]

_HALVES = ("los", "his")


def details_as_now(old: NDArray[Any]) -> NDArray[Any]:
    """The same details, rows never used left out; those of this version as they are."""
    if not set(_HALVES) <= set(old.dtype.names or ()):
        return old
    taken = np.flatnonzero(old["at"])
    old = old[: taken[-1] + 1 if len(taken) else 0]
    made = table(len(old), DETAIL)
    for name in set(old.dtype.names or ()) & set(DETAIL.names or ()) - {"sums"}:
        both = tuple(
            slice(min(a, b)) for a, b in zip(made[name].shape, old[name].shape, strict=True)
        )
        made[name][both] = old[name][both]
    sums = old["sums"].swapaxes(1, 2)
    made["sums"][:, : sums.shape[1]] = sums
    for half, name in enumerate(_HALVES):
        made["keys"][..., half] = old[name]
    made["tags"] = tags_of(old["his"], old["los"])
    return made
