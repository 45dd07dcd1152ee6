"""The digest of the sources: read once, and again whenever a source may be another."""

import importlib.util
import os
import shutil
import time
from pathlib import Path

import pytest

from sensor.base import cache

_BELIEVED = "f" * 16


class _Checkout:
    """Sources of their own; each question is asked as a new process asks it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "sensor" / "hosts" / "table.py"
        for room in cache._ROOMS:
            (root / room).mkdir(parents=True)
        shutil.copy(cache.__file__, self.file)
        self.source.write_text("MOST = 1\n")

    @property
    def file(self) -> Path:
        return self.root / "sensor" / "base" / "cache.py"

    def loaded(self, settled=0):
        found = importlib.util.spec_from_file_location("cache_of_its_own", self.file)
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        module._SETTLED = settled
        return module

    def stamp(self, **given):
        return self.loaded(**given).stamp()

    def note(self):
        return self.loaded()._note()

    def mark(self):
        """Have the note say what no digest says: who says it, too, has read no source."""
        note = self.note()
        note.write_text(f"{_BELIEVED}\n{note.read_text().partition(chr(10))[2]}")


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def checkout(tmp_path, root):
    made = _Checkout(tmp_path / "checkout")
    made.stamp()
    return made


def test_sources_are_read_once(checkout):
    digest = checkout.stamp()
    assert checkout.note().read_text().startswith(f"{digest}\n") and len(digest) == 16
    checkout.mark()
    assert checkout.stamp() == _BELIEVED


def test_an_edit_that_keeps_size_and_time_is_read(checkout):
    before, was = checkout.stamp(), checkout.source.stat()
    time.sleep(0.05)  # longer than the grain of the clock of files
    checkout.source.write_text("MOST = 2\n")
    os.utime(checkout.source, ns=(was.st_atime_ns, was.st_mtime_ns))
    now = checkout.source.stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (was.st_size, was.st_mtime_ns, was.st_ino)
    assert checkout.stamp() not in (before, _BELIEVED)


@pytest.mark.parametrize("change", ["replaced", "added", "deleted", "renamed", "in a new folder"])
def test_whatever_else_happens_to_a_source_is_seen(checkout, change):
    checkout.mark()
    source = checkout.source
    if change == "replaced":
        another = source.with_suffix(".new")
        shutil.copy2(source, another)
        another.replace(source)
    elif change == "added":
        source.with_name("more.py").touch()
    elif change == "deleted":
        source.unlink()
    elif change == "renamed":
        source.rename(source.with_name("other.py"))
    else:
        (source.parent / "room").mkdir()
        (source.parent / "room" / "table.py").touch()
    assert checkout.stamp() != _BELIEVED


def test_who_edited_just_now_may_do_so_again_at_the_same_time(checkout):
    checkout.note().unlink()
    checkout.stamp(settled=cache._SETTLED)
    assert not checkout.note().exists()


def test_variables_that_shape_the_code_are_part_of_it(checkout, monkeypatch):
    checkout.mark()
    monkeypatch.setenv("NUMBA_OPT", "1")
    one = checkout.stamp()
    monkeypatch.delenv("NUMBA_OPT")
    assert _BELIEVED != one != checkout.stamp()


def test_one_that_moved_and_one_that_was_copied_are_read(checkout, tmp_path):
    digest = checkout.stamp()
    checkout.mark()
    shutil.copytree(checkout.root, tmp_path / "copy")
    checkout.root = checkout.root.rename(tmp_path / "moved")
    assert checkout.stamp() == digest
    checkout.root = tmp_path / "copy"
    assert checkout.stamp() == digest


def test_two_in_one_cache_have_a_note_each(checkout, tmp_path):
    other = _Checkout(tmp_path / "other")
    other.stamp()
    for one in (checkout, other):
        one.mark()
    assert checkout.note() != other.note()
    assert checkout.stamp() == other.stamp() == _BELIEVED


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", _BELIEVED.encode(), b"../../../../tmp\n"])
def test_what_is_no_note_is_not_believed(checkout, content):
    digest = checkout.stamp()
    rest = checkout.note().read_bytes().partition(b"\n")[2]
    for more in (b"", rest[: len(rest) // 2]):
        checkout.note().write_bytes(content + more)
        assert checkout.stamp() == digest
    checkout.note().write_bytes(b"../../../../x/y\n" + rest)
    assert checkout.stamp() == digest


def test_a_note_that_others_may_have_written_is_not_believed(checkout):
    digest = checkout.stamp()
    checkout.mark()
    checkout.note().chmod(0o620)
    assert checkout.stamp() == digest
    checkout.mark()
    if os.geteuid() == 0:
        os.chown(checkout.note(), 65534, -1)
        assert checkout.stamp() == digest
        assert checkout.note().stat().st_uid == 0, "it was made anew"


@pytest.mark.parametrize("kind", ["missing", "a file", "a folder in the place of the note"])
def test_without_a_place_for_notes_sources_are_read_each_time(checkout, root, kind):
    digest, note = checkout.stamp(), checkout.note()
    if kind == "a folder in the place of the note":
        note.unlink()
        note.mkdir()
    else:
        shutil.rmtree(root)
        if kind == "a file":
            root.touch()
    assert checkout.stamp() == digest
    assert kind != "missing" or not root.exists()


def test_old_notes_are_forgotten_with_old_code(checkout, root):
    old = time.time() - cache._KEPT_SECONDS - 9
    note, code = root / f"{cache._NOTE}1-2", root / ("0" * 16)
    note.touch()
    code.mkdir()
    os.utime(note, (old, old))
    os.utime(code, (old, old))
    folder = checkout.loaded().cache_folder()
    assert {one.name for one in root.iterdir()} == {folder.name, checkout.note().name}
