"""Where compiled code of the kernels is kept, and what it is the code of.

The cache lies outside the package, so that an installation may be read-only:
``$NUMBA_CACHE_DIR``, else ``$CACHE_DIRECTORY`` (set by systemd), else ``$XDG_CACHE_HOME/port25``,
else ``~/.cache/port25``; where none can be written, a private folder that ends with the process.
Below it, each state of the sources has a folder of its own. Numba looks only at the file a kernel
stands in, not at those of the kernels it calls, and would run stale code after an edit elsewhere.

To read all sources takes longer than most of a start. So a note beside the folders, one for each
installation, says what was found when that was done last, and is believed while no source has
another size, time or inode.
"""

import contextlib
import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["FLAGS", "cache_folder", "sources", "stamp"]

FLAGS = ("NUMBA_BOUNDSCHECK", "PORT25_CHECKED_LOADS", "NUMBA_OPT", "PORT25_NUMBA_ALONE")
"""Variables that shape what a kernel is compiled to."""

_KEPT_SECONDS = 30 * 86_400
"""Code of source states that nobody has used for this long is deleted from the cache."""

_ROOMS = (
    "sensor/base", "sensor/capture", "sensor/decode", "sensor/tcp", "sensor/dns", "sensor/smtp",
    "sensor/hosts", "sensor/customers", "sensor/alerts", "sensor/evidence", "sensor/tracking",
    "detectors",
)  # fmt: skip
"""What stands at or below the kernels in the order of the stages."""


_NOTE: Final = "sources-"
"""What names of notes begin with."""
_SETTLED: Final = 2_000_000_000
"""Nanoseconds without an edit before a note is made: the next edit then has another time, for sure,
whatever the grain of the file system's clock."""


def sources() -> list[Path]:
    """Every source that can end up in a kernel, in a fixed order."""
    return sorted(Path(file.path) for file in _files())


def _files() -> "Iterator[os.DirEntry[str]]":
    folders = [str(Path(__file__).parents[2] / room) for room in _ROOMS]
    for folder in folders:
        with os.scandir(folder) as found:
            for one in found:
                if one.name.endswith(".py"):
                    yield one
                elif one.name != "__pycache__" and one.is_dir(follow_symlinks=False):
                    folders.append(one.path)


@functools.cache
def stamp() -> str:
    """Digest of :func:`sources`, and of :data:`FLAGS`."""
    flags = [f"{name}={os.environ.get(name)}" for name in FLAGS]
    facts, newest = [ascii(flag) for flag in flags], 0
    for file in _files():
        is_ = file.stat()
        facts.append(
            f"{file.path!a} {is_.st_size} {is_.st_mtime_ns} {is_.st_ctime_ns} {is_.st_ino}"
        )
        newest = max(newest, is_.st_ctime_ns)
    said = "\n".join(sorted(facts))
    known, _, of = _noted().partition("\n")
    if of == said and len(known) == 16 and known.isalnum():
        return known

    import hashlib  # loads OpenSSL

    digest = hashlib.blake2b(digest_size=8)
    for source in sources():
        digest.update(source.read_bytes())
    for flag in flags:
        digest.update(flag.encode())
    found = digest.hexdigest()
    if time.time_ns() - newest > _SETTLED:
        _note_down(f"{found}\n{said}")
    return found


def _note() -> Path:
    at = Path(__file__).stat()
    return _root() / f"{_NOTE}{at.st_dev:x}-{at.st_ino:x}"


def _noted() -> str:
    """The note; empty where there is none, or others could have written it."""
    try:
        with _note().open(encoding="utf-8") as file:
            its = os.fstat(file.fileno())
            mine = its.st_uid == os.geteuid() and not its.st_mode & 0o022
            return file.read() if mine else ""
    except (OSError, ValueError, RuntimeError):  # RuntimeError: no home directory
        return ""


def _note_down(text: str) -> None:
    """Leave a note where there is a cache; whoever reads it sees all of it or none."""
    with contextlib.suppress(OSError, RuntimeError):
        note = _note()
        fresh = note.with_name(f"{note.name}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)
        fresh.replace(note)


def _root() -> Path:
    for name, leaf in (
        ("NUMBA_CACHE_DIR", ""),
        ("CACHE_DIRECTORY", ""),
        ("XDG_CACHE_HOME", "port25"),
    ):
        if value := os.environ.get(name):
            return Path(value) / leaf
    return Path("~/.cache/port25").expanduser()


@functools.cache
def cache_folder() -> Path:
    """Of this state of the sources; made where it is missing."""
    try:
        root = _root()
        folder = root / stamp()
        is_new = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(folder)
        os.utime(folder)
        if is_new:
            _forget_old_states(root)
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        # Never a shared, guessable name: the cache holds pickles, which run code when read.
        import atexit
        import shutil
        import tempfile

        folder = Path(tempfile.mkdtemp(prefix="port25-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _forget_old_states(root: Path) -> None:
    import shutil

    for state in root.iterdir():
        if state.stat().st_mtime > time.time() - _KEPT_SECONDS:
            continue
        if state.name.startswith(_NOTE):
            state.unlink(missing_ok=True)
        elif len(state.name) == 16:
            shutil.rmtree(state, ignore_errors=True)
