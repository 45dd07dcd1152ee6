"""When an alert is raised, escalated, refreshed and closed. Kernels only.

    raised      the score of a host without an open alert reaches the raise level
    escalated   of an open one, the score grew by ``step`` since it was last sent, or by now the
                contacts the host has proven are enough by themselves to recommend a block, while
                the score is at the raise level or above; or
                they were, and the holder of the address has denied them (``proof`` below zero)
    refreshed   at a sweep: ``refresh`` seconds have passed since it was last sent, and the host was
                active in them; or a lease of the customer it is about began or ended
    closed      at a sweep: the score is at or below the clear level; or it is about an address that
                has become a known customer's

An alert that was sent before a crash and is known from the journal alone is *adopted*: it goes on
under its id, and for ``refresh`` seconds lost evidence does not close it.

Sweeps are at fixed moments, multiples of ``SWEEP`` seconds of sensor time, whatever the traffic.
One looks at ``AT_A_SWEEP`` alerts at most; where more are open, each has its turn.

Open alerts stand in a table with a ceiling; what finds it full is counted and not raised. Those on
hosts that proved no handshake, which anybody can bring about in another's name, have a share of it.
What is beyond is counted and announced as a flood (``flood``); until few are left, those of hosts
that fell silent are closed after ``FORGED_IDLE`` seconds, whatever their score.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.alerts.abuse import UNKNOWN
from sensor.base.kernel import kernel, table

__all__ = [
    "ALERT",
    "AT_A_SWEEP",
    "AWAY",
    "CLOSED",
    "ESCALATED",
    "FOLDED",
    "FOLDED_ALERTS",
    "LENT",
    "NO_CHANGE",
    "OPEN_ALERTS",
    "RAISED",
    "REFRESHED",
    "REFUSED_ALERTS",
    "STATES",
    "SWEEP",
    "UNPROVEN_ALERTS",
    "AlertTable",
    "Levels",
    "close_alert",
    "close_lent",
    "new_alert_table",
    "on_evidence",
    "on_move",
    "on_sweep",
    "open_alert",
    "still_folds",
]

NO_CHANGE: Final = -1
RAISED: Final = 0
ESCALATED: Final = 1
REFRESHED: Final = 2
CLOSED: Final = 3
# How it is with the address in an alert, beside nothing special.
AWAY: Final = 1  # the customer has no address now
LENT: Final = 2  # the address is a known customer's now
STATES: Final = ("raised", "escalated", "refreshed", "closed")

SWEEP: Final = 10
"""Seconds between looks at all open alerts."""
AT_A_SWEEP: Final = 4096
FORGED_IDLE: Final = 300
"""Seconds."""
_FEW: Final = 16
"""A flood's alerts are drained to this part of their share."""
FULL: Final = -1
FOLDED: Final = -2
"""Instead of a row: no alert was opened, since the table, or the share of the unproven, is full."""

ALERT = np.dtype(
    [
        ("opened", np.int64),  # packet time, ns: half of the alert's id
        ("host", np.int32),
        ("score", np.int32),  # centibans when last sent
        ("revision", np.int32),  # messages sent
        ("sent", np.uint32),  # tick of the last
        ("keep_until", np.uint32),  # tick before which it is not closed
        ("proven", np.uint8),  # 1: sent with enough proof
        ("forgeable", np.uint8),  # 1: of its host no handshake is proven yet
        ("abuse", np.uint8),  # the kind of it that was seen last (``abuse``)
    ],
    align=True,
)

OPEN_ALERTS: Final = 0
REFUSED_ALERTS: Final = 1
UNPROVEN_ALERTS: Final = 2  # open ones of which nothing is proven
FOLDED_ALERTS: Final = 3  # hosts that raised none because of the share
_FLOODED: Final = 4  # 1: the share was full, and they have not been drained since
_META: Final = 5


class Levels(NamedTuple):
    """The levels, in centibans; ``refresh`` in seconds."""

    raise_at: int
    clear_at: int
    step: int
    refresh: int
    enough_proof: int
    note_at: int
    unproven_most: int
    """open alerts on hosts of which nothing is proven"""


class AlertTable(NamedTuple):
    """The table, as kernels take it."""

    rows: NDArray[np.void]
    """dtype ALERT, the open ones first"""
    meta: NDArray[np.int64]


def new_alert_table(max_alerts: int) -> AlertTable:
    """An empty table of open alerts."""
    return AlertTable(table(max_alerts, ALERT), np.zeros(_META, np.int64))


