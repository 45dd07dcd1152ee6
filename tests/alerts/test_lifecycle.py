"""Alerts open, change and close: by score, by proof, by time; and what finds the table full."""

import numpy as np
import pytest

from sensor.alerts.lifecycle import (
    CLOSED,
    ESCALATED,
    FOLDED,
    FOLDED_ALERTS,
    FORGED_IDLE,
    FULL,
    NO_CHANGE,
    OPEN_ALERTS,
    RAISED,
    REFRESHED,
    REFUSED_ALERTS,
    UNPROVEN_ALERTS,
    Levels,
    close_alert,
    new_alert_table,
    on_evidence,
    on_sweep,
)

LEVELS = Levels(200, -200, 100, 3600, 170, 100, 4)
TS = 1_700_000_000_000_000_000
TICK = 1_700_000_000


class Alerts:
    """A table, as the tracking calls it; sensor time in seconds from the start."""

    def __init__(self, rows=8, levels=LEVELS):
        self.table, self.levels = new_alert_table(rows), levels

    def evidence(self, host, a, score, proof=0, proven=True, at=0):
        return on_evidence(
            self.table, self.levels, host, a, score, proof, proven, TS + at * 10**9, TICK + at
        )

    def sweep(self, a, score, proof=0, proven=True, seen=0, at=0):
        return on_sweep(self.table, self.levels, a, score, proof, proven, TICK + seen, TICK + at)

    def opened(self, host=5, score=200, proven=True):
        state, a = self.evidence(host, -1, score, proven=proven)
        assert state == RAISED
        return a

    def count(self, what):
        return int(self.table.meta[what])


def test_an_alert_is_raised_at_the_level_and_not_below():
    alerts = Alerts()
    assert alerts.evidence(5, -1, 199) == (NO_CHANGE, -1)
    assert alerts.evidence(5, -1, 200) == (RAISED, 0)
    row = alerts.table.rows[0]
    assert (row["host"], row["score"], row["revision"], row["opened"]) == (5, 200, 1, TS)


def test_it_escalates_by_a_step_above_what_was_sent_last():
    alerts = Alerts()
    a = alerts.opened(score=250)
    assert alerts.evidence(5, a, 349)[0] == NO_CHANGE
    assert alerts.evidence(5, a, 350)[0] == ESCALATED
    assert alerts.evidence(5, a, 400)[0] == NO_CHANGE, "the step is from 350"
    assert alerts.table.rows[a]["revision"] == 2


def test_proof_escalates_once_and_denial_takes_it_back():
    alerts = Alerts()
    a = alerts.opened()
    assert alerts.evidence(5, a, 200, proof=169)[0] == NO_CHANGE
    assert alerts.evidence(5, a, 200, proof=170)[0] == ESCALATED
    assert alerts.table.rows[a]["proven"] == 1
    assert alerts.evidence(5, a, 200, proof=400)[0] == NO_CHANGE
    assert alerts.evidence(5, a, 200, proof=100)[0] == NO_CHANGE, "less is not denied"
    assert alerts.evidence(5, a, 200, proof=-1)[0] == ESCALATED
    assert alerts.table.rows[a]["proven"] == 0
    assert alerts.evidence(5, a, 200, proof=-1)[0] == NO_CHANGE


def test_proof_that_comes_when_the_score_has_fallen_waits_until_it_is_back():
    alerts = Alerts()
    a = alerts.opened(score=250)
    assert alerts.evidence(5, a, 199, proof=400)[0] == NO_CHANGE
    assert alerts.sweep(a, 199, proof=400, seen=10, at=3600) == REFRESHED
    assert alerts.table.rows[a]["proven"] == 0
    assert alerts.evidence(5, a, 200, proof=400)[0] == ESCALATED
    assert alerts.table.rows[a]["proven"] == 1
    assert alerts.sweep(a, 100, proof=400, seen=7300, at=7300) == REFRESHED
    assert alerts.table.rows[a]["proven"] == 1, "what was proven stays so"


