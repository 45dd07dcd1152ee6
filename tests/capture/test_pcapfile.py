import gzip
import io
import os
import struct
import sys
import threading
import time
from pathlib import Path

import pytest

from lab.frames import ng_block, ng_interface, ng_packet, ng_section, pcap, write
from sensor.capture import pcapfile
from sensor.capture.block import CaptureError
from sensor.capture.merge import Captures
from sensor.capture.pcapfile import CaptureFile

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FRAMES = [
    (1_700_000_000_000_000_000 + k * 1_001_000, bytes([k % 256]) * (60 + k)) for k in range(40)
]


def read(*paths: str, fault: str | None = None):
    captures = Captures(list(paths))
    found = []
    for block in captures:
        for row in block.frames:
            at = int(row["offset"])
            found.append((int(row["ts"]), block.data[at : at + int(row["captured"])].tobytes()))
    if fault is None:
        assert not captures.faults
    else:
        assert fault in str(captures.faults[0])
    return found


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("nano", [False, True])
def test_pcap_in_both_orders_and_units(tmp_path, big, nano):
    assert read(write(tmp_path / "a.pcap", pcap(FRAMES, big, nano))) == FRAMES


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_compressed_by_content_not_by_name(tmp_path, pack):
    assert read(write(tmp_path / "a.pcap", pack(pcap(FRAMES)))) == FRAMES


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_damaged_compression_is_a_fault_after_what_was_readable(tmp_path, pack):
    content = pcap(FRAMES * 400)
    got = read(write(tmp_path / "a", pack(content)[:-40]), fault="damaged or cut short")
    assert got == (FRAMES * 400)[: len(got)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_with_interfaces_of_several_resolutions_and_links(tmp_path, order):
    seconds = 1_700_000_000
    content = (
        ng_section(order)
        + ng_interface(1, None, order)
        + ng_interface(113, 9, order)
        + ng_interface(101, 0x80 | 10, order)
        + ng_block(5, bytes(16), order)  # statistics: skipped
        + ng_packet(0, seconds * 10**6 + 5, b"micro", order)
        + ng_packet(1, seconds * 10**9 + 7, b"nano", order)
        + ng_packet(2, (seconds << 10) + 512, b"binary", order)
        + ng_section("<")
        + ng_interface(276, 12, "<")
        + ng_packet(0, 100 * 10**12 + 3000, b"pico", "<")
    )
    path = write(tmp_path / "a.pcapng", content)
    assert read(path) == [
        (seconds * 10**9 + 5000, b"micro"),
        (seconds * 10**9 + 7, b"nano"),
        (seconds * 10**9 + 500_000_000, b"binary"),
        (100 * 10**9 + 3, b"pico"),
    ]
    links = [int(row["link"]) for block in CaptureFile(path) for row in block.frames.copy()]
    assert links == [1, 113, 101, 276]


def test_records_longer_than_the_buffer_and_across_refills(tmp_path, monkeypatch):
    monkeypatch.setattr(pcapfile, "CHUNK", 512)
    frames = [(k * 1000, os.urandom(k * 37 % 3000)) for k in range(200)]
    assert read(write(tmp_path / "a", pcap(frames))) == frames
    ng = ng_section() + ng_interface() + b"".join(ng_packet(0, t // 1000, f) for t, f in frames)
    assert read(write(tmp_path / "b", ng)) == frames


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty"),
        (b"\x0a", "cut short"),
        (b"GET / HTTP", "not a capture: it begins with 47 45 54 20"),
        (pcap([])[:20], "the file header needs 24 bytes, 20 are left"),
        (pcap(FRAMES)[:-5], "packet 40 is not whole"),
        (pcap(FRAMES) + b"\0" * 9, "packet 41 is not whole, only 9 bytes"),
        (pcap(FRAMES) + struct.pack("<IIII", 1, 1, 1 << 31, 9), "claims 2,147,483,648 bytes"),
        (ng_section()[:20], "is not whole"),
        (ng_section() + ng_packet(0, 1, b"x"), "interface that was never described"),
        (ng_section() + ng_block(1, b"\0"), "too short"),
        (ng_section() + ng_interface() + b"\x06\0\0\0" + b"\xff\xff\xff\x7f" * 3, "contradict"),
        (ng_section() + ng_interface() + b"\x06\0\0\0" + b"\xfc\xff\xff\x7f" * 3, "claims more"),
        (ng_section() + ng_interface(1, 99), "finer than can be read"),
        (b"\x0a\x0d\x0d\x0a" + bytes(30), "no byte-order mark"),
    ],
)
def test_faults_name_file_and_place_and_keep_what_came_before(tmp_path, content, fault):
    path = write(tmp_path / "broken.pcap", content)
    got = read(path, fault=fault)
    assert got == FRAMES[: len(got)]
    if content.startswith(pcap([])):
        assert len(got) >= 39


def test_a_fault_tells_the_byte(tmp_path):
    path = write(tmp_path / "a", pcap(FRAMES)[:-5])
    with pytest.raises(CaptureError, match=rf"{path} at byte \d+: cut short") as fault:
        list(CaptureFile(path))
    assert fault.value.offset == len(pcap(FRAMES[:-1]))


def test_missing_file_and_folder(tmp_path):
    read(str(tmp_path / "none"), fault="No such file")
    read(str(tmp_path), fault="Is a directory")


def test_following_a_file_that_grows(tmp_path):
    path = tmp_path / "growing.pcap"
    content = pcap(FRAMES)
    path.write_bytes(content[:10])
    blocks = iter(CaptureFile(str(path), follow=True))

    def grow():
        with path.open("ab") as file:
            for at in range(10, len(content), 700):
                file.write(content[at : at + 700])
                file.flush()
                time.sleep(0.01)

    writer = threading.Thread(target=grow)
    writer.start()
    found = 0
    while found < len(FRAMES):
        found += len(next(blocks).frames)
    writer.join()
    assert found == len(FRAMES)


def test_several_files_in_time_order(tmp_path):
    early = write(tmp_path / "b", pcap(FRAMES[:20]))
    late = write(tmp_path / "a", pcap(FRAMES[20:]))
    assert read(late, early) == FRAMES


def test_overlapping_files_interleave_by_time(tmp_path):
    a = write(tmp_path / "a", pcap(FRAMES[::2]))
    b = write(tmp_path / "b", pcap(FRAMES[1::2]))
    assert read(b, a) == FRAMES


def test_a_damaged_file_does_not_stop_the_others(tmp_path):
    good = write(tmp_path / "good", pcap(FRAMES[20:]))
    bad = write(tmp_path / "bad", pcap(FRAMES[:20]) + b"\0")
    assert read(good, bad, fault="packet 21 is not whole") == FRAMES


def test_the_position_reaches_the_size(tmp_path):
    path = write(tmp_path / "a", pcap(FRAMES))
    capture = CaptureFile(path)
    for _ in capture:
        reached = capture.position
    assert reached == Path(path).stat().st_size
    assert isinstance(capture._file, io.BufferedReader)


def modified(order: str) -> bytes:
    out = [struct.pack(order + "IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)]
    for ts, frame in FRAMES:
        seconds, rest = divmod(ts, 10**9)
        head = (seconds, rest // 1000, len(frame), len(frame), 1, 8, 0, 0)
        out += [struct.pack(order + "IIIIIHBB", *head), frame]
    return b"".join(out)


@pytest.mark.parametrize("order", ["<", ">"])
def test_modified_pcap(tmp_path, order):
    assert read(write(tmp_path / "a", modified(order))) == FRAMES


@pytest.mark.parametrize("magic", [0x1C0001AB, 0x1C0001AC])
def test_pcap_of_a_traffic_generator(tmp_path, magic):
    plain = pcap(FRAMES)
    made = struct.pack("<I", magic) + plain[4:24] + bytes(4) + plain[24:]
    assert read(write(tmp_path / "a", made)) == FRAMES


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_lengths_without_padding_and_a_huge_block(tmp_path, order):
    odd = struct.pack(order + "IIIII", 0, 0, 1, 5, 5) + b"hello"
    length = struct.pack(order + "I", 12 + len(odd))
    huge = ng_block(0x0BAD, bytes(20 << 20), order)
    content = (
        ng_section(order)
        + ng_interface(order=order)
        + struct.pack(order + "I", 6) + length + odd + bytes(3) + length
        + huge
        + ng_packet(0, 2, b"after", order)
    )  # fmt: skip
    assert read(write(tmp_path / "a", content)) == [(1000, b"hello"), (2000, b"after")]
    cut = content[: -len(huge) // 2]
    assert read(write(tmp_path / "b", cut), fault="cut short") == [(1000, b"hello")]


def test_pcapng_of_another_version_is_refused(tmp_path):
    later = ng_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 2, 0, -1))
    assert read(write(tmp_path / "a", later), fault="version 2, expected version 1") == []


def test_the_first_resolution_counts(tmp_path):
    twice = struct.pack("<HHIHHB3xHHB3x", 1, 0, 65535, 9, 1, 9, 9, 1, 3)
    content = ng_section() + ng_block(1, twice) + ng_packet(0, 5, b"x")
    assert read(write(tmp_path / "a", content)) == [(5, b"x")]


@pytest.mark.parametrize("first", [0x50, 0x5F])
def test_zstd_with_skippable_frames(tmp_path, first):
    skipped = bytes([first]) + b"\x2a\x4d\x18" + struct.pack("<I", 4) + b"note"
    half = len(pcap(FRAMES)) // 2
    parts = [zstd.compress(part) for part in (pcap(FRAMES)[:half], pcap(FRAMES)[half:])]
    assert read(write(tmp_path / "a", skipped + parts[0] + skipped + parts[1])) == FRAMES
