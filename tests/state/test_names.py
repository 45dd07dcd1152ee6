"""The files of a state folder are named in one place."""

import re
from pathlib import Path

from sensor.state.folder import StateFolder
from tests.conftest import PCAPS, ROOT, port25

_NAMES = re.compile(
    r"""["'/](journal|blocking|desk|outbox|sessions|usage)\.sqlite|state\.p25|writer\.lock"""
    r"""|delivery\.lock|access\.log["']|["']worker-|["']feed-|/ ["']evidence["']"""
)


def test_no_other_file_of_the_program_names_one():
    found = {
        str(path.relative_to(ROOT)): match.group()
        for room in ("sensor", "detectors")
        for path in (ROOT / room).rglob("*.py")
        if (match := _NAMES.search(_code(path.read_text())))
    }
    assert found.keys() == {"sensor/state/folder.py"}, found


def _code(text: str) -> str:
    """Without what docstrings say."""
    return re.sub(r'"""[\s\S]*?"""', "", text)


def test_a_replay_leaves_no_file_there_that_has_no_name(tmp_path):
    state = StateFolder(tmp_path / "state")
    port25("replay", "-q", "--state", state.path, PCAPS / "slow_bot.pcap", check=True)
    named = {value for value in vars(state).values() if isinstance(value, Path)}
    logs = {Path(f"{path}-{end}") for path in named for end in ("wal", "shm")}
    assert set(state.path.iterdir()) <= named | logs
    assert {state.journal, state.ledger, state.sessions} <= set(state.path.iterdir())


def test_workers_have_folders_of_their_own_and_all_are_found(tmp_path):
    state = StateFolder(tmp_path)
    assert state.journals == []
    assert state.journals_to_read == [tmp_path / "journal.sqlite"]
    places = [state, state.worker(0, 2), state.worker(1, 2)]
    for place in places:
        place.path.mkdir(exist_ok=True)
        for path in (place.journal, place.sessions, place.usage):
            path.touch()
    assert state.journals == state.journals_to_read == [place.journal for place in places]
    assert state.session_stores == [place.sessions for place in places]
    assert state.usage_stores == [place.usage for place in places]
    assert [state.source(path) for path in state.journals] == [
        "journal.sqlite", "worker-1-of-2/journal.sqlite", "worker-2-of-2/journal.sqlite"
    ]  # fmt: skip


def test_what_feeds_refuse_is_found_by_feed(tmp_path):
    state = StateFolder(tmp_path)
    state.feed_fault("exabgp").touch()
    assert state.feed_faults == {"exabgp": state.feed_fault("exabgp")}
