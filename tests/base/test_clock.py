from hypothesis import given
from hypothesis import strategies as st

from sensor.base.clock import NOW, STEPS_BACK, STEPS_FORWARD, advance_clock, new_clock

SECOND = 10**9


@given(st.lists(st.integers(0, 2**62), max_size=60))
def test_time_never_runs_backwards_and_never_leaps(stamps):
    clock = new_clock()
    before = None
    for ts in stamps:
        now = advance_clock(clock, ts)
        assert now == clock[NOW] and now // SECOND < 2**32
        if before is not None:
            assert before <= now <= before + 2 * 86_400 * SECOND
        before = now


def test_after_a_step_back_time_goes_on_at_its_own_pace():
    clock = new_clock()
    start = 1_700_000_000 * SECOND
    advance_clock(clock, start)
    assert advance_clock(clock, start - 3600 * SECOND) == start
    assert advance_clock(clock, start - 3590 * SECOND) == start + 10 * SECOND
    assert clock[STEPS_BACK] == 1


def test_frames_out_of_order_by_a_moment_are_no_step():
    clock = new_clock()
    start = 1_700_000_000 * SECOND
    advance_clock(clock, start)
    assert advance_clock(clock, start - SECOND // 2) == start
    assert advance_clock(clock, start + 5) == start + 5
    assert clock[STEPS_BACK] == 0


def test_a_bogus_stamp_does_not_take_the_clock_along():
    clock = new_clock()
    start = 1_700_000_000 * SECOND
    advance_clock(clock, start)
    jumped = advance_clock(clock, start + 50 * 365 * 86_400 * SECOND)
    assert jumped == start + 2 * 86_400 * SECOND
    assert advance_clock(clock, start + SECOND) == jumped
    assert advance_clock(clock, start + 2 * SECOND) == jumped + SECOND
    assert (clock[STEPS_FORWARD], clock[STEPS_BACK]) == (1, 1)
