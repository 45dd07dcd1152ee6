"""Captures of several sensors as one: in order, each its interface, nothing hostile believed."""

import struct
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor.base.kernel import table
from sensor.capture.block import FRAME
from sensor.evidence.joining import join
from sensor.evidence.store import Writer
from tests.conftest import needs


def capture(path, frames):
    """A file as the store writes it: of each frame time, link and bytes."""
    with path.open("wb") as file:
        writer = Writer(file, "of one")
        for ts, link, data in frames:
            row = table(1, FRAME)
            row["ts"], row["link"], row["vlan"] = ts, link, -1
            row["captured"] = row["wire"] = len(data)
            padded = np.frombuffer(data + bytes(64), np.uint8)
            writer.write(padded, row, np.full(1, len(data)))
    return path


def shown(path):
    needs("tshark")
    fields = ["frame.time_epoch", "frame.interface_name", "frame.len", "frame.encap_type"]
    command = ["tshark", "-r", str(path), "-T", "fields"]
    for one in fields:
        command += ["-e", one]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split("\t") for line in lines]


def test_they_come_in_order_of_time_each_sensor_an_interface(tmp_path):
    base = 1_700_000_000_000_000_000
    north = capture(tmp_path / "n", [(base + 1, 1, bytes(60)), (base + 5, 101, b"E" * 40)])
    south = capture(tmp_path / "s", [(base + 3, 1, bytes(61)), (base + 5, 1, bytes(62))])
    out = tmp_path / "out.pcapng"
    parts = join([("north", north), ("south", south)], out, "both")
    assert [tuple(one) for one in parts] == [(2, ""), (2, "")]
    rows = shown(out)
    assert [(row[1], row[2]) for row in rows] == [
        ("north", "60"), ("south", "61"), ("north (IP)", "40"), ("south", "62"),
    ]  # fmt: skip
    assert [row[0][-9:] for row in rows] == ["000000001", "000000003", "000000005", "000000005"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b"GIF89a" * 40,
        lambda b: b[:-7],
        lambda b: b[: b[4] + 4] + struct.pack("<I", 1 << 30) + b[b[4] + 8 :],
        lambda b: b.replace(struct.pack("<IIHH", 1, 32, 1, 0), struct.pack("<IIHH", 1, 32, 9, 0)),
        lambda b: struct.pack("<II", 6, 32) + bytes(24),
    ],
)
def test_what_is_no_capture_of_ours_ends_there_and_hinders_no_other(tmp_path, spoil):
    frames = [(n, 1, bytes(60)) for n in range(1, 4)]
    good = capture(tmp_path / "good", frames)
    bad = tmp_path / "bad"
    bad.write_bytes(spoil(capture(tmp_path / "was", frames).read_bytes()))
    whole, spoilt = join([("good", good), ("bad", bad)], tmp_path / "out", "")
    assert whole == (3, "") and spoilt.fault
    assert len(shown(tmp_path / "out")) == 3 + spoilt.packets


@given(st.binary(max_size=400))
def test_no_bytes_do_more_than_end_it(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    good = capture(folder / "good", [(1, 1, bytes(60))]).read_bytes()
    (folder / "bad").write_bytes(good + data)
    (part,) = join([("bad", folder / "bad")], folder / "out", "")
    assert part.packets >= 1


def test_nothing_is_a_file_without_packets(tmp_path):
    assert join([], tmp_path / "out", "nobody") == []
    assert shown(tmp_path / "out") == []
