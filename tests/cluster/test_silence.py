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
from sensor.cluster.clocks import Clocks
from sensor.cluster.forwarder import Forwarder
from sensor.cluster.merge import Merge
from sensor.cluster.share import Share
from sensor.cluster.speakers import MOST_SENSORS
from sensor.decode.decoder import Decoder
from sensor.decode.segment import SEGMENT
from tests.cluster.test_equal import replayed, settings_of
from tests.conftest import PCAPS

SETTINGS = settings_of("fast_bot")
WHOLE = PCAPS / "fast_bot.pcap"
PARTS = 8
START = 1_750_000_000 * 1_000_000_000
HOUR = 3600 * 1_000_000_000


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
    assert news == "another that runs has its name"
    assert share.counters()["sensors_of_one_name"] > 3


def test_one_that_began_anew_has_no_other_of_its_name(tmp_path):
    north, _ = sensors(tmp_path)
    again, _ = sensors(tmp_path)
    share = Share(SETTINGS)
    told(share, [(500 * n, message) for n, message in enumerate([*north[:4], *again[4:]])])
    assert share.merge.news == []
    assert share.counters()["sensors_of_one_name"] == 0


def word(sensor: str, number: int = 0, mark: int = 0, run: str = "1") -> bytes:
    """Of a live sensor that has captured nothing, and is at packet time ``mark``."""
    nothing = np.empty(0, np.uint8)
    head = Head(sensor=sensor, run=run, number=number, mark=mark, last=mark, live=True)
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


def spoken(share: Share, runs: str, at: int, begin: int = 0) -> list[str]:
    """What is said as runs of one sensor speak, each by a letter, half a second apart."""
    for n, run in enumerate(runs):
        moment = at + 500 * n
        told(share, [(moment, word("n", begin + n, START + moment * 1_000_000, run))])
    said = [what for what, _ in share.merge.news]
    share.merge.news.clear()
    return said


def test_what_a_dead_run_sent_a_little_late_never_makes_it_one_that_runs():
    share = Share(SETTINGS)
    for n, (dead, new) in enumerate(itertools.pairwise("abcdef")):
        # It died, and one batch comes behind the first of what runs now.
        assert spoken(share, dead * 3 + new + dead + new * 5, 5000 * n, 20 * n) == []
        assert [run for (_, run), tap in share.merge.taps.items() if not tap.ended] == [new]
    assert share.counters()["sensors_left_behind"] == 0


def test_late_batches_long_apart_are_no_turns():
    share = Share(SETTINGS)
    long = int(2500 * SETTINGS.cluster.patience / 500)
    assert spoken(share, ("aba" + "a" * long) * 4, 0) == []
    assert share.counters()["sensors_of_one_name"] == 7


def test_two_of_one_name_are_told_of_again_when_it_begins_again():
    share = Share(SETTINGS)
    long = int(2500 * SETTINGS.cluster.patience / 500)
    name = "another that runs has its name"
    said = spoken(share, "ab" * 10 + "a" * long + "ba" * 10, 0)
    assert [what for what in said if "name" in what] == [name, name]
    assert [what for what in said if "name" not in what] == ["left behind", "back"]
    said = spoken(share, "cab" * 10, 10_000_000, 1000)
    assert [what for what in said if "name" in what] == [name], "and of three"


def test_who_takes_over_knows_what_was_told_of_two_of_one_name():
    share, other = Share(SETTINGS), Share(SETTINGS)
    assert spoken(share, "ab" * 5, 0) == ["another that runs has its name"]
    arrays, facts = share.state()
    other.restore(arrays, msgspec.json.decode(msgspec.json.encode(facts)))
    assert spoken(other, "ab" * 5, 5000, 10) == []
    assert other.counters()["sensors_of_one_name"] == 18


def test_a_log_of_many_runs_that_ended_is_followed_in_whole():
    share = Share(SETTINGS)
    (block,) = Captures([str(WHOLE)])
    block = block._replace(frames=block.frames[:4])
    runs = MOST_SENSORS + 44
    for n in range(runs):
        sent: list[bytes] = []
        forwarder = Forwarder(SETTINGS, "n", 1, lambda _, message, to=sent: to.append(message))
        decoder = Decoder(SETTINGS.ports, SETTINGS.duplicate_window, True)
        forwarder.add(decoder.decode(block), block.data, 0, "tap0")
        forwarder.end()
        for message in sent:
            share.add(message, n, True)
        share.turn()
    share.finish()
    assert share.counters()["batches_crowded"] == 0
    assert share.counters()["segments_merged"] == 4 * runs


