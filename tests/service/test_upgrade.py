"""An upgrade goes on with what the version before left; a downgrade is refused, nothing lost."""

import os
import shutil
import sqlite3
import struct
import subprocess
import sys

import msgspec
import pytest

from sensor.base.database import DatabaseError
from sensor.blocking.desk import Desk
from sensor.blocking.ledger import Ledger
from sensor.capture.merge import Captures
from sensor.impact.store import UsageStore
from sensor.service.recorder import Recorder
from sensor.service.snapshots import Snapshots
from sensor.settings import Settings
from sensor.sinks.outbox import Outbox
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from sensor.state.sessions import SessionStore
from sensor.state.snapshot import zstd
from tests.conftest import PCAPS, ROOT, needs, port25

BEFORE = "9544dd0dc909"
"""The version before: its journal, its packets and its snapshot are what upgrades find."""
CAPTURE = PCAPS / "mx_lookups.pcap"
"""It has DNS as well, so that no table of the snapshot is empty."""
OLD = """
import sys
from pathlib import Path
from sensor.blocking.desk import Desk
from sensor.blocking.ledger import Ledger
from sensor.capture.merge import Captures
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.snapshot import write

capture, path, last = sys.argv[1:]
pipeline = Pipeline(Settings())
for block in Captures([capture]):
    pipeline.feed(block)
write(Path(path), pipeline.arrays(), {"pipeline": pipeline.facts(), "journal": int(last)})
"""


def _halves(folder):
    """The capture up to the middle of the alert, and what comes then; when the second begins."""
    data = CAPTURE.read_bytes()
    places, at = [], 24
    while at < len(data):
        places.append(at)
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
    cut = places[len(places) // 2]
    paths = folder / "first.pcap", folder / "second.pcap"
    paths[0].write_bytes(data[:cut])
    paths[1].write_bytes(data[:24] + data[cut:])
    return *map(str, paths), struct.unpack_from("<I", data, cut)[0]


@pytest.fixture
def left(tmp_path):
    """What the version before left when it was stopped."""
    needs("git")
    packed = subprocess.run(
        ["git", "archive", BEFORE, "sensor", "detectors"], cwd=ROOT, capture_output=True
    )
    if packed.returncode:
        pytest.skip(f"commit {BEFORE} is not in this clone: it is a shallow one")
    tree = tmp_path / "before"
    tree.mkdir()
    subprocess.run(["tar", "x"], cwd=tree, input=packed.stdout, check=True)
    first, second, at = _halves(tmp_path)
    state = tmp_path / "state"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(tree)}

    def run(*words):
        done = subprocess.run(
            [sys.executable, *words], cwd=tree, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    told = run("-m", "sensor", "replay", "-q", "--json", "--state", str(state), first)
    run("-c", OLD, first, str(StateFolder(state).snapshot), str(len(told)))
    return StateFolder(state), len(told), second, at


def test_the_evidence_of_the_version_before_goes_on(left, tmp_path):
    files, told, second, at = left
    assert told >= 2
    said = []
    recorder = Recorder(files, Settings(), lambda kind, what: said.append(what.text), usage=False)
    pipeline = recorder.new_pipeline()
    Snapshots(files, pipeline, recorder, lambda kind, what: said.append(what.text), {}).restore()
    assert said == []
    for block in Captures([second]):
        for output in pipeline.feed(block):
            recorder.keep(output)
    for output in pipeline.finish():
        recorder.keep(output)
    recorder.close()
    assert said == []

    journal = Journal(files.journal)
    alerts = [alert for _, alert in journal.read()]
    journal.db.close()
    # One alert that goes on: no message of old is lost, none comes twice.
    assert len({alert.id for alert in alerts}) == 1
    assert [alert.revision for alert in alerts] == list(range(1, len(alerts) + 1))
    assert len(alerts) > told and alerts[-1].score >= alerts[told - 1].score
    packets = tmp_path / "alert.pcapng"
    words = ("--state", str(files.path), "-w", str(packets))
    port25("evidence", alerts[0].id, *words, check=True)
    times = [frame["ts"] // 10**9 for block in Captures([str(packets)]) for frame in block.frames]
    assert min(times) < at <= max(times), "packets of before the upgrade and of after it"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A state folder of this version."""
    folder = tmp_path_factory.mktemp("kept")
    port25("replay", "-q", "--json", "--state", str(folder), str(CAPTURE), check=True)
    return folder


def _is_refused(folder, file, said):
    before = file.read_bytes()
    run = port25("replay", "-q", "--json", "--state", str(folder), str(CAPTURE))
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr.decode() == (
        f"port25: {file}: it is of a newer version ({said}); install that version, or name another"
        " state folder\n"
    )
    assert file.read_bytes() == before


BOOKS = {
    "journal": Journal, "ledger": Ledger, "sessions": SessionStore, "outbox": Outbox, "desk": Desk,
    "usage": UsageStore,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", BOOKS)
def test_tables_of_a_newer_version_are_left_alone(kept, tmp_path, name):
    folder = tmp_path / "state"
    shutil.copytree(kept, folder)
    file = getattr(StateFolder(folder), name)
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version = 99")
    database.commit()
    database.close()
    _is_refused(folder, file, f"99, this program knows {len(BOOKS[name].migrations)}")


def test_a_snapshot_of_a_newer_version_is_left_alone(kept, tmp_path):
    folder = tmp_path / "state"
    shutil.copytree(kept, folder)
    file = StateFolder(folder).snapshot
    with zstd.open(file, "wb") as out:
        out.write(b"port25.state/3\n{}\n")
    _is_refused(folder, file, "3, this program knows 2")


def test_a_full_disk_brings_no_table_forward_by_half(kept, tmp_path):
    """The first start of a new version, where there is no room: said, and all is as it was."""
    needs("mount", root=True)
    newest = Journal(StateFolder(kept).journal, read_only=True)
    alerts = [alert for _, alert in newest.read()]
    newest.db.close()
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "small", folder], check=True)
    try:
        file = folder / "journal.sqlite"
        database = sqlite3.connect(file)
        database.executescript(Journal.migrations[0] + "PRAGMA user_version = 1;")
        for a in alerts:
            row = a.id, a.revision, a.ts, a.host, a.state, msgspec.json.encode(a)
            database.execute(
                "INSERT INTO alerts (id, revision, ts, host, state, message)"
                " VALUES (?, ?, ?, ?, ?, ?)", row,
            )  # fmt: skip
        database.commit()
        database.close()
        before, filler = file.read_bytes(), (folder / "filler").open("wb", 0)
        with pytest.raises(OSError, match="No space left"):
            while True:
                filler.write(bytes(4096))
        with pytest.raises(DatabaseError, match=rf"{file}: (database or disk is full|disk I/O)"):
            Journal(file)
        assert file.read_bytes()[100:] == before[100:]
        filler.truncate(0)
        there = Journal(file)
        assert [alert for _, alert in there.read()] == alerts
        assert len(there.heads(10)) == 1
        there.db.close()
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
