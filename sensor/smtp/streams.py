"""Segments of a connection to the dialogue of its session: the bytes of both sides, in order.

``tcp.reassembly`` puts the streams together; here the dialogue is given what comes next, and told
what never will. What is wrong with the segments themselves is noted among the anomalies. Kernels
only.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel, routine
from sensor.smtp.anomalies import ANOMALIES, URGENT_DATA
from sensor.smtp.dialogue import hear, lose
from sensor.smtp.session import LINES
from sensor.tcp.reassembly import FAULTS, arrive, keep_early, next_held

__all__ = ["end_streams", "hear_early", "keep_syn", "receive"]

_FIRST: Final = ANOMALIES.index(FAULTS[0])
_TOGETHER: Final = FAULTS.index("urgent_data")
"""The faults before it are neighbours among the anomalies, too, and so are those from it on."""


@kernel
def _note_faults(s):
    """The faults of the streams are anomalies of the session."""
    faults = np.int64(s.faults)
    s.anomalies |= (faults & (1 << _TOGETHER) - 1) << _FIRST | faults >> _TOGETHER << URGENT_DATA


@routine
def _hear_held(sessions, n, side, at_end, now, both):
    """Hear what waited and no longer must, and the loss of what will not come."""
    s = sessions.rows[n]
    while True:
        piece, start, stop, missing = next_held(sessions, n, side, at_end)
        if piece < 0 and missing == 0:
            break
        if start < stop:
            line = sessions.lines[n, side]
            hear(s, line, side, sessions.texts[piece], start, stop, now, both)
        if missing:
            lose(s, side, missing)
    _note_faults(s)


@routine
def receive(sessions, n, side, segment, data, checked, both):
    """Session ``n`` gets ``segment`` of this side (0 client, 1 server).

    ``checked`` tells whether a wrong checksum means anything, ``both`` whether both sides are seen.
    """
    s = sessions.rows[n]
    now = segment.ts
    digested = s.mode[side] == LINES  # of messages nothing is kept
    start, stop, missing = arrive(sessions, n, side, segment, data, checked, digested)
    if start < stop:
        hear(s, sessions.lines[n, side], side, data, start, stop, now, both)
    if missing:
        lose(s, side, missing)
    _note_faults(s)
    if start >= 0:
        for which in range(2):
            if s.held[which] >= 0:
                _hear_held(sessions, n, which, False, now, both)


@routine
def keep_syn(sessions, n, segment, data):
    """Keep the bytes of a client's SYN until the server takes them."""
    keep_early(sessions, n, segment, data)
    _note_faults(sessions.rows[n])


@routine
def hear_early(sessions, n, now, both):
    """The server took the bytes of the SYN: hear them."""
    if sessions.rows[n].held[0] >= 0:
        _hear_held(sessions, n, 0, False, now, both)


@routine
def end_streams(sessions, n, now, both):
    """No more segments will come: hear what is held."""
    for side in range(2):
        if sessions.rows[n].held[side] >= 0:
            _hear_held(sessions, n, side, True, now, both)
    _note_faults(sessions.rows[n])
