"""The streams of a connection put together, whatever the network or an evader does to them."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lab.conversation import (
    ACK,
    CLIENT,
    FIN,
    GOOD,
    PSH,
    RST,
    SERVER,
    START,
    SYN,
    Conversation,
    checksum,
    frame,
    sessions,
)
from sensor.settings import Limits
from sensor.tracking.output import MUCH

DATA = ACK | PSH
CLEAN = Conversation().open().say(GOOD).close().session()
GREET = "S: 220 mx.example\\r\\n|"


def facts(s):
    """What must be the same however the packets came."""
    return {
        name: getattr(s, name)
        for name in s.__struct_fields__
        if name not in ("ts", "end", "retransmissions", "slowest_reply", "anomalies", "ended")
    }


def test_any_order_within_a_side_gives_the_same():
    for seed in range(30):
        rng = random.Random(seed)
        talk = Conversation().open().say(GOOD).close()
        frames = talk.frames[:]
        # neighbours of one side change places, as they do on parallel links
        for k in range(4, len(frames) - 4):
            same = frames[k][1][26:30] == frames[k + 1][1][26:30]
            if same and rng.random() < 0.8:
                frames[k], frames[k + 1] = frames[k + 1], frames[k]
        assert facts(sessions(frames)[0]) == facts(CLEAN)


def test_segments_of_any_size_in_any_order_and_often():
    for seed in range(40):
        rng = random.Random(seed)
        talk = Conversation(isn=(2**32 - 40, 2**32 - 7)).open().say(GREET)
        text = b"HELO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
        text += b"x" * 3000 + b"\r\n.\r\nQUIT\r\n"
        start = talk.next["c"]
        pieces = []
        at = 0
        while at < len(text):
            size = rng.choice((1, 2, 3, 20, 500, 1400))
            pieces.append((at, text[at : at + size]))
            at += size
        pieces += rng.sample(pieces, len(pieces) // 3)
        rng.shuffle(pieces)
        for at, piece in pieces:
            talk.raw("c", DATA, piece, seq=start + at, ack=talk.next["s"])
        s = talk.session()
        assert (s.commands, s.bytes_client, s.gaps) == (5, len(text), 0), seed
        assert (s.helo, s.mail_from_domain, s.rcpt_domains, s.quit) == (
            "a.example", "b.example", ["d.example"], True,
        )  # fmt: skip
        assert "overlap_conflict" not in s.anomalies


def test_the_first_of_two_different_bytes_stands_and_the_conflict_is_seen():
    talk = Conversation().open().say(GREET)
    start = talk.next["c"]
    talk.raw("c", DATA, b"LO good.example\r\n", seq=start + 2)
    talk.raw("c", DATA, b"LO evil.example\r\n", seq=start + 2)
    talk.raw("c", DATA, b"HE", seq=start)
    s = talk.session()
    assert (s.helo, s.anomalies) == ("good.example", ["overlap_conflict"])


def test_a_retransmission_with_other_bytes_is_seen_after_the_fact():
    talk = Conversation().open().say(GREET)
    start = talk.next["c"]
    talk.send("c", b"HELO good.example\r\n")
    talk.raw("c", DATA, b"HELO good.example\r\n", seq=start)
    assert talk.session().anomalies == []
    talk.raw("c", DATA, b"HELO evil.example\r\n", seq=start)
    s = talk.session()
    assert (s.helo, s.anomalies, s.retransmissions) == ("good.example", ["overlap_conflict"], 2)


def test_partly_overlapping_segments():
    talk = Conversation().open().say(GREET)
    start = talk.next["c"]
    talk.raw("c", DATA, b"HELO g", seq=start)
    talk.raw("c", DATA, b"O good.example\r\nMAIL", seq=start + 3)
    talk.raw("c", DATA, b"MAIL FROM:<a@b.example>\r\n", seq=start + 19)
    s = talk.session()
    assert (s.helo, s.mail_from_domain) == ("good.example", "b.example")
    assert "overlap_conflict" not in s.anomalies


def test_a_wrong_checksum_means_the_server_never_saw_it():
    talk = Conversation().open().say(GREET)
    start = talk.next["c"]
    talk.raw("c", DATA, b"HELO evil.example\r\n", seq=start, bad_checksum=True)
    talk.raw("c", DATA, b"HELO good.example\r\n", seq=start)
    s = talk.session()
    assert (s.helo, s.anomalies) == ("good.example", ["bad_checksum"])


def test_where_the_card_fills_checksums_in_they_mean_nothing():
    talk = Conversation()
    talk.send("c", flags=SYN, bad_checksum=True)
    talk.send("s", flags=SYN | ACK)
    talk.send("c", flags=ACK, bad_checksum=True)
    talk.say(GREET)
    talk.send("c", b"HELO good.example\r\n", bad_checksum=True)
    s = talk.session()
    assert (s.helo, s.anomalies) == ("good.example", [])


def test_a_text_made_anonymous_stays_readable():
    talk = Conversation().open()
    talk.send("s", b"220 xxx\r\n", bad_checksum=True)
    talk.send("c", b"HELO xxx.example\r\n", bad_checksum=True)
    assert talk.session().helo == "xxx.example"


def test_the_checksum_is_the_rfcs():
    assert checksum(b"\x00\x01\xf2\x03\xf4\xf5\xf6\xf7") == 0x220D  # RFC 1071, 3
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    for size in range(12):
        payload = bytes(range(200, 200 + size))
        ours = frame(CLIENT, SERVER, 4000, 25, 7, 9, DATA, payload)
        theirs = bytes(
            Ether(dst="02:" * 5 + "02", src="02:" * 5 + "02")
            / IP(src=CLIENT, dst=SERVER, id=1)
            / TCP(sport=4000, dport=25, seq=7, ack=9, flags=DATA, window=65535)
            / (Raw(payload) if payload else b"")
        )
        assert ours[34:] == theirs[34:]


def test_a_short_ttl_insert_shows_when_the_true_bytes_follow():
    talk = Conversation().open().say(GREET)
    start = talk.next["c"]
    talk.raw("c", DATA, b"HELO evil.example\r\n", seq=start, ttl=2)
    talk.raw("c", DATA, b"HELO good.example\r\n", seq=start)
    assert "overlap_conflict" in talk.session().anomalies


def test_bytes_the_mirror_lost_are_a_gap_once_they_are_acknowledged():
    talk = Conversation().open().say(GREET)
    talk.send("c", b"HELO a.example\r\n")
    talk.say("S: 250 hi\\r\\n")
    talk.skip("c", len(b"MAIL FROM:<a@b.example>\r\n"))
    talk.say("S: 250 ok\\r\\n")
    talk.send("c", b"RCPT TO:<c@d.example>\r\n")
    talk.say("S: 250 ok\\r\\n")
    talk.send("c", b"RCPT TO:<e@f.example>\r\n")
    s = talk.say("S: 550 no\\r\\n").close().session()
    assert (s.gaps, s.bytes_missed) == (1, 25)
    assert (s.rcpt_rejected, s.rcpt_domains) == (1, ["d.example", "f.example"])
    assert s.anomalies == ["gap", "resynchronised"]
    assert s.bytes_client == 16 + 25 + 23 * 2


def test_a_lost_end_of_message_is_found_by_the_reply():
    talk = Conversation().open().say(GOOD.split("C: Subject")[0])
    talk.send("c", b"Subject: x\r\n\r\nhal")
    talk.skip("c", 10)
    talk.raw("s", ACK)
    talk.say("S: 250 2.0.0 queued\\r\\n")
    s = talk.say("C: QUIT\\r\\n|S: 221 bye\\r\\n").close().session()
    assert (s.messages_accepted, s.gaps) == (1, 1)


def test_a_reply_captured_before_its_command_is_put_right():
    talk = Conversation().open().say(GREET)
    talk.send("c", b"HELO a.example\r\n")
    talk.say("S: 250 hi\\r\\n")
    start = talk.next["c"]
    command = b"MAIL FROM:<a@b.example>\r\n"
    talk.skip("c", len(command))
    talk.say("S: 550 5.7.1 go away\\r\\n")
    talk.raw("c", DATA, command, seq=start)
    s = talk.say("C: QUIT\\r\\n|S: 221 bye\\r\\n").close().session()
    assert (s.mail_rejected, s.gaps, s.anomalies) == (1, 0, [])


def test_a_snap_length_cuts_and_says_so():
    talk = Conversation().open().say(GOOD).close()
    s = sessions(talk.frames, cut=54 + 20)[0]
    assert {"cut", "gap"} <= set(s.anomalies)
    assert (s.bytes_client, s.bytes_server) == (CLEAN.bytes_client, CLEAN.bytes_server)
    headers = sessions(talk.frames, cut=54)[0]
    assert headers.commands == 0
    assert headers.bytes_client == CLEAN.bytes_client


def test_a_forged_reset_does_not_end_what_goes_on():
    talk = Conversation().open().say(GREET)
    talk.raw("s", RST | ACK)
    talk.say("C: HELO a.example\\r\\n")
    s = talk.say("S: 250 ok\\r\\n").close().session()
    assert (s.helo, s.reply_codes["250"]) == ("a.example", 1)
    assert "after_reset" in s.anomalies


def test_a_reset_from_nowhere_is_ignored():
    talk = Conversation().open().say(GREET)
    talk.raw("s", RST, seq=talk.next["s"] + 2**30)
    s = talk.say("C: HELO a.example\\r\\n").session()
    assert (s.ended, s.anomalies) == ("open", [])


def test_a_segment_from_nowhere_is_left_out():
    talk = Conversation().open().say(GREET)
    talk.raw("c", DATA, b"HELO evil.example\r\n", seq=talk.next["c"] + 2**28)
    s = talk.say("C: HELO a.example\\r\\n").session()
    assert (s.helo, s.anomalies) == ("a.example", ["out_of_window"])


def test_mid_stream_begins_where_it_is_found():
    talk = Conversation().open().say(GOOD).close()
    frames = talk.frames[7:]
    s = sessions(frames)[0]
    assert (s.handshake, s.directions, s.helo) == ("midstream", "both", None)
    assert (s.rcpt_accepted, s.messages_accepted, s.quit) == (1, 1, True)
    assert s.anomalies == []


def test_the_same_ports_again_are_another_connection():
    talk = Conversation().open().say(GREET + "C: HELO one.example\\r\\n|S: 250 ok\\r\\n")
    again = Conversation(isn=(900_000, 7)).open()
    again.say(GREET + "C: HELO two.example\\r\\n|S: 250 ok\\r\\n")
    later = [(ts + 10**9, content) for ts, content in again.frames]
    first, second = sessions(talk.frames + later)
    assert (first.helo, second.helo) == ("one.example", "two.example")


def test_a_syn_with_bytes():
    talk = Conversation()
    talk.send("c", b"HELO fast.example\r\n", flags=SYN)
    talk.send("s", flags=SYN | ACK)
    talk.send("c", flags=ACK)
    s = talk.say("S: 220 mx\\r\\n250 ok\\r\\n").session()
    assert s.helo == "fast.example"


def test_idle_sessions_end_in_packet_time():
    talk = Conversation().open().say(GREET)
    other = Conversation(sport=4001)
    other.now = START + 700 * 10**9
    other.open()
    first, second = sessions(talk.frames + other.frames)
    assert (first.ended, second.ended) == ("idle", "open")


def test_more_out_of_order_than_is_held_is_given_up():
    talk = Conversation().open().say(GREET)
    for _ in range(80):
        talk.skip("c", 1)
        talk.send("c", b"NOOP\r\n", ack=1)
    s = talk.session()
    assert "hold_overflow" in s.anomalies
    assert s.bytes_client == 80 * 7


def test_no_room_for_pieces_is_counted_and_harmless():
    found = []
    frames = []
    for k in range(30):
        talk = Conversation(sport=4000 + k).open().say(GREET)
        talk.now += k
        start = talk.next["c"]
        talk.raw("c", DATA, b"a.example\r\n", seq=start + 5)
        talk.raw("c", DATA, b"HELO ", seq=start)
        talk.raw("c", DATA, b"HELO a.example\r\n", seq=start)
        frames += talk.frames
    frames.sort(key=lambda f: f[0])
    found = sessions(frames, limits=Limits(max_pieces=16))
    assert len(found) == 30
    assert {s.helo for s in found if "hold_overflow" not in s.anomalies} == {"a.example"}
    assert any("hold_overflow" in s.anomalies for s in found)


def test_sessions_have_a_ceiling_and_the_silent_ones_go_first():
    frames = []
    for k in range(40):
        talk = Conversation(sport=4000 + k)
        talk.now += k * 10**9
        talk.open().say(GREET + "C: HELO a.example\\r\\n")
        frames += talk.frames
    found = sessions(frames, limits=Limits(max_sessions=16))
    assert len(found) == 40
    evicted = [s for s in found if s.ended == "evicted"]
    assert [s.sport for s in evicted] == list(range(4000, 4024))
    assert all("evicted" in s.anomalies for s in evicted)


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_the_same_however_it_is_cut_into_blocks(step):
    talk = Conversation().open().say(GOOD).close()
    assert sessions(talk.frames, step=step) == sessions(talk.frames)


def test_headers_only_reads_nothing_that_is_said():
    s = Conversation().open().say(GOOD).close().session(privacy="headers")
    assert (s.handshake, s.ended, s.commands, s.helo, s.bytes_client) == (
        "complete", "closed", 0, None, 0,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("ceiling", [100_000, 1_000_000])
def test_half_open_sessions_stay_within_the_ceiling(ceiling):
    """A million SYNs from as many hosts: each has its record, none costs more than its row."""
    n = 1_000_000
    one = frame(CLIENT, SERVER, 1, 25, 1, 0, SYN)
    data = np.tile(np.frombuffer(one, np.uint8), (n, 1))
    sources = (0x0A000000 + np.arange(n)).astype(">u4").view(np.uint8).reshape(-1, 4)
    data[:, 26:30] = sources
    from sensor.capture.block import FRAME, Block
    from sensor.pipeline import Pipeline
    from sensor.settings import Settings

    ended: Counter[str] = Counter()

    limits = Limits(max_connections=ceiling, max_hosts=100_000)
    pipeline = Pipeline(Settings(limits=limits), sessions="all")
    flat = data.reshape(-1)
    for at in range(0, n, 8192):
        m = min(8192, n - at)
        rows = np.zeros(m, FRAME)
        rows["ts"] = START + (at + np.arange(m)) * 1000
        rows["offset"] = (at + np.arange(m)) * len(one)
        rows["wire"] = rows["captured"] = len(one)
        rows["link"], rows["vlan"] = 1, -1
        for output in pipeline.feed(Block(flat, rows, at + 1, "made")):
            ended.update(one.session.ended for one in output.sessions)
    counters = pipeline.counters()["connections"]
    for output in pipeline.finish():
        assert len(output.sessions) < 2 * MUCH, "memory stays bounded at the end as well"
        ended.update(one.session.ended for one in output.sessions)
    assert counters["attempts"] == n
    assert counters["connections_evicted"] == n - ceiling
    assert ended["evicted"] == n - ceiling
    assert ended["open"] == ceiling


def test_memory_is_flat_over_a_capture_ten_times_longer(tmp_path):
    from lab.generate import write
    from lab.sessions import generate
    from sensor.capture.merge import Captures
    from sensor.pipeline import Pipeline
    from sensor.settings import Settings

    path = tmp_path / "sessions.pcap"
    write(path, generate(4000)[0])
    told = 0
    pipeline = Pipeline(Settings(limits=Limits(max_sessions=1000)), sessions="all")
    resident = []
    for again in range(11):
        for block in Captures([str(path)]):
            block.frames["ts"] += again * 3600 * 10**9
            told += sum(len(output.sessions) for output in pipeline.feed(block))
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
    assert told >= 10 * 4000
    # The first time round fills what stays filled: names, hosts, connections that linger.
    assert resident[-1] < resident[1] + 4e6, [size >> 20 for size in resident]


def test_fin_may_come_before_the_last_bytes():
    talk = Conversation().open().say(GREET)
    start = talk.next["c"]
    talk.skip("c", len(b"QUIT\r\n"))
    talk.send("c", flags=FIN | ACK)
    talk.send("s", flags=FIN | ACK)
    talk.raw("c", DATA, b"QUIT\r\n", seq=start)
    assert talk.session().quit
