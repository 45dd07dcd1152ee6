"""How long it takes from a packet to the commit of what it led to."""

import time

import pytest

from sensor.capture.merge import Captures
from sensor.cluster.share import Share
from sensor.cluster.standing import Latency
from tests.cluster.test_equal import forwarded
from tests.cluster.test_silence import SETTINGS, WHOLE, in_parts


def test_the_newest_packet_followed_counts_once_and_is_forgotten_after_two_words(tmp_path):
    (block,) = Captures([str(WHOLE)])
    first, last = int(block.frames["ts"].min()), int(block.frames["ts"].max())
    bounds = [first + (last + 1 - first) * n // 8 for n in range(9)]
    messages = list(in_parts(WHOLE, "n", bounds))[:8]
    share, latency = Share(SETTINGS), Latency()
    latency.measure({0: share}, True)
    assert latency.counters() == {}
    for at, message in enumerate(messages, 1):
        share.add(message, at * 2_000, False)
        share.turn()
    late = time.time() - min(share.merge.frontier, last) / 1e9
    latency.measure({0: share}, False)
    assert latency.counters()["commit_latency_seconds"] == pytest.approx(late, abs=5)
    latency.measure({0: share}, True)
    assert latency.counters(), "until the word after the next"
    latency.measure({0: share}, True)
    assert latency.counters() == {}


def test_captures_that_are_forwarded_later_have_none(tmp_path):
    share, latency = Share(SETTINGS), Latency()
    for message in forwarded(SETTINGS, "n", WHOLE)[0]:
        share.add(message, 0, False)
    share.turn()
    latency.measure({0: share}, False)
    assert latency.counters() == {}