def test_who_is_crowded_out_is_named_once():
    share = Share(SETTINGS)
    told(share, [(0, word(f"forged{n}")) for n in range(MOST_SENSORS)])
    told(share, [(10, word("true", n)) for n in range(5)])
    ((said, sensor),) = share.merge.news
    assert (said, sensor) == ("left out, for 256 runs of sensors are known", "true")
    assert share.counters()["batches_crowded"] == 5


def at_hours(hours: dict[str, float], number: int, share: Share) -> list[Merge]:
    """What knows the sensors when each is at this hour."""
    marks = {name: START + round(hour * HOUR) for name, hour in hours.items()}
    told(share, [(500 * number, word(name, number, mark)) for name, mark in marks.items()])
    return [share.merge]


def test_the_sensor_whose_clock_is_wrong_is_named_not_the_right_ones():
    ahead, behind, clocks = Share(SETTINGS), Share(SETTINGS), Clocks(0.1)
    merges = at_hours({"a": 0, "b": 0, "c": 0, "fast": 1}, 0, ahead)
    assert list(clocks.told(merges)) == [
        "sensor fast: its packets are 3,600 s ahead of the others', and wait for them: "
        "is its clock right?"
    ]
    merges = at_hours({"a": 1, "b": 1, "c": 1, "slow": 0}, 0, behind)
    # Of two partitions, once a sensor.
    assert list(clocks.told(merges * 2)) == [
        "sensor slow: its packets are 3,600 s behind the others', which wait for it: "
        "is its clock right?"
    ]
    lags = {tap.name: lag for tap, lag in behind.merge.lags().items()}
    assert lags == {"a": 0, "b": 0, "c": 0, "slow": 3600}


def test_nothing_is_said_of_a_sensor_that_has_just_begun_and_all_of_it_later():
    share, clocks = Share(SETTINGS), Clocks(0.1)
    told(share, [(0, word("a", 0, START)), (0, word("b"))])
    assert list(clocks.told([share.merge])) == []
    said = [list(clocks.told(at_hours({"a": 1, "b": b}, n, share))) for n, b in ((1, 0), (2, 0.1))]
    assert [len(words) for words in said] == [1, 0]
    # It catches up; the next time is said again.
    said = [list(clocks.told(at_hours({"a": a, "b": 1}, n, share))) for n, a in ((3, 1), (4, 2))]
    assert [len(words) for words in said] == [0, 1]


def test_nothing_waits_for_one_that_is_left_behind_and_no_right_one_is_blamed_for_it():
    share, clocks = Share(SETTINGS), Clocks(0.1)
    list(clocks.told(at_hours({"a": 0, "b": 0, "fast": 1}, 0, share)))
    for n in range(1, 20):
        assert list(clocks.told(at_hours({"a": 0, "b": 0}, n, share))) == []
    assert share.counters()["sensors_left_behind"] == 1
    told(share, [(10_000, word("new", 0, START))])
    assert list(clocks.told([share.merge])) == []


def test_what_was_said_of_made_up_names_is_forgotten_with_them():
    share, clocks = Share(SETTINGS), Clocks(0.1)
    right = dict.fromkeys((f"right{n}" for n in range(20)), 1)
    for n in range(1, 100):
        at_hours(right, n, share)
        told(share, [(500 * n, word(f"forged{n}", 0, START))])
        assert len(list(clocks.told([share.merge]))) == 1
    assert len(clocks._lags) < 20


def test_of_two_sensors_whose_clocks_differ_both_are_named():
    share, clocks = Share(SETTINGS), Clocks(0.1)
    assert list(clocks.told(at_hours({"a": 1, "b": 0}, 0, share))) == [
        "sensors a and b: their clocks differ by 3,600 s, or b is so far behind; packets of a wait"
    ]


