"""Batches on disk: in order, once, within the ceiling, whatever a crash left."""

import subprocess

import pytest

from sensor.cluster.spool import Record, Spool
from tests.conftest import needs

CEILING = 16_000


def records(first: int, count: int, size: int = 100) -> list[Record]:
    return [Record(n % 3, b"%06d" % n + b"x" * (size - 6), n) for n in range(first, first + count)]


def taken(spool: Spool) -> list[Record]:
    found = []
    while (record := spool.take()) is not None:
        found.append(record)
    return found


def test_what_is_put_is_taken_in_order_and_gone_when_done(tmp_path):
    spool, given = Spool(tmp_path, CEILING), records(0, 50)
    assert all(spool.put(record) for record in given[:20])
    assert [spool.take() for _ in range(5)] == given[:5]
    assert all(spool.put(record) for record in given[20:])
    assert taken(spool) == given[5:]
    assert spool.batches == 50
    for _ in given:
        spool.done()
    assert (spool.batches, spool.size) == (0, 0)
    assert not list(tmp_path.iterdir())


def test_what_is_not_done_is_taken_again_and_by_the_next_process(tmp_path):
    spool, given = Spool(tmp_path, CEILING), records(0, 40)
    for record in given:
        spool.put(record)
    assert len(taken(spool)) == 40
    for _ in range(13):
        spool.done()
    spool.rewind()
    assert taken(spool) == given[13:]
    spool.rewind()
    spool.close()
    again = Spool(tmp_path, CEILING)
    found = taken(again)
    # A file goes when all in it is done: what is told twice has its number.
    assert found == given[-len(found) :]
    assert len(found) >= 27


def test_beyond_the_ceiling_the_oldest_go_and_are_counted(tmp_path):
    spool, given = Spool(tmp_path, CEILING), records(0, 500)
    for record in given:
        spool.put(record)
    assert spool.size <= CEILING
    kept = taken(spool)
    assert kept == given[-len(kept) :]
    assert spool.counters["spool_batches_dropped"] == 500 - len(kept)
    assert spool.counters["spool_segments_dropped"] == sum(r.segments for r in given[: -len(kept)])


def test_what_makes_room_while_it_is_on_its_way_is_counted_once(tmp_path):
    spool, given = Spool(tmp_path, CEILING), records(0, 60)
    for record in given:
        spool.put(record)
    first = [spool.take() for _ in range(4)]
    assert first == given[:4]
    for record in records(60, 400):
        spool.put(record)
    spool.done()  # one did arrive
    spool.rewind()
    kept = taken(spool)
    assert spool.counters["spool_batches_dropped"] == 460 - 1 - len(kept)


def test_what_could_not_be_sent_goes_before_all_else(tmp_path):
    spool = Spool(tmp_path, CEILING)
    for record in records(10, 10):
        spool.put(record)
    spool.put_first(records(0, 10))
    spool.close()
    assert taken(Spool(tmp_path, CEILING)) == records(0, 20)


def test_a_file_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "notes.spool").write_text("buy milk")
    spool = Spool(tmp_path, CEILING)
    assert spool.take() is None
    assert (tmp_path / "notes.spool").exists()


@pytest.mark.parametrize("cut", [1, 50, 110])
def test_a_record_that_was_cut_short_ends_its_file(tmp_path, cut):
    spool = Spool(tmp_path, CEILING)
    for record in records(0, 5):
        spool.put(record)
    spool.close()
    (file,) = tmp_path.glob("*.spool")
    file.write_bytes(file.read_bytes()[:-cut])
    again = Spool(tmp_path, CEILING)
    assert again.counters["spool_records_damaged"] == 1
    again.put(records(9, 1)[0])
    assert taken(again) == records(0, 4) + records(9, 1)


def test_a_record_that_was_changed_is_not_sent(tmp_path):
    spool = Spool(tmp_path, CEILING)
    for record in records(0, 5):
        spool.put(record)
    spool.close()
    (file,) = tmp_path.glob("*.spool")
    whole = bytearray(file.read_bytes())
    whole[2 * 116 + 60] ^= 1
    file.write_bytes(whole)
    again = Spool(tmp_path, CEILING)
    assert taken(again) == records(0, 2)
    assert again.counters["spool_records_damaged"] == 1
    assert again.counters["spool_batches_dropped"] == 3


def test_a_full_disk_costs_what_comes_then_and_nothing_else(tmp_path):
    needs("mount", root=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        spool, given = Spool(tmp_path / "spool", CEILING), records(0, 9, 3000)
        assert spool.put(given[0])
        ballast = tmp_path / "ballast"
        with pytest.raises(OSError, match="space"), ballast.open("wb", buffering=0) as out:
            while True:
                out.write(bytes(4096))
        refused = [spool.put(record) for record in given[1:4]].count(False)
        assert refused == spool.counters["spool_batches_dropped"] > 0
        ballast.unlink()
        assert spool.put(given[8])
        kept = taken(spool)
        assert kept == given[: 4 - refused] + given[8:]
        spool.close()
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
