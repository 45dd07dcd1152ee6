"""Sensors that are silent, and brokers that are: who is waited for, and what is late."""

import itertools
import json
from collections.abc import Iterator

import msgspec
import numpy as np

from lab.splitting import by_direction, split
from sensor.alerts.alert import Alert
from sensor.base.kernel import room
from sensor.capture.merge import Captures
from sensor.cluster.batch import Head, encode
from sensor.cluster.forwarder import Forwarder
from sensor.cluster.merge import MOST_SENSORS
from sensor.cluster.share import Share
from sensor.decode.decoder import Decoder
from sensor.decode.segment import SEGMENT
from tests.cluster.test_equal import replayed, settings_of
from tests.conftest import PCAPS

SETTINGS = settings_of("fast_bot")
WHOLE = PCAPS / "fast_bot.pcap"
PARTS = 8


def in_parts(path, name: str, bounds: list[int]) -> Iterator[bytes]:
    """What a live sensor sends: a batch for each span of packet time."""
    sent: list[bytes] = []
    forwarder = Forwarder(SETTINGS, name, 1, lambda _, message: sent.append(message), live=True)
    decoder = Decoder(SETTINGS.ports, SETTINGS.duplicate_window, True)
    (block,) = Captures([str(path)])
    times = block.frames["ts"]
    for since, until in itertools.pairwise(bounds):
        part = block._replace(frames=block.frames[(times >= since) & (times < until)])
        if len(part.frames):
            forwarder.add(decoder.decode(part), block.data, 0, "tap0")
        forwarder.advance(until - 1)
        forwarder.flush()
        yield sent.pop()
    forwarder.end()
    yield sent.pop()


def sensors(tmp_path, names: str = "ns") -> tuple[list[bytes], list[bytes]]:
    """What two sensors send, of one direction each, in the same spans."""
    (block,) = Captures([str(WHOLE)])
    first, last = int(block.frames["ts"].min()), int(block.frames["ts"].max())
    bounds = [first + (last + 1 - first) * n // PARTS for n in range(PARTS + 1)]
    paths = split(WHOLE, tmp_path, by_direction)
    north, south = (
        list(in_parts(path, name, bounds)) for path, name in zip(paths, names, strict=True)
    )
    return north, south


def told(share: Share, log: list[tuple[int, bytes]]) -> list[Alert]:
    """The alerts of a log: when each message came, in ms, and what it is."""
    found = []
    for at, message in log:
        share.add(message, at, False)
        found += share.turn()
    return found


def test_nobody_is_left_behind_when_the_brokers_were_away(tmp_path):
    north, south = sensors(tmp_path)
    before = [(500 * n, message) for n in range(3) for message in (north[n], south[n])]
    # Three minutes later one of them is the first to come back, with all it has.
    after = [(180_000 + 10 * n, message) for n, message in enumerate(north[3:])]
    after += [(181_000 + 10 * n, message) for n, message in enumerate(south[3:])]
    share = Share(SETTINGS)
    found = told(share, before + after) + share.finish()
    assert share.counters()["sensors_left_behind"] == 0
    assert share.counters()["segments_late"] == 0
    as_told = [json.loads(msgspec.json.encode(alert)) | {"sensor": ""} for alert in found]
    assert as_told == [{"sensor": ""} | alert for alert in replayed(SETTINGS, WHOLE)]


def test_who_is_silent_while_others_speak_is_left_behind(tmp_path):
    north, south = sensors(tmp_path)
    log = [(0, north[0]), (0, south[0])]
    # One goes on, with word twice a second; what the other had comes at the end.
    log += [(500 + 2000 * n, message) for n, message in enumerate(north[1:-1])]
    log += [(20_000, message) for message in south[1:]]
    share = Share(SETTINGS)
    told(share, log)
    assert share.counters()["sensors_left_behind"] == 1
    assert share.counters()["segments_late"] > 0


def test_two_that_run_under_one_name_are_told_of_once(tmp_path):
    both = zip(*sensors(tmp_path, "nn"), strict=True)
    share = Share(SETTINGS)
    told(share, [(500 * n, message) for n, several in enumerate(both) for message in several])
    (news,) = [what for what, _ in share.merge.news if "name" in what]
    assert news == "another that runs has its name; its batches are mixed up"
    assert share.counters()["sensors_of_one_name"] > 3


def test_one_that_began_anew_has_no_other_of_its_name(tmp_path):
    north, _ = sensors(tmp_path)
    again, _ = sensors(tmp_path)
    share = Share(SETTINGS)
    told(share, [(500 * n, message) for n, message in enumerate([*north[:4], *again[4:]])])
    assert share.merge.news == []
    assert share.counters()["sensors_of_one_name"] == 0


def word(sensor: str, number: int = 0) -> bytes:
    """Of a sensor that has captured nothing."""
    nothing = np.empty(0, np.uint8)
    head = Head(sensor=sensor, run="1", number=number, live=True)
    return encode(head, room(0, SEGMENT), nothing, nothing)


def test_names_that_anybody_may_make_up_take_no_more_than_their_room():
    share = Share(SETTINGS)
    told(share, [(0, word(f"forged{n}")) for n in range(MOST_SENSORS + 44)])
    assert share.counters()["batches_crowded"] == 44
    assert len(share.merge.taps) == len(share.state()[1]["names"]) == MOST_SENSORS
    kept = "forged0"  # it alone goes on speaking
    told(share, [(500 * n, word(kept, n)) for n in range(1, 20)])
    assert share.counters()["sensors_left_behind"] == MOST_SENSORS - 1
    told(share, [(10_000, word(f"new{n}")) for n in range(MOST_SENSORS - 1)])
    assert share.counters()["sensors_forgotten"] == MOST_SENSORS - 1
    assert {name for name, _ in share.merge.taps} == {kept} | {
        f"new{n}" for n in range(MOST_SENSORS - 1)
    }
    told(share, [(10_010, word("one more"))])
    assert share.counters()["batches_crowded"] == 44, "a name with a blank is none at all"
    assert share.counters()["batches_unreadable"] == 1


def test_a_sensor_that_others_wait_for_is_named(tmp_path):
    north, south = sensors(tmp_path)
    share = Share(SETTINGS)
    told(share, [(0, north[0]), (0, south[0]), (500, north[1])])
    assert {tap.name for tap in share.merge.awaited()} == {"n", "s"}
    told(share, [(500 + 500 * n, word("n2", n)) for n in range(20)])
    assert {tap.name for tap in share.merge.awaited()} == {"n2"}
