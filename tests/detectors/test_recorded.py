"""Recorded traffic: the peers' own captures, none of which is of a spam run."""

import pytest

from lab.outputs import feed, finish
from sensor.capture.block import CaptureError
from sensor.capture.merge import Captures
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from tests.conftest import shared_captures

CAPTURES = shared_captures()


@pytest.mark.skipif(not CAPTURES, reason="the peers' captures are not beside this checkout")
def test_nobody_in_the_peers_captures_is_taken_for_a_bot():
    mail = 0
    for path in CAPTURES:
        pipeline = Pipeline(Settings())
        alerts = []
        try:
            for block in Captures([str(path)]):
                alerts += feed(pipeline, block)
        except CaptureError:
            continue
        alerts += finish(pipeline)
        mail += pipeline.counters()["connections"]["attempts"] > 0
        assert alerts == [], path.name
    assert mail > 10
