"""Streams put together, without any protocol that reads them: against the text that was sent."""

import random

import numpy as np
import pytest

from sensor.base.kernel import table
from sensor.decode.segment import ACK, SEGMENT, SYN, URG
from sensor.tcp import reassembly
from sensor.tcp.reassembly import (
    CHUNK,
    FAULTS,
    HELD,
    PIECES,
    PIECES_REFUSED,
    STREAM_FIELDS,
    WINDOW,
    arrive,
    distance,
    drop_held,
    keep_early,
    new_streams,
    next_held,
    start_stream,
)

ROW = np.dtype([*STREAM_FIELDS], align=True)


class Wire:
    """One connection: what is put in comes out in ``heard``, a hole as its size."""

    def __init__(self, pieces: int = 200, isn: int = 1000, digested: bool = False):
        rows = table(1, ROW)
        rows["held"] = -1
        self.streams = new_streams(rows, pieces)
        self.row = self.streams.rows[0]
        self.digested = digested
        self.heard: tuple[list, list] = ([], [])
        for side in range(2):
            start_stream(self.row, side, isn)

    def put(self, side, seq, text=b"", ack=0, flags=ACK, captured=None, checked=False, head=0):
        row = table(1, SEGMENT)
        row["seq"], row["ack"], row["tcp_flags"] = seq % 2**32, ack % 2**32, flags
        row["length"], row["payload"] = len(text), head
        row["captured"] = len(text) if captured is None else captured
        data = np.frombuffer(bytearray(bytes(head) + text[: int(row["captured"][0])]), np.uint8)
        if not len(data):
            data = np.zeros(1, np.uint8)
        if flags & SYN:
            keep_early(self.streams, 0, row[0], data)
            return self
        start, stop, missing = arrive(self.streams, 0, side, row[0], data, checked, self.digested)
        self._hear(side, data, start, stop, missing)
        for which in range(2):
            self.settle(which, False)
        return self

    def settle(self, side, at_end):
        while True:
            piece, start, stop, missing = next_held(self.streams, 0, side, at_end)
            if piece < 0 and not missing:
                return
            self._hear(side, self.streams.texts[piece], start, stop, missing)

    def _hear(self, side, source, start, stop, missing):
        if start < stop:
            self.heard[side].append(source[start:stop].tobytes())
        if missing:
            self.heard[side].append(int(missing))

    def text(self, side=0):
        """What was heard of a side: neighbours joined."""
        joined: list = []
        for part in self.heard[side]:
            if joined and isinstance(part, bytes) and isinstance(joined[-1], bytes):
                joined[-1] += part
            else:
                joined.append(part)
        return joined

    def faults(self):
        return {name for k, name in enumerate(FAULTS) if int(self.row["faults"]) >> k & 1}


