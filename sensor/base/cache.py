"""Where compiled code of the kernels is kept, and what it is the code of.

The cache lies outside the package, so that an installation may be read-only:
``$NUMBA_CACHE_DIR``, else ``$CACHE_DIRECTORY`` (set by systemd), else ``$XDG_CACHE_HOME/port25``,
else ``~/.cache/port25``; where none can be written, a private folder that ends with the process.
Below it, each state of the sources has a folder of its own. Numba looks only at the file a kernel
stands in, not at those of the kernels it calls, and would run stale code after an edit elsewhere.
"""

import functools
import hashlib
import os
import shutil
import time
from pathlib import Path

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


def sources() -> list[Path]:
    """Every source that can end up in a kernel, in a fixed order."""
    root = Path(__file__).parents[2]
    return sorted(source for room in _ROOMS for source in (root / room).rglob("*.py"))


@functools.cache
def stamp() -> str:
    """Digest of :func:`sources`, and of :data:`FLAGS`."""
    digest = hashlib.blake2b(digest_size=8)
    for source in sources():
        digest.update(source.read_bytes())
    for name in FLAGS:
        digest.update(f"{name}={os.environ.get(name)}".encode())
    return digest.hexdigest()


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
        import tempfile

        folder = Path(tempfile.mkdtemp(prefix="port25-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _forget_old_states(root: Path) -> None:
    for state in root.iterdir():
        if len(state.name) == 16 and state.stat().st_mtime < time.time() - _KEPT_SECONDS:
            shutil.rmtree(state, ignore_errors=True)
