"""What is waited for in vain is said while there is time for it."""

import time

import pytest

from lab.waiting import wait_for


@pytest.mark.timeout(10)
def test_who_waits_gives_up_before_the_test_is_ended():
    begun = time.monotonic()
    with pytest.raises(AssertionError, match=r"waited \d+ s for the moon"):
        wait_for(lambda: False, 20, "the moon")
    assert time.monotonic() - begun > 8