def test_it_is_refreshed_when_due_and_only_if_the_host_was_active():
    alerts = Alerts()
    a = alerts.opened()
    assert alerts.sweep(a, 250, seen=10, at=3599) == NO_CHANGE
    assert alerts.sweep(a, 250, seen=0, at=3600) == NO_CHANGE, "silent since"
    assert alerts.sweep(a, 250, seen=10, at=3600) == REFRESHED
    assert alerts.sweep(a, 250, seen=3700, at=3700) == NO_CHANGE


def test_it_closes_at_the_clear_level_and_another_takes_its_row():
    alerts = Alerts()
    first, second = alerts.opened(5), alerts.opened(6)
    assert alerts.sweep(first, -199) == NO_CHANGE
    assert alerts.sweep(first, -200) == CLOSED
    assert close_alert(alerts.table, first) == 6
    assert alerts.table.rows[first]["host"] == 6
    assert close_alert(alerts.table, first) == -1, "the last has no other to move"
    assert second == 1 and alerts.count(OPEN_ALERTS) == 0


def test_one_that_was_adopted_is_kept_for_a_while():
    alerts = Alerts()
    a = alerts.opened()
    alerts.table.rows[a]["keep_until"] = TICK + 50
    assert alerts.sweep(a, -900, at=49) == NO_CHANGE
    assert alerts.sweep(a, -900, at=50) == CLOSED


def test_a_full_table_refuses_and_counts():
    alerts = Alerts(rows=2)
    alerts.opened(1), alerts.opened(2)
    assert alerts.evidence(3, -1, 900) == (NO_CHANGE, FULL)
    assert alerts.count(REFUSED_ALERTS) == 1
    close_alert(alerts.table, 0)
    assert alerts.evidence(3, -1, 900)[0] == RAISED


def test_the_unproven_have_a_share_and_leave_it_when_they_prove_a_handshake():
    alerts = Alerts()
    rows = [alerts.opened(host, proven=False) for host in range(4)]
    assert alerts.count(UNPROVEN_ALERTS) == 4
    assert alerts.evidence(9, -1, 900, proven=False) == (NO_CHANGE, FOLDED)
    assert alerts.evidence(10, -1, 900, proven=True)[0] == RAISED, "not of the share"
    assert alerts.evidence(0, rows[0], 200, proven=True)[0] == NO_CHANGE
    assert alerts.count(UNPROVEN_ALERTS) == 3
    assert alerts.evidence(9, -1, 900, proven=False)[0] == RAISED
    assert alerts.count(FOLDED_ALERTS) == 0, "the tracking counts hosts, each once"


@pytest.mark.parametrize("flooded", [True, False])
def test_after_a_flood_silent_forgeries_close_whatever_their_score(flooded):
    alerts = Alerts()
    rows = [alerts.opened(host, proven=False) for host in range(4)]
    if flooded:
        alerts.evidence(9, -1, 900, proven=False)
    after = CLOSED if flooded else NO_CHANGE
    assert alerts.sweep(rows[0], 900, proven=False, at=FORGED_IDLE - 1) == NO_CHANGE
    assert alerts.sweep(rows[0], 900, proven=False, at=FORGED_IDLE) == after
    assert alerts.sweep(rows[1], 900, proven=True, at=FORGED_IDLE) == NO_CHANGE, "proven by now"


def test_a_flood_is_over_when_few_are_left():
    alerts = Alerts()
    rows = [alerts.opened(host, proven=False) for host in range(4)]
    alerts.evidence(9, -1, 900, proven=False)
    for a in reversed(rows):
        close_alert(alerts.table, a)
    a = alerts.opened(7, proven=True)
    assert alerts.sweep(a, 900) == NO_CHANGE  # sees that none is left
    late = alerts.opened(8, proven=False)
    assert alerts.sweep(late, 900, proven=False, at=FORGED_IDLE) == NO_CHANGE
    assert alerts.count(UNPROVEN_ALERTS) == 1
    assert np.count_nonzero(alerts.table.rows["forgeable"][:2]) == 1