def test_what_comes_late_of_a_run_that_is_over_is_neither_missing_nor_taken_twice():
    share = Share(SETTINGS)
    said = [("a", 0), ("a", 1), ("a", 2), ("a", 3), ("b", 0), ("b", 1)]
    told(share, [(500 * at, word("n", n, START, run)) for at, (run, n) in enumerate(said)])
    told(share, [(4000, word("n", 3, START, "a")), (4000, word("n", 4, START, "a"))])
    assert share.counters()["batches_missing"] == 0
    assert share.counters()["batches_repeated"] == 1
    other = Share(SETTINGS)
    arrays, facts = share.state()
    other.restore(arrays, msgspec.json.decode(msgspec.json.encode(facts)))
    told(other, [(5000, word("n", 5, START, "a"))])
    assert other.counters()["batches_missing"] == 0


def test_what_was_known_of_a_clock_is_not_said_of_who_begins_anew():
    share, clocks = Share(SETTINGS), Clocks(0.1)
    told(share, [(0, word("a", 0, START, "1")), (0, word("b", 0, START, "1"))])
    a = share.merge.taps["a", "1"]
    share.merge.ahead[a.bit, share.merge.taps["b", "1"].bit] = 40_000_000
    share.merge.ahead[share.merge.taps["b", "1"].bit, a.bit] = 5_000_000
    assert len(list(clocks.told([share.merge]))) == 2
    told(share, [(500, word("a", 0, START, "2"))])
    assert share.merge.skew() == {"a": 0, "b": 5_000_000}, "the old run is let go"
    told(share, [(1000, word("a", 1, START, "2")), (1000, word("c", 0, START))])
    assert share.merge.skew() == {"a": 0, "b": 0, "c": 0}
    assert list(clocks.told([share.merge])) == []
    share.merge.ahead[share.merge.taps["a", "2"].bit, share.merge.taps["c", "1"].bit] = 40_000_000
    assert len(list(clocks.told([share.merge]))) == 1, "it is wrong again"


def test_a_snapshot_of_before_names_all_who_spoke():
    share, other = Share(SETTINGS), Share(SETTINGS)
    told(share, [(0, word("a", 0, START)), (0, word("b", 0, START))])
    arrays, facts = share.state()
    del facts["merge"]["speakers"]
    other.restore(arrays, msgspec.json.decode(msgspec.json.encode(facts)))
    assert other.merge.speakers.names == ["a", "b"]
    told(other, [(500, word("a", 1, START))])


def test_a_lone_sensor_whose_clock_is_set_back_is_followed_on():
    share = Share(SETTINGS)
    for n in range(20):
        told(share, [(500 * n, word("n", n, START + HOUR + 500_000_000 * n, "a"))])
    assert share.merge.frontier > START + HOUR
    for n in range(20):  # it begins anew by the right time
        told(share, [(10_000 + 500 * n, word("n", n, START + 500_000_000 * n, "b"))])
    assert START < share.merge.frontier < START + HOUR
    assert share.counters()["streams_set_back"] == 1
    ((said, sensor),) = share.merge.news
    assert sensor == "n"
    assert said == "it runs 3,604 s behind what was followed: time goes back"
    before = share.merge.frontier
    told(share, [(20_500, word("n", 20, START + 11_000_000_000, "b"))])
    assert share.merge.frontier > before


def test_who_is_behind_others_that_run_takes_no_time_back():
    share = Share(SETTINGS)
    told(share, [(0, word("b", 0, START))])
    for n in range(1, 20):
        told(share, [(500 * n, word("a", n, START + HOUR + n))])
    for n in range(20, 60):
        marks = {"a": START + HOUR + n * 500_000_000, "b": START + n}
        told(share, [(500 * n, word(name, n, mark)) for name, mark in marks.items()])
    assert share.counters()["sensors_left_behind"] == 1
    assert share.counters()["streams_set_back"] == 0
    assert share.merge.frontier > START + HOUR - HOUR // 100


def test_a_word_of_the_far_future_makes_nothing_late_when_all_are_silent_for_once(tmp_path):
    north, south = sensors(tmp_path)
    share = Share(SETTINGS)
    log = [(500 * n, message) for n in range(4) for message in (north[n], south[n])]
    found = told(share, [(0, word("wrong", 0, START + 1000 * HOUR)), *log])
    far = 2000 + 1500 * SETTINGS.cluster.patience
    found += told(share, [(int(far), south[4]), (int(far), north[4])])
    found += share.finish()
    log = [(int(far) + 500 * n, message) for n in (5, 6, 7, 8) for message in (north[n], south[n])]
    found += told(share, log) + share.finish()
    assert share.counters()["segments_late"] == 0
