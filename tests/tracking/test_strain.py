"""What found no room: said once in ten minutes, and only then."""

from lab.conversation import START, SYN, block, frame
from lab.outputs import feed
from sensor.pipeline import Pipeline
from sensor.settings import Limits, Settings

SECOND = 10**9


def crowd(hosts: int, seconds: int, begin: int = 0) -> list[tuple[int, bytes]]:
    """Hosts that send a SYN every four seconds, to one of five servers in turns."""
    return [
        (
            START + (begin + second) * SECOND + host,
            frame(f"100.64.0.{host}", f"198.51.{second % 5}.25", 4000 + second, 25, second, 0, SYN),
        )
        for second in range(seconds)
        for host in range(second % 4, hosts, 4)
    ]


def test_that_hosts_of_which_nothing_is_proven_wait_for_details_is_said():
    pipeline = Pipeline(Settings(limits=Limits(max_details=16)))
    feed(pipeline, block(crowd(12, 60)))
    assert pipeline.strain() == []
    feed(pipeline, block(crowd(64, 60, begin=60)))
    refused = pipeline.counters()["hosts"]["details_refused"]
    assert refused > 0
    (said,) = pipeline.strain()
    assert said.code == "limits.crowded"
    assert f"{refused:,} times" in said.text and "limits.max_details" in said.text
    feed(pipeline, block(crowd(64, 60, begin=120)))
    assert pipeline.strain() == [], "it was said a minute ago"
    feed(pipeline, block(crowd(64, 60, begin=720)))
    more = pipeline.counters()["hosts"]["details_refused"] - refused
    (said,) = pipeline.strain()
    assert f"{more:,} times" in said.text
    later = Pipeline(pipeline.settings)
    later.restore(pipeline.arrays(), pipeline.facts())
    assert later.strain() == [], "it was said before the restart"
