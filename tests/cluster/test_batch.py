"""A batch is read as it was written, and what is none is refused whole."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record import util

from sensor.base.kernel import table
from sensor.cluster.batch import COLUMNS, BatchError, Head, decode, encode
from sensor.decode.segment import SEGMENT
from sensor.decode.sharing import TCP_HEADER, TOLD


def made(count: int) -> tuple[Head, np.ndarray, np.ndarray, np.ndarray]:
    rows = table(count, SEGMENT)
    random = np.random.default_rng(count)
    rows["ts"] = random.integers(0, 1 << 60, count)
    rows["src_lo"] = random.integers(0, 1 << 63, count)
    rows["header"] = 20
    rows["vlan"] = -1
    rows["length"] = rows["captured"] = random.integers(0, 100, count)
    size = int((rows["captured"] + 20 - TOLD).sum())
    head = Head(sensor="north", run="a1", number=7, segments=count, bytes=size, mark=5)
    packed = random.integers(0, 256, size, np.uint8)
    return head, rows, random.integers(0, 256, count, np.uint8), packed


@given(st.integers(0, 300))
def test_it_is_read_as_it_was_written(count):
    head, rows, ttls, packed = made(count)
    batch = decode(encode(head, rows, ttls, packed))
    assert batch.head == head
    for name, _ in COLUMNS:
        wrote, read = (ttls, batch.ttls) if name == "ttl" else (rows[name], batch.rows[name])
        assert (wrote == read).all(), name
    assert (batch.packed == packed).all()


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_words(message):
    with pytest.raises(BatchError):
        decode(message)


@given(st.data())
def test_a_damaged_batch_is_refused_or_read_within_bounds(data):
    message = bytearray(encode(*made(20)))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        batch = decode(bytes(message))
    except BatchError:
        return
    used = batch.rows["captured"].sum() + batch.rows["header"].sum(dtype=np.int64)
    used -= TOLD * (batch.rows["header"] >= TCP_HEADER).sum()
    assert used == len(batch.packed)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("captured", -1, "captured"),
        ("captured", 1 << 20, "captured"),
        ("header", 200, "header"),
        ("header", 7, "header"),
        ("header", 24, "add up"),
        ("kind", 9, "kind"),
        ("vlan", 5000, "kind or vlan"),
        ("ts", -1, "ts"),
        ("ts", (1 << 63) - 1, "ts"),
    ],
)
def test_a_row_that_tells_beyond_its_bytes_is_refused(field, value, said):
    head, rows, ttls, packed = made(3)
    rows[field][1] = value
    with pytest.raises(BatchError, match=said):
        decode(encode(head, rows, ttls, packed))


@pytest.mark.parametrize("field", ["first", "last", "mark", "number"])
@pytest.mark.parametrize("value", [-1, (1 << 63) - 1, 10**30])
def test_a_time_that_would_carry_the_stream_off_is_refused(field, value):
    head, *rows = made(3)
    line, _, body = encode(head, *rows).partition(b"\n")
    said = json.loads(line) | {field: value}
    with pytest.raises(BatchError, match=field):
        decode(json.dumps(said).encode() + b"\n" + body)


def test_more_bytes_than_were_announced_are_not_unpacked():
    head, rows, ttls, _ = made(3)
    more = np.zeros(1 << 26, np.uint8)
    with pytest.raises(BatchError, match="expected"):
        decode(encode(head, rows, ttls, more))


def test_the_line_of_json_is_what_the_page_says():
    line = encode(*made(1)).partition(b"\n")[0]
    assert msgspec.json.decode(line)["schema"] == "port25.segments/1"


def test_checksums_of_messages_are_no_python():
    """Those of kafka-python without its extra take 80 ns a byte: as long as all else together."""
    assert util.crc32c_c is not None