@kernel
def open_alert(alerts, levels, host, ts, proven):
    """A row for an alert of which nothing was sent yet; FULL or FOLDED when there is no room.

    ``proven``: whether its host proved a handshake.
    """
    meta = alerts.meta
    a = meta[OPEN_ALERTS]
    if not proven and meta[UNPROVEN_ALERTS] >= levels.unproven_most:
        meta[_FLOODED] = 1
        return FOLDED
    if a == alerts.rows.shape[0]:
        meta[REFUSED_ALERTS] += 1
        return FULL
    meta[OPEN_ALERTS] = a + 1
    meta[UNPROVEN_ALERTS] += not proven
    row = alerts.rows[a]
    row.opened = ts
    row.host = host
    row.revision = 0
    row.proven = 0
    row.keep_until = 0
    row.abuse = UNKNOWN
    row.forgeable = not proven
    return a


@kernel
def still_folds(alerts, levels):
    """Whether what was FOLDED would be again, and leave all as it is."""
    return alerts.meta[_FLOODED] > 0 and alerts.meta[UNPROVEN_ALERTS] >= levels.unproven_most


@kernel
def _note_proven(alerts, row, proven):
    """The host of an open alert proved a handshake: the alert leaves the share of the others."""
    if proven and row.forgeable:
        row.forgeable = 0
        alerts.meta[UNPROVEN_ALERTS] -= 1


@kernel
def on_evidence(alerts, levels, host, a, score, proof, proven, ts, tick):
    """A host's evidence changed: ``(state or NO_CHANGE, row)``. ``a`` is its open alert or -1.

    ``proven``: whether the host proved a handshake; ``proof``: what that is worth, in centibans.
    The row is FULL or FOLDED where an alert found no room.
    """
    enough = _is_enough(levels, score, proof)
    if a < 0:
        if score < levels.raise_at:
            return NO_CHANGE, a
        a = open_alert(alerts, levels, host, ts, proven)
        if a < 0:
            return NO_CHANGE, a
        row = alerts.rows[a]
        state = RAISED
    else:
        row = alerts.rows[a]
        _note_proven(alerts, row, proven)
        denied = proof < 0 and row.proven
        if score < row.score + levels.step and not (enough and not row.proven) and not denied:
            return NO_CHANGE, a
        state = ESCALATED
    _note_sent(row, levels, score, proof, tick)
    return state, a


@kernel
def _is_enough(levels, score, proof):
    """Whether a block may be recommended from now on.

    An alert stands until its score is at the clear level: of a good server that was accused at
    first, when little was known, its many contacts would be proof long after the rest spoke for it.
    """
    return proof >= levels.enough_proof and score >= levels.raise_at


@kernel
def _note_sent(row, levels, score, proof, tick):
    row.score = score
    row.sent = tick
    row.revision += 1
    if _is_enough(levels, score, proof):
        row.proven = 1
    elif proof < 0:
        row.proven = 0


@kernel
def on_sweep(alerts, levels, a, score, proof, proven, last_seen, tick):
    """Look at open alert ``a``: its new state or NO_CHANGE. CLOSED leaves it for the caller."""
    row = alerts.rows[a]
    _note_proven(alerts, row, proven)
    if alerts.meta[UNPROVEN_ALERTS] <= levels.unproven_most // _FEW:
        alerts.meta[_FLOODED] = 0
    if alerts.meta[_FLOODED] and row.forgeable and tick >= last_seen + FORGED_IDLE:
        state = CLOSED
    elif score <= levels.clear_at:
        if tick < row.keep_until:
            return NO_CHANGE
        state = CLOSED
    elif tick >= row.sent + levels.refresh and last_seen > row.sent:
        state = REFRESHED
    else:
        return NO_CHANGE
    _note_sent(row, levels, score, proof, tick)
    return state


@kernel
def on_move(alerts, levels, a, score, proof, tick):
    """The customer of open alert ``a`` has other addresses now; its state."""
    _note_sent(alerts.rows[a], levels, score, proof, tick)
    return REFRESHED


@kernel
def close_lent(alerts, levels, a, score, tick):
    """Open alert ``a`` is over, whatever its score; leaves it for the caller."""
    _note_sent(alerts.rows[a], levels, score, 0, tick)
    return CLOSED


@kernel
def close_alert(alerts, a):
    """Take alert ``a`` off the table; returns the host whose alert now stands at ``a``, or -1."""
    alerts.meta[UNPROVEN_ALERTS] -= alerts.rows[a].forgeable
    last = alerts.meta[OPEN_ALERTS] - 1
    alerts.meta[OPEN_ALERTS] = last
    if a == last:
        return -1
    alerts.rows[a] = alerts.rows[last]
    return np.int64(alerts.rows[a].host)
