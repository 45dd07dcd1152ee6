"""What each segment of a connection tells, from both sides, one side, and from forgers."""

import numpy as np
import pytest

from sensor.base.addresses import MAPPED
from sensor.base.kernel import table as new_table
from sensor.decode.segment import ICMP_ERROR, SEGMENT, watched_ports
from sensor.smtp.session import new_sessions
from sensor.tcp.connections import (
    ANSWERED,
    ATTEMPT,
    CLOSING,
    CONNECTION,
    DISOWNED,
    EARLY,
    EVICTED,
    HEARD,
    IGNORED,
    LINGER,
    MIDSTREAM,
    NOTHING,
    OUTSIDE,
    PAST,
    PROVEN,
    REFUSED,
    REOPENED,
    RETRY,
    UNSOLICITED,
    WAITING,
    due,
    expect,
    fetch_connection,
    first_of,
    full,
    move,
    new_connections,
    release,
    victim,
)
from sensor.tcp.following import follow

S, A, R, F, SA, FA, RA = 2, 16, 4, 1, 18, 17, 20
CLIENT, SERVER = (0, MAPPED | 1), (0, MAPPED | 2)
SECOND = 10**9
NO_DATA = np.zeros(0, np.uint8)


class Talk:
    """One table, fed segment by segment."""

    def __init__(self, size: int = 64, ports: tuple[int, ...] = (25,)):
        self.table = new_connections(size)
        self.watched = watched_ports(list(ports))
        self.now = 1_000 * SECOND
        self.sessions = new_sessions(1, 1)

    def _follow(self, segment) -> tuple[int, int, int]:
        return follow(self.table, segment, NO_DATA, self.watched, self.now, self.sessions)

    def __call__(self, side, flags, seq, ack=0, length=0, sport=4000, dport=25, **extra) -> int:
        segment = new_table(1, SEGMENT)
        ends = (CLIENT, SERVER) if side == "c" else (SERVER, CLIENT)
        ports = (sport, dport) if side == "c" else (dport, sport)
        (src_hi, src_lo), (dst_hi, dst_lo) = ends
        values = {
            "src_hi": src_hi, "src_lo": src_lo, "dst_hi": dst_hi, "dst_lo": dst_lo,
            "sport": ports[0], "dport": ports[1], "seq": seq % 2**32, "ack": ack % 2**32,
            "tcp_flags": flags, "length": length, "flow": sport << 32, **extra,
        }  # fmt: skip
        for name, value in values.items():
            segment[name] = value
        self.now += 1000
        expect(self.table, segment["flow"][0])
        fetch_connection(self.table, segment["flow"][0])
        if full(self.table):
            release(self.table, victim(self.table))
        event, i, self.side = self._follow(segment[0])
        if event in (REFUSED, DISOWNED):
            release(self.table, i)
        if event == REOPENED:
            release(self.table, i)
            event, i, self.side = self._follow(segment[0])
        return event

    def live(self) -> int:
        return int((self.table.rows["state"] != 0).sum())


