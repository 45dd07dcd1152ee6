"""A state folder has one writer, and tells whose it is to those it is shut to."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensor.base.permission import denied
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from sensor.state.lock import StateInUseError, StateLock
from tests.conftest import PCAPS, ROOT, cannot, port25

CAPTURE = str(PCAPS / "home_user.pcap")
HOLD = "import sys,time; from pathlib import Path; from sensor.state.lock import StateLock\n"
HOLD += (
    "lock = StateLock(Path(sys.argv[1]), 'port25 live'); print('held', flush=True); time.sleep(60)"
)


@contextlib.contextmanager
def another(state: Path) -> Iterator[int]:
    """Another process that writes ``state``; its pid."""
    command = [sys.executable, "-c", HOLD, str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process.pid
        finally:
            process.kill()


def test_a_second_writer_is_told_who_the_first_is(tmp_path):
    state = tmp_path / "state"
    with another(state) as pid:
        before = sorted(state.rglob("*"))
        run = port25("replay", "-q", "--state", str(state), CAPTURE)
        assert run.returncode == 1
        said = run.stderr.decode()
        assert f"{state}: pid {pid} (port25 live) writes there already" in said
        assert said.count("\n") == 1
        assert sorted(state.rglob("*")) == before, "nothing was made"
        with pytest.raises(StateInUseError, match=str(pid)):
            StateLock(state, "port25 replay")


def test_who_was_killed_holds_nothing(tmp_path):
    with another(tmp_path) as pid:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        StateLock(tmp_path, "port25 replay").release()
    assert StateFolder(tmp_path).writer_lock.read_text() == f"{os.getpid()} port25 replay\n"


def test_what_was_forked_does_not_hold_it(tmp_path):
    """Or a sensor that was killed could not start again before its children have ended."""
    lock = StateLock(tmp_path, "port25 live")
    child = os.fork()
    if child == 0:
        signal.pause()
    lock.release()
    try:
        held = [sys.executable, "-c", HOLD.replace("time.sleep(60)", ""), str(tmp_path)]
        assert subprocess.run(held, cwd=ROOT, check=False).returncode == 0
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_readers_need_no_lock(tmp_path):
    assert port25("replay", "-q", "--state", str(tmp_path), CAPTURE).returncode == 0
    with another(tmp_path):
        assert port25("blocklist", "--state", str(tmp_path)).returncode == 0


ALERT = "0123456789abcdef"
VERBS = {
    "web": ("web", "--listen", "127.0.0.1:0"),
    "watch": ("watch", "--plain"),
    "replay": ("replay", "-q", CAPTURE),
    "blocklist": ("blocklist",),
    "decisions": ("decisions",),
    "release": ("release", "--all", "--reason", "x"),
    "resume": ("resume", "--reason", "x"),
    "tune": ("tune",),
    "evidence": ("evidence", ALERT, "-w", "/dev/null"),
    "report": ("report", ALERT, "--organisation", "x", "--contact", "a@example.net"),
    "impact": ("impact", "--journal"),
}


ALL = """
import contextlib, importlib, io, json, os, pkgutil, sys
import numpy, msgspec, encodings.idna, grp, pwd, getpass, sqlite3
from sensor.base.machine_code import library
from sensor.cli import main

verbs = json.loads(sys.argv[1])
import sensor
for entry in pkgutil.walk_packages(sensor.__path__, "sensor."):
    if not entry.name.endswith("__main__"):
        importlib.import_module(entry.name)
library()
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
said = {}
for verb, words in verbs.items():
    with contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main(words)
        except BaseException as error:
            code = repr(error)
    said[verb] = code, err.getvalue()
print(json.dumps(said))
"""
"""Every verb as a colleague without any right; the interpreter itself may be shut to nobody."""


def as_nobody(state: Path) -> dict[str, tuple[int, str]]:
    """Exit code and standard error of every verb."""
    verbs = {verb: [*words, "--state", str(state)] for verb, words in VERBS.items()}
    environment = {k: v for k, v in os.environ.items() if k != "SUDO_USER"}
    done = subprocess.run(
        [sys.executable, "-c", ALL, json.dumps(verbs)], cwd=ROOT, capture_output=True, text=True,
        timeout=300, check=True, stdin=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    told: dict[str, tuple[int, str]] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """What a sensor leaves."""
    state = tmp_path_factory.mktemp("made")
    assert port25("replay", "-q", "--state", str(state), CAPTURE).returncode == 0
    return state


@pytest.mark.parametrize("how", ["folder", "parent", "files"])
def test_who_may_not_read_a_state_folder_is_told_whose_it_is(folder, made, how):
    if os.geteuid() != 0:
        cannot("needs root, to become another")
    state = folder / "var" / "state"
    shutil.copytree(made, state)
    for path in (folder / "var", state, *state.rglob("*")):
        os.chown(path, 0, 4)  # adm
    if how == "files":
        for path in state.iterdir():
            path.chmod(0o640)
    else:
        (state if how == "folder" else state.parent).chmod(0o750)
    told = as_nobody(state)
    assert set(told) == set(VERBS)
    for verb, (code, said) in told.items():
        assert code == 1, (verb, code, said)
        assert said.count("\n") == 1, (verb, said)
        assert "no permission for nobody at" in said, (verb, said)
        assert "belongs to root, group adm" in said, (verb, said)


def test_the_group_to_join_is_named_where_that_helps(folder):
    if os.geteuid() != 0:
        cannot("needs root, to become another")
    state = folder / "state"
    for mode, helps in ((0o750, True), (0o700, False), (0o710, False)):
        state.mkdir(exist_ok=True)
        os.chown(state, 0, 4)
        state.chmod(mode)
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os._exit(0 if ("join the group adm" in (denied(state) or "")) == helps else 1)
        assert os.waitpid(child, 0)[1] == 0, oct(mode)


def test_there_is_nothing_to_say_of_what_may_be_read(tmp_path):
    assert denied(tmp_path) is None
    assert denied(tmp_path / "not" / "there") is None
    Journal(tmp_path / "journal.sqlite").close()
    assert denied(tmp_path / "journal.sqlite", write=True) is None
