"""The process beside the sensor, where it cannot work at all."""

import time

from lab.waiting import BUSY
from sensor.service.delivery import Delivery
from sensor.settings import Settings


def test_who_starts_it_again_ends_with_the_sensor(tmp_path):
    """A ledger that cannot be opened: it dies at each start, and must not go on so for ever."""
    (tmp_path / "blocking.sqlite").mkdir()
    delivery = Delivery(Settings(), tmp_path, live=False)
    delivery.begin()
    time.sleep(1.5)
    started = time.monotonic()
    assert delivery.stop(1) == 0
    assert time.monotonic() - started < 20 * BUSY