def test_a_whole_connection_proves_its_client_and_leaves():
    talk = Talk()
    assert talk("c", S, 100) == ATTEMPT
    assert talk("s", SA, 500, 101) == ANSWERED
    assert talk("c", A, 101, 501) == PROVEN
    assert talk("s", A, 501, 101, 20) == NOTHING
    assert talk("c", A, 101, 521, 5) == NOTHING
    assert talk("c", FA, 106, 521) == NOTHING
    assert talk("s", FA, 521, 107) == NOTHING
    assert talk("c", A, 107, 522) == NOTHING, "a straggler opens nothing"
    assert talk("s", A, 501, 101, 20) == NOTHING, "nor does one with bytes"
    moment, i = due(talk.table, 10 * SECOND)
    assert i == first_of(talk.table, CLOSING)
    assert moment == (talk.now // SECOND + LINGER) * SECOND
    release(talk.table, i)
    assert talk.live() == 0


def test_sequence_numbers_wrap():
    talk = Talk()
    talk("c", S, 2**32 - 1)
    assert talk("s", SA, 2**32 - 1, 0) == ANSWERED
    assert talk("c", A, 0, 0) == PROVEN


def test_proof_may_come_late_after_the_banner():
    talk = Talk()
    talk("c", S, 100)
    talk("s", SA, 500, 101)
    assert talk("s", A, 501, 101, 30) == NOTHING
    assert talk("c", A, 101, 501) == NOTHING, "acknowledges less than the server has sent"
    assert talk("c", A, 101, 531, 10) == PROVEN


@pytest.mark.parametrize("ack", [0, 502, 400, 2**31])
def test_a_guessed_acknowledgement_proves_nothing(ack):
    talk = Talk()
    talk("c", S, 100)
    talk("s", SA, 500, 101)
    assert talk("c", A, 101, ack) == NOTHING


def test_a_handshake_inside_a_tunnel_proves_nothing_but_one_under_mpls_does():
    for codes, expected in ((0x9, NOTHING), (0x7, NOTHING), (0x1, PROVEN), (0x2, PROVEN)):
        talk = Talk()
        talk("c", S, 100, tunnels=codes)
        talk("s", SA, 500, 101)
        assert talk("c", A, 101, 501) == expected


def test_retries_refusals_and_forged_refusals():
    talk = Talk()
    assert talk("c", S, 100) == ATTEMPT
    assert talk("c", S, 100) == RETRY
    assert talk("s", RA, 0, 999) == IGNORED, "acknowledges another SYN"
    assert talk("s", RA, 0, 101) == REFUSED
    assert talk.live() == 0


def test_an_icmp_error_must_quote_our_syn():
    talk = Talk()
    talk("c", S, 100)
    assert talk("c", 0, 99, kind=ICMP_ERROR) == NOTHING
    assert talk("c", 0, 100, kind=ICMP_ERROR) == REFUSED


def test_a_forged_syn_is_disowned_by_the_victim():
    talk = Talk()
    talk("c", S, 100)
    talk("s", SA, 500, 101)
    assert talk("c", R, 101) == DISOWNED


def test_a_client_alone_tells_that_it_was_answered_but_proves_nothing():
    talk = Talk()
    talk("c", S, 100)
    assert talk("c", A, 101, 501) == HEARD
    assert talk("c", A, 101, 531, 10) == NOTHING


def test_answers_without_a_question_count_only_where_clients_are_never_seen():
    talk = Talk()
    events = [talk("s", SA, 500, 101, sport=4000 + k) for k in range(20)]
    assert events == [UNSOLICITED] * 16 + [ATTEMPT] * 4
    both = Talk()
    both("c", S, 1, sport=9999)
    assert {both("s", SA, 500, 101, sport=4000 + k) for k in range(40)} == {UNSOLICITED}


def test_a_new_connection_on_the_same_ports():
    talk = Talk()
    talk("c", S, 100)
    talk("s", SA, 500, 101)
    talk("c", A, 101, 501)
    assert talk("c", S, 100) == NOTHING, "an old copy"
    assert talk("c", S, 9000) == ATTEMPT
    assert talk("s", SA, 700, 9001) == ANSWERED
    assert talk("c", A, 9001, 701) == PROVEN


def test_where_both_ports_are_watched_the_syn_tells_the_client():
    talk = Talk()
    assert talk("c", S, 100, sport=25) == ATTEMPT
    assert talk("s", SA, 500, 101, sport=25) == ANSWERED
    assert talk("c", A, 101, 501, sport=25) == PROVEN


def test_a_server_that_only_answers_never_opens_anything():
    talk = Talk()
    assert talk("s", A, 1, 1) == OUTSIDE
    assert talk.live() == 0


def test_bytes_without_a_syn_are_picked_up_from_either_side():
    for side in "cs":
        talk = Talk()
        assert talk(side, A, 1, 1, 100) == MIDSTREAM
        assert talk.side == "cs".index(side)
        other = "s" if side == "c" else "c"
        assert talk(other, A, 1, 101, 100) == NOTHING
        assert talk.live() == 1
    for flags in (R, S | A | R, S | F):
        assert Talk()("c", flags, 1, 1, 100) in (OUTSIDE, ATTEMPT)


def test_silence_is_overdue_in_order():
    talk = Talk()
    for k in range(3):
        talk("c", S, k, sport=5000 + k)
    talk("s", SA, 1, 1, sport=5000)
    assert due(talk.table, 10 * SECOND)[0] <= talk.now + 10 * SECOND
    ports = []
    while due(talk.table, 10 * SECOND)[0] < talk.now + 20 * SECOND:
        _, i = due(talk.table, 10 * SECOND)
        ports.append(int(talk.table.rows[i]["client_port"]))
        release(talk.table, i)
    assert ports == [5001, 5002]


def test_a_full_table_gives_up_the_least_recently_used_and_counts_it():
    talk = Talk(size=64)
    for k in range(200):
        talk.now += SECOND
        talk("c", S, k, sport=5000 + k)
        talk("s", SA, 1, k + 1, sport=5000 + k)
    assert talk.live() == 63, "one is made free before each segment"
    assert talk.table.meta[EVICTED] == 200 - 63
    assert talk("c", A, 200, 2, sport=5199) == PROVEN


def test_a_flood_of_syns_pushes_out_syns_not_conversations():
    talk = Talk(size=64)
    talk("c", S, 1, sport=4000)
    talk("s", SA, 500, 2, sport=4000)
    for k in range(500):
        talk("c", S, k, sport=5000 + k)
    assert talk("c", A, 2, 501, sport=4000) == PROVEN


def test_a_row_is_128_bytes_as_the_settings_say():
    assert CONNECTION.itemsize == 128


def test_slots_are_where_a_snapshot_of_before_left_them():
    """``restore`` puts an older, shorter array into the first slots."""
    talk = Talk()
    meta = talk.table.meta
    meta[:13] = [0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1]
    assert talk("c", S, 100) == ATTEMPT
    assert first_of(talk.table, WAITING) == meta[5] == meta[9] == 0
    move(talk.table, 0, PAST)
    assert first_of(talk.table, WAITING) == meta[5] == meta[9] == -1
    assert first_of(talk.table, PAST) == 0
    assert first_of(talk.table, EARLY) == -1
    assert talk("s", SA, 500, 101) == ANSWERED, "however late"


def test_a_row_of_a_snapshot_of_before_is_followed_on():
    talk = Talk()
    talk("c", S, 100)
    talk("s", SA, 500, 101)
    talk("c", A, 101, 501)
    row = talk.table.rows[0]
    for name in ("client_next", "client_ack", "server_ack"):
        row[name] = 0
    talk("s", A, 501, 101, 20)
    assert (row["client_next"], row["server_next"]) == (101, 521)
    assert talk("c", R, 77_777) == IGNORED
    assert talk("c", R | A, 101, 521) == NOTHING
    assert row["fins"] == 4
