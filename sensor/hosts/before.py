"""Details of hosts as versions before kept them, for a snapshot that one of those left.

Until November 2026 a detail had ``sums`` of what lay in each window, and in each of its panes; for
a while by window, and lower and upper halves of its destinations apart, without tags.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import table
from sensor.hosts.distinct import tags_of
from sensor.hosts.layout import DETAIL
from sensor.hosts.windows import DAY, PANES, SPANS

__all__ = ["details_as_now"]

_HALVES = ("los", "his")
_COUNTED = ("sums", "panes")


def details_as_now(old: NDArray[Any]) -> NDArray[Any]:
    """The same details, rows never used left out; those of this version as they are."""
    had = set(old.dtype.names or ())
    if "sums" not in had:
        return old
    taken = np.flatnonzero(old["at"])
    old = old[: taken[-1] + 1 if len(taken) else 0]
    made = table(len(old), DETAIL)
    for name in had & set(DETAIL.names or ()) - set(_COUNTED):
        both = tuple(
            slice(min(a, b)) for a, b in zip(made[name].shape, old[name].shape, strict=True)
        )
        made[name][both] = old[name][both]
    sums = old["sums"].swapaxes(1, 2) if "los" in had else old["sums"]
    _count(made, sums, old["panes"])
    if "los" in had:
        for half, name in enumerate(_HALVES):
            made["keys"][..., half] = old[name]
        made["tags"] = tags_of(old["his"], old["los"])
    return made


def _count(made: NDArray[Any], sums: NDArray[np.uint32], panes: NDArray[np.uint32]) -> None:
    """From what lay in windows and panes, what there was in all, and when each pane ended."""
    counters = sums.shape[1]
    made["totals"][:, :counters] = sums[:, :, DAY]  # each window lies in the longest
    made["earlier"][:, :counters] = sums[:, :, DAY, None] - sums
    first, rows = 0, np.arange(len(made))
    for span, count in zip(SPANS, PANES, strict=True):
        newest = made["at"].astype(np.int64) // span
        ended = made["totals"][:, :counters].copy()
        for k in range(count):
            ended -= panes[rows, first + (newest - k) % count]
            made["panes"][rows, first + (newest - k - 1) % count, :counters] = ended
        first += count