def test_any_cut_in_any_order_and_often_gives_the_text_once():
    for seed in range(60):
        rng = random.Random(seed)
        isn = rng.choice((0, 1000, 2**32 - 700, 2**31 - 5))
        text = rng.randbytes(rng.randrange(1, 4000))
        wire = Wire(isn=isn)
        parts = []
        at = 0
        while at < len(text):
            size = rng.randrange(1, 300)
            back = rng.randrange(0, 1 + min(at, 40))  # some bytes once more
            parts.append((at - back, text[at - back : at + size]))
            at += size
        parts += rng.choices(parts, k=len(parts) // 3)
        for k in range(0, len(parts), 20):  # no further ahead than is held
            group = parts[k : k + 20]
            rng.shuffle(group)
            for offset, part in group:
                wire.put(0, isn + offset, part, head=rng.randrange(5))
        assert wire.text() == [text], seed
        assert wire.faults() == set()
        assert wire.streams.meta[PIECES] == 0
        assert int(wire.row["bytes"][0]) == len(text)


def test_the_sides_do_not_mix():
    wire = Wire().put(0, 1003, b"defg").put(1, 1000, b"server").put(0, 1000, b"abc")
    assert wire.text(0) == [b"abcdefg"]
    assert wire.text(1) == [b"server"]


def test_a_hole_is_given_up_when_the_receiver_acknowledges_what_lies_behind_it():
    wire = Wire().put(0, 1005, b"behind")
    wire.put(1, 1000, b"x", ack=1004)
    assert wire.text() == [], "it acknowledged only some of the hole"
    wire.put(1, 1001, b"y", ack=1005)
    assert wire.text() == [5, b"behind"]
    wire.put(0, 1000, b"late!")
    assert wire.text() == [5, b"behind"], "what comes after all comes too late"


def test_a_hole_is_given_up_when_too_much_waits_behind_it():
    wire = Wire()
    for k in range(HELD):
        wire.put(0, 1010 + k, b"k")
    assert wire.text() == []
    wire.put(0, 1010 + HELD, b"k")
    assert wire.text() == [10, b"k" * (HELD + 1)]
    assert wire.faults() == {"hold_overflow"}


def test_a_hole_is_given_up_at_the_end():
    wire = Wire().put(0, 1005, b"a").put(0, 1010, b"b")
    wire.settle(0, True)
    assert wire.text() == [5, b"a", 4, b"b"]


def test_when_no_piece_is_left_what_comes_too_early_is_counted_and_gone():
    wire = Wire(pieces=2)
    for k in range(3):
        wire.put(0, 1010 + 10 * k, b"k")
    assert wire.streams.meta[PIECES_REFUSED] == 1
    assert wire.faults() == {"hold_overflow"}
    wire.settle(0, True)
    assert wire.text() == [10, b"k", 9, b"k"]
    assert wire.streams.meta[PIECES] == 0


def test_a_long_segment_ahead_takes_several_pieces():
    text = random.Random(1).randbytes(2 * CHUNK + 100)
    wire = Wire().put(0, 1001, text)
    assert wire.streams.meta[PIECES] == 3
    assert wire.put(0, 1000, b"!").text() == [b"!" + text]


@pytest.mark.parametrize("ahead", [True, False])
def test_bytes_that_came_first_stand_and_others_are_noted(ahead):
    wire = Wire(digested=True)
    wire.put(0, 1001 if ahead else 1000, b"first").put(0, 1001 if ahead else 1000, b"other")
    assert wire.put(0, 1000, b"!").faults() == {"overlap_conflict"}
    assert wire.text() == [b"!first" if ahead else b"first"]


def test_the_same_bytes_again_are_no_conflict():
    wire = Wire(digested=True).put(0, 1000, b"first").put(0, 1000, b"first")
    assert wire.faults() == set()
    assert int(wire.row["retransmitted"][0]) == 1


def test_without_digests_nothing_is_said_of_what_comes_again():
    assert Wire().put(0, 1000, b"first").put(0, 1000, b"other").faults() == set()


def test_what_the_capture_left_out_is_missing_behind_what_it_kept():
    wire = Wire().put(0, 1000, b"0123456789", captured=4).put(0, 1010, b"next")
    assert wire.text() == [b"0123", 6, b"next"]
    wire = Wire().put(0, 1001, b"0123456789", captured=4).put(0, 1000, b"!")
    assert wire.text() == [b"!0123", 6]
    assert wire.faults() == {"cut"}


def test_what_lies_far_away_is_left_out():
    wire = Wire().put(0, 1000 + WINDOW + 1, b"far").put(0, 999 - WINDOW, b"x").put(0, 1000, b"here")
    assert wire.text() == [b"here"]
    assert wire.faults() == {"out_of_window"}
    assert Wire().put(0, 1000 + WINDOW, b"near").streams.meta[PIECES] == 1


def test_a_wrong_checksum_leaves_a_segment_out_where_it_means_something():
    assert Wire().put(0, 1000, b"text", head=20).text() == [b"text"]
    wire = Wire().put(0, 1000, b"text", head=20, checked=True)
    assert wire.text() == []
    assert wire.faults() == {"bad_checksum"}


def test_urgent_bytes_stay_and_are_noted():
    wire = Wire().put(0, 1000, b"text", flags=ACK | URG)
    assert wire.text() == [b"text"]
    assert wire.faults() == {"urgent_data"}


def test_bytes_of_a_syn_wait_until_they_are_acknowledged():
    wire = Wire().put(0, 999, b"early", flags=SYN)
    assert wire.text() == []
    wire.settle(0, False)
    assert wire.text() == [b"early"]


def test_bytes_of_syns_take_half_of_the_pieces_at_most():
    wire = Wire(pieces=2).put(1, 1500, b"piece")
    wire.put(0, 999, b"early", flags=SYN)
    assert wire.faults() == {"hold_overflow"}
    wire.settle(0, False)
    assert wire.text() == []


def test_a_first_segment_in_mid_stream_begins_the_stream():
    wire = Wire()
    wire.row["known"][0] = 0
    assert wire.put(0, 77_000, b"a").put(0, 77_001, b"b").text() == [b"ab"]


def test_pieces_of_a_dropped_row_are_there_for_others():
    wire = Wire(pieces=4).put(0, 1002, b"a").put(0, 1004, b"b").put(1, 1002, b"c")
    assert drop_held(wire.streams, 0)
    assert not drop_held(wire.streams, 0)
    assert wire.streams.meta[PIECES] == 0
    for k in range(4):
        wire.put(0, 1002 + 2 * k, b"d")
    assert wire.streams.meta[PIECES_REFUSED] == 0


def test_distance_wraps():
    assert distance(2**32 - 1, 3) == 4
    assert distance(3, 2**32 - 1) == -4
    assert reassembly.distance(0, 2**31) == -(2**31)
