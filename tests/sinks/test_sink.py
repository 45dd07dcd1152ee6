"""A sink is one file and its section in the settings: one is added to a copy of the program."""

import collections
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.alerts import alert
from lab.waiting import wait_for
from sensor.blocking.ledger import Ledger
from sensor.sinks.outbox import Outbox
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.conftest import ROOT

SINK = '''
"""Alerts appended to a file, a line each."""

import os
import threading
import time
from pathlib import Path
from typing import ClassVar

import msgspec

from sensor.sinks.outbox import Outbox
from sensor.sinks.sink import Around, Metrics, Sink, SinkSettings
from sensor.state.journal import Journal


class AppendSettings(SinkSettings, frozen=True, forbid_unknown_fields=True):
    """Where lines go."""

    metrics: ClassVar[Metrics] = Metrics(counters={"append_lines": "lines appended"})

    file: str = ""

    def prepare(self) -> Sink | None:
        return Append(Path(self.file)) if self.file else None


class Append(Sink):
    name = "append"
    title = "the file"

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lines = 0
        self._stopping = threading.Event()

    def start(self, around: Around) -> None:
        self._state = around.state
        self._positions = Outbox(around.state.outbox)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def position(self, source: str) -> int:
        return self._positions.position(self.name, source)

    def counters(self) -> dict[str, int]:
        return {"append_lines": self._lines}

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(5)

    def _run(self) -> None:
        outbox = Outbox(self._state.outbox)
        journals = {}
        with self._file.open("ab") as out:
            while not self._stopping.wait(0.01):
                for path in self._state.journals:
                    name = self._state.source(path)
                    journal = journals.setdefault(name, Journal(path, read_only=True))
                    rows = journal.page(outbox.position(self.name, name), most=10)
                    for row in rows:
                        out.write(msgspec.json.encode(row.alert) + b"\\n")
                    out.flush()
                    os.fsync(out.fileno())
                    self._lines += len(rows)
                    time.sleep(0.02)
                    if rows:
                        outbox.done(self.name, name, rows[-1].number, {})
'''
ALERTS = 600


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """The program with one file more, and with its line (and import) in the settings."""
    made = tmp_path_factory.mktemp("tree")
    for room in ("sensor", "detectors"):
        shutil.copytree(ROOT / room, made / room)
    (made / "sensor" / "sinks" / "append.py").write_text(SINK)
    settings = made / "sensor" / "settings.py"
    text = settings.read_text()
    line = "    kafka: KafkaSettings = KafkaSettings()\n"
    assert text.count(line) == 1
    text = text.replace(line, f"{line}    append: AppendSettings = AppendSettings()\n")
    first = "from sensor.sinks.kafka.connection import"
    text = text.replace(first, f"from sensor.sinks.append import AppendSettings\n{first}")
    settings.write_text(text)
    return made


@pytest.fixture
def state(tmp_path) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    made.path.mkdir()
    Journal(made.journal).write(
        [alert(f"203.0.113.{n % 200}", at=n, opened=n) for n in range(ALERTS)]
    )
    return made


def deliverer(tree: Path, *words: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sensor.service.deliverer", *map(str, words)]
    return subprocess.Popen(command, cwd=tree, stderr=subprocess.PIPE, text=True)


def lines(file: Path) -> list[str]:
    """The alerts in it; the last line may be half a line."""
    whole = file.read_text().split("\n")[:-1] if file.exists() else []
    return [json.loads(line)["id"] for line in whole]


@pytest.mark.slow
def test_its_alerts_arrive_at_least_once_across_kill_9(tree, state, tmp_path):
    config, file = tmp_path / "port25.toml", tmp_path / "appended"
    config.write_text(f'[append]\nfile = "{file}"\n')
    asked = [a.id for _, a in Journal(state.journal, True).read()]
    for part in (1, 2):
        process = deliverer(tree, state.path, "-c", config)
        wait_for(lambda part=part: len(lines(file)) > part * ALERTS // 4, 60, "lines")
        process.send_signal(signal.SIGKILL)
        process.wait()
        outbox = Outbox(state.outbox, read_only=True)
        assert 0 < outbox.position("append", "journal.sqlite") < ALERTS, "in the middle of it"
        outbox.close()
    process = deliverer(tree, state.path, "--drain", "20")  # by the settings that were kept
    _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (0, "")
    times = collections.Counter(lines(file))
    assert times.keys() == set(asked)
    assert sum(times.values()) - ALERTS <= 2 * 10, "no more twice than were on their way"
    order = list(dict.fromkeys(lines(file)))
    assert order == asked
    outbox = Outbox(state.outbox, read_only=True)
    assert outbox.position("append", "journal.sqlite") == ALERTS
    assert outbox.position("kafka", "journal.sqlite") == 0, "a position of its own"
    ledger = Ledger(state.ledger, read_only=True)
    assert ledger.position("journal.sqlite") == ALERTS, "decided on all the same"


def test_its_settings_are_checked_and_its_counters_explained(tree, tmp_path):
    config = tmp_path / "port25.toml"
    config.write_text("[append]\nfiel = 1\n")
    command = [sys.executable, "-m", "sensor", "check-config", str(config)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert "append.fiel: no such setting; did you mean 'file'?" in done.stderr
    command = [sys.executable, "-m", "sensor.service.metrics"]
    page = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True).stdout
    assert "| `port25_append_lines_total` | counter | lines appended |" in page


def test_what_the_deliverer_goes_by_is_for_nobody_else_and_holds_no_users(state, tmp_path):
    config = tmp_path / "port25.toml"
    config.write_text(
        '[[web.users]]\nname = "ada"\nrole = "operator"\npassword = "$argon2id$x"\n'
        "[blocking]\nmax_blocks = 777\n"
    )
    process = deliverer(ROOT, state.path, "-c", config, "--drain", "20")
    _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (0, "")
    assert state.delivery_settings.stat().st_mode & 0o777 == 0o600
    kept = state.delivery_settings.read_text()
    assert "argon2" not in kept and "ada" not in kept
    assert json.loads(kept)["settings"]["blocking"]["max_blocks"] == 777
    assert not list(state.path.glob(".*"))


def test_a_second_deliverer_is_refused(state):
    first = deliverer(ROOT, state.path, "-c", "pcaps/cgn.toml")
    wait_for(state.delivery_settings.exists, 60, "the first")
    second = deliverer(ROOT, state.path)
    _, said = second.communicate(timeout=300)
    assert second.returncode == 1
    assert "a sensor passes on what is there already" in said
    first.terminate()
    _, said = first.communicate(timeout=600)
    assert (first.returncode, said) == (0, "")


def test_without_settings_it_says_what_it_needs(tmp_path):
    process = deliverer(ROOT, tmp_path)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "delivery.json: No such file or directory; name settings (-c)" in said
