"""The sensor's clock: packet time that never runs backwards. Kernels only.

Timestamps step back (a clock was set, frames were reordered) and jump (a bogus stamp). Sensor time
is the packet's time plus an offset. A step back beyond a second goes into the offset, so that time
runs on at its own pace: were it to stand still instead, an hour of traffic could pile up in a
ten-second window and accuse the innocent. A jump of more than two days empties every window
anyway, and counts as two days.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import kernel
from sensor.base.units import DAY, SECOND

__all__ = ["NOW", "STEPS_BACK", "STEPS_FORWARD", "advance_clock", "new_clock"]

NOW: Final = 0  # sensor time, ns
OFFSET: Final = 1  # sensor time minus packet time, ns
STARTED: Final = 2
STEPS_BACK: Final = 3  # counters
STEPS_FORWARD: Final = 4

_JUMP: Final = 2 * DAY
_EARLIEST: Final = 2 * DAY  # so that no window reaches below zero
_LATEST: Final = (1 << 31) * SECOND  # seconds must fit 32 bits for long after


def new_clock() -> NDArray[np.int64]:
    """A clock that has seen no packet: int64[5]."""
    return np.zeros(5, np.int64)


@kernel
def advance_clock(clock, ts):
    """Take a packet's timestamp (ns since 1970) and return sensor time (ns)."""
    now = ts + clock[OFFSET]
    if clock[STARTED] == 0:
        clock[STARTED] = 1
        if ts < _EARLIEST or ts > _LATEST:
            clock[OFFSET] = _EARLIEST - ts
            now = _EARLIEST
    elif now < clock[NOW]:
        if now < clock[NOW] - SECOND:
            clock[STEPS_BACK] += 1
            clock[OFFSET] = clock[NOW] - ts
        now = clock[NOW]
    elif now > clock[NOW] + _JUMP:
        clock[STEPS_FORWARD] += 1
        now = clock[NOW] + _JUMP
        clock[OFFSET] = now - ts
    clock[NOW] = now
    return now
