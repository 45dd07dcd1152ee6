"""Snapshots: what is written is what comes back, and what does not fit is refused whole."""

import os

import msgspec
import numpy as np
import pytest

from lab.outputs import feed, finish
from sensor.capture.merge import Captures
from sensor.pipeline import Pipeline
from sensor.settings import Limits, Settings, parse_settings
from sensor.state.snapshot import SnapshotError, fork_and_write, read, write
from sensor.state.tables import restore
from tests.conftest import PCAPS

BLOCKS = [
    block._replace(data=block.data.copy(), frames=block.frames.copy())
    for block in Captures([str(PCAPS / "demo.pcap")])
]


def slices(size=997):
    for block in BLOCKS:
        for at in range(0, len(block.frames), size):
            yield block._replace(frames=block.frames[at : at + size], number=block.number + at)


def told(alerts) -> bytes:
    return msgspec.json.encode(alerts)


def test_a_restart_at_any_moment_changes_nothing(tmp_path):
    parts = list(slices())
    whole = Pipeline(Settings())
    expected = [feed(whole, part) for part in parts]
    last = finish(whole)
    for cut in (1, len(parts) // 2, len(parts) - 1):
        before = Pipeline(Settings())
        for part in parts[:cut]:
            feed(before, part)
        path = tmp_path / "state"
        write(path, before.arrays(), {"pipeline": before.facts()})
        after = Pipeline(Settings())
        arrays, facts = read(path)
        after.restore(arrays, facts["pipeline"])
        assert [feed(after, part) for part in parts[cut:]] == expected[cut:]
        assert told(finish(after)) == told(last)
        assert after.counters() == whole.counters()


def test_a_zero_at_the_end_is_restored_where_a_new_state_has_none(tmp_path):
    """The last list of connections may begin and end in row 0; a new one is empty, which is -1."""
    write(tmp_path / "state", {"meta": np.array([3, 0, 0])}, {})
    new = np.full(4, -1)
    restore({"meta": new}, read(tmp_path / "state")[0])
    assert new.tolist() == [3, 0, 0, -1]


def test_a_later_version_may_count_more_kinds_of_things_in_a_field(tmp_path):
    old = np.zeros(3, [("n", np.uint32, (2, 4)), ("gone", np.uint8)])
    old["n"] = np.arange(24).reshape(3, 2, 4)
    write(tmp_path / "state", {"rows": old}, {})
    new = np.zeros(5, [("n", np.uint32, (2, 6)), ("fresh", np.uint8)])
    new["n"][:, :, 4:] = 9
    restore({"rows": new}, read(tmp_path / "state")[0])
    assert (new["n"][:3, :, :4] == old["n"]).all()
    assert (new["n"][:3, :, 4:] == 9).all() and not new["n"][3:, :, :4].any()


def test_a_forked_child_writes_the_state_of_that_moment(tmp_path):
    rows = np.arange(1_000_000)
    child = fork_and_write(tmp_path / "state", {"rows": rows}, {"n": 1})
    rows[:] = 0
    assert os.waitpid(child, 0)[1] == 0
    arrays, facts = read(tmp_path / "state")
    assert (arrays["rows"] == np.arange(1_000_000)).all()
    assert facts == {"n": 1}


def test_other_settings_keep_the_evidence():
    pipeline = Pipeline(Settings())
    parts = list(slices())
    for part in parts[: len(parts) // 2]:
        feed(pipeline, part)
    hosts = pipeline.counters()["hosts"]["hosts"]
    for text in (
        'exempt = [{ prefix = "203.0.113.10", reason = "x", until = 2099-01-01 }]',
        'subscriber_prefixes = [{ prefix = "203.0.113.0/24" }]\n[score]\nprior = 0.01',
        'subscriber_prefixes = [{ prefix = "203.0.113.0/24", cgn = true,'
        " ports_per_subscriber = 512 }]",
        "",
    ):
        pipeline.reload(parse_settings(text))
    assert pipeline.counters()["hosts"]["hosts"] == hosts
    alerts = [alert for part in parts[len(parts) // 2 :] for alert in feed(pipeline, part)]
    other = Pipeline(Settings())
    expected = [feed(other, part) for part in parts][len(parts) // 2 :]
    assert told(alerts) == told([alert for some in expected for alert in some])


def test_old_classes_stay_only_while_a_host_needs_them():
    pipeline = Pipeline(Settings())
    for part in slices():
        feed(pipeline, part)
    shared = (
        'subscriber_prefixes = [{ prefix = "203.0.113.0/24", cgn = true,'
        " ports_per_subscriber = 512 }]"
    )
    for text in ("", 'own_mail_servers = ["192.0.2.1"]') * 20:
        pipeline.reload(parse_settings(text))
    plain = len(pipeline._state.subscribers.classes)
    pipeline.reload(parse_settings(shared))
    assert plain <= 4
    assert len(pipeline._state.subscribers.classes) > 2, "hosts of another shape keep theirs"
    pipeline.reload(parse_settings(""))
    assert len(pipeline._state.subscribers.classes) <= 4


def test_larger_tables_take_a_smaller_ones_rows_but_not_the_other_way_round():
    small = Pipeline(Settings(limits=Limits(max_hosts=64)))
    large = Pipeline(Settings(limits=Limits(max_hosts=1000)))
    for part in slices():
        feed(small, part)
    large.restore(small.arrays(), small.facts())
    assert large.counters()["hosts"]["hosts"] == small.counters()["hosts"]["hosts"]
    rows = np.arange(100)
    with pytest.raises(SnapshotError, match="room for 10 rows"):
        restore({"rows": np.zeros(10, np.int64)}, {"rows": rows})


def test_fields_that_came_and_went():
    old = np.zeros(3, [("a", np.int32), ("gone", np.int8)])
    old["a"] = 1, 2, 3
    new = np.zeros(5, [("more", np.float64), ("a", np.int64)])
    restore({"t": new, "new": np.zeros(2)}, {"t": old})
    assert new["a"].tolist() == [1, 2, 3, 0, 0]


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "text"])
def test_a_damaged_snapshot_is_refused(tmp_path, damage):
    path = tmp_path / "state"
    write(path, {"rows": np.arange(10_000)}, {})
    raw = path.read_bytes()
    changed = bytearray(raw)
    changed[len(raw) // 2] ^= 0xFF
    path.write_bytes(
        {"cut": raw[: len(raw) // 2], "changed": bytes(changed), "empty": b"", "text": b"hello\n"}[
            damage
        ]
    )
    with pytest.raises(SnapshotError):
        arrays, _ = read(path)
        if damage == "changed" and (arrays["rows"] != np.arange(10_000)).any():
            raise SnapshotError("zstd's checksum is off by default")
