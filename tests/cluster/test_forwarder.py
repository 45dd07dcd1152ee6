"""When a sensor that forwards speaks, and what that costs it beside judging."""

import pytest

from benchmarks.cluster import on_an_interface
from lab.generate import write
from lab.sessions import generate
from sensor.capture.merge import Captures
from sensor.cluster.batch import decode, segments_of
from sensor.cluster.forwarder import Forwarder
from sensor.decode.decoder import Decoder
from sensor.settings import Settings, parse_settings
from tests.conftest import needs


def test_a_partition_that_was_sent_a_full_batch_is_told_nothing_more_for_a_while(tmp_path):
    capture = tmp_path / "sessions.pcap"
    write(capture, generate(300)[0])
    settings = Settings()
    decoder = Decoder(settings.ports, settings.duplicate_window, True)
    sent: list[int] = []
    forwarder = Forwarder(
        settings, "north", 1, lambda _, message: sent.append(decode(message).head.segments)
    )
    for now in (10.0, 10.4, 10.5, 10.6):
        forwarder.speak(now, 0.5)
    assert sent == [0, 0]  # at once, and half a second later
    sent.clear()
    segments = 0
    for block in Captures([str(capture)]):
        decoded = decoder.decode(block)
        forwarder.add(decoded, block.data, 0, "")
        segments += len(decoded)
    forwarder.speak(11.2, 0.5)  # late, but a full batch has gone
    forwarder.speak(11.6, 0.5)
    (full,) = sent
    assert segments / 2 < full < segments
    forwarder.speak(11.75, 0.5)
    assert sent == [full, segments - full]


@pytest.mark.parametrize("name", ["_north", "9", "a.b-c_d", "n" * 63])
@pytest.mark.parametrize("ts", [-(1 << 62), (1 << 63) - 1])
def test_what_it_sends_can_be_read_whatever_the_stamps_and_whoever_it_is(name, ts, tmp_path):
    capture = tmp_path / "sessions.pcap"
    write(capture, generate(3)[0])
    settings = Settings()
    decoder = Decoder(settings.ports, settings.duplicate_window, True)
    parse_settings(f"kafka.sensor = {name!r}")
    sent: list[bytes] = []
    forwarder = Forwarder(settings, name, 1, lambda _, message: sent.append(message))
    segments = 0
    for block in Captures([str(capture)]):
        decoded = decoder.decode(block)
        decoded["ts"][len(decoded) // 2] = ts
        forwarder.add(decoded, block.data, max(ts, int(block.frames["ts"].max())), "")
        segments += len(decoded)
    forwarder.end()
    assert sum(segments_of(message) for message in sent) == segments
    assert sum(decode(message).head.segments for message in sent) == segments


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.xdist_group("whole machine")
def test_to_forward_a_packet_costs_a_quarter_more_than_to_judge_it_at_most():
    needs("java", "mvn", "ip", "ethtool", "tcpdump", root=True)
    took, _ = on_an_interface(2, 3)
    assert took["live --forward"] <= 1.25 * took["live"]
