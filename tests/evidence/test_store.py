"""The evidence store: what it keeps, what it leaves out, and when it lets go."""

import subprocess

from lab.conversation import GOOD, Conversation, block
from sensor.capture.merge import Captures
from sensor.decode.decoder import Decoder
from sensor.evidence.store import Store, stored_files
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from tests.conftest import PCAPS, port25

MEGABYTE = 1_000_000


def fill(folder, name, payload, max_bytes=100 * MEGABYTE, hours=48):
    store = Store(folder, max_bytes, hours)
    pipeline = Pipeline(Settings(privacy="evidence"))
    for part in Captures([str(PCAPS / f"{name}.pcap")]):
        for at in range(0, len(part.frames), 100):
            some = part._replace(frames=part.frames[at : at + 100], number=part.number + at)
            for output in pipeline.feed(some):
                store.keep(some, output.segments, payload)
    store.close()
    assert store.fault == ""
    return store


def test_all_segments_are_kept_and_wireshark_reads_them(tmp_path, tshark):
    fill(tmp_path, "fast_bot", payload=True)
    (file,) = stored_files(tmp_path)
    ours = port25("segments", str(file), check=True).stdout
    theirs = port25("segments", str(PCAPS / "fast_bot.pcap"), check=True).stdout
    assert len(ours.splitlines()) == len(theirs.splitlines())
    words = [tshark, "-r", str(file), "-n", "-T", "fields", "-e", "frame.number"]
    shown = subprocess.run(words, check=True, capture_output=True).stdout.splitlines()
    icmp = Decoder([25])
    for part in Captures([str(PCAPS / "fast_bot.pcap")]):
        icmp.decode(part)
    assert len(shown) == icmp.counts.sum()


def test_no_message_secret_or_reply_after_them_is_kept(tmp_path):
    talk = Conversation().open().say(GOOD)
    talk.say(
        r"C: AUTH PLAIN aHVudGVyMg==\r\n|S: 535 no\r\n|C: AUTH LOGIN\r\n|S: 334 x\r\n"
        r"|C: aHVudGVyMg==\r\n|S: 535 no\r\n"
    ).close()
    pipeline = Pipeline(Settings(privacy="evidence"))
    for payload in (True, False):
        folder = tmp_path / str(payload)
        folder.mkdir()
        store = Store(folder, MEGABYTE, 1)
        part = block(talk.frames)
        for output in pipeline.feed(part):
            store.keep(part, output.segments, payload)
        store.close()
        raw = stored_files(folder)[0].read_bytes()
        assert b"Dear bob" not in raw
        assert b"secret matters" not in raw
        assert b"aHVudGVyMg" not in raw
        assert (b"MAIL FROM:<annika@sender.example>" in raw) == payload
        pipeline = Pipeline(Settings(privacy="evidence"))


def test_the_oldest_make_room(tmp_path):
    store = fill(tmp_path, "demo", payload=False, max_bytes=400_000)
    sizes = [file.stat().st_size for file in stored_files(tmp_path)]
    assert 8 <= len(sizes) <= 24
    assert sum(sizes) <= 400_000
    assert store.counters["evidence_files_dropped"] > 5


def test_what_is_too_old_goes(tmp_path):
    for ts in (1, 2):  # the second may hold packets up to when the third begins
        (tmp_path / f"packets-{ts:020d}.pcapng").write_bytes(b"x")
    (tmp_path / f"packets-{1_749_999_000 * 10**9:020d}.pcapng").write_bytes(b"x")
    store = fill(tmp_path, "home_user", payload=False)
    assert store.counters["evidence_files_dropped"] == 1
    assert len(stored_files(tmp_path)) == 3


def test_nothing_is_kept_where_nothing_may_be(tmp_path):
    fill(tmp_path, "home_user", payload=False, max_bytes=0)
    assert stored_files(tmp_path) == []
