"""The checksum of TCP against one worked out the long way, and against every single wrong bit."""

import random
import socket
import struct

import numpy as np
import pytest

from sensor.base.addresses import MAPPED
from sensor.base.kernel import table
from sensor.decode.segment import SEGMENT
from sensor.tcp.checksum import checksum_is_good

IPV4 = "203.0.113.7", "198.51.100.25"
IPV6 = "2001:db8::7", "2001:db8:ffff::25"


def long_way(packed: bytes) -> int:
    """RFC 1071 word by word, carries folded in at once."""
    total = 0
    for at in range(0, len(packed), 2):
        total += int.from_bytes(packed[at : at + 2].ljust(2, b"\0"))
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment_of(ends, payload: bytes, options: bytes = b"", before: int = 0):
    """A segment and the data it lies in, its checksum right; ``before`` bytes precede it."""
    family = socket.AF_INET6 if ":" in ends[0] else socket.AF_INET
    packed = b"".join(socket.inet_pton(family, end) for end in ends)
    header = struct.pack(">HHIIBBHHH", 4000, 25, 7, 9, (20 + len(options)) << 2, 24, 500, 0, 0)
    tcp = header + options + payload
    pseudo = packed + struct.pack(">IHBB", len(tcp), 0, 0, 6)
    tcp = tcp[:16] + struct.pack(">H", long_way(pseudo + tcp)) + tcp[18:]
    row = table(1, SEGMENT)
    halves = [int.from_bytes(packed[at : at + 8]) for at in range(0, len(packed), 8)]
    if family == socket.AF_INET:
        halves = [0, MAPPED | int.from_bytes(packed[:4]), 0, MAPPED | int.from_bytes(packed[4:])]
    for name, half in zip(("src_hi", "src_lo", "dst_hi", "dst_lo"), halves, strict=True):
        row[name] = half
    row["header"] = len(header) + len(options)
    row["payload"] = before + len(header) + len(options)
    row["length"] = row["captured"] = len(payload)
    return row[0], np.frombuffer(bytearray(bytes(before) + tcp + b"\xff" * 9), np.uint8)


@pytest.mark.parametrize("ends", [IPV4, IPV6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 1460])
def test_a_right_checksum_fits_at_any_length_and_place(ends, size):
    for before in (0, 1, 54):
        payload = random.Random(size).randbytes(size)
        segment, data = segment_of(ends, payload, options=b"\x01\x01\x01\x00", before=before)
        assert checksum_is_good(data, segment)


def test_no_single_bit_may_change():
    segment, data = segment_of(IPV4, b"MAIL FROM:<>\r\n")
    for bit in range((20 + 14) * 8):
        data[bit // 8] ^= 1 << bit % 8
        assert not checksum_is_good(data, segment), bit
        data[bit // 8] ^= 1 << bit % 8
    assert checksum_is_good(data, segment)


def test_addresses_and_length_belong_to_it():
    segment, data = segment_of(IPV6, b"QUIT\r\n")
    for name in ("src_hi", "src_lo", "dst_hi", "dst_lo"):
        segment[name] = segment[name] ^ np.uint64(1 << 40)
        assert not checksum_is_good(data, segment), name
        segment[name] = segment[name] ^ np.uint64(1 << 40)
    segment["length"] += 2
    segment["captured"] += 2
    assert not checksum_is_good(data, segment)


def test_what_was_cut_short_fits_no_checksum():
    segment, data = segment_of(IPV4, b"QUIT\r\n")
    segment["captured"] = 5
    assert not checksum_is_good(data, segment)


def test_all_ones_and_all_zeros_fold_as_they_should():
    for payload in (b"\xff" * 1460, b"\0" * 1460, b"\xff\xff\xff"):
        segment, data = segment_of(IPV4, payload)
        assert checksum_is_good(data, segment)
