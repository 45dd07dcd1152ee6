"""The sensor's state on disk, so that a restart keeps its evidence.

A snapshot is a file of named arrays: a line of JSON for each (name, dtype, shape, bytes), then the
bytes up to the last that is not zero, all of it inside zstd. It is written by a forked child, which
sees the state as it was at that moment while the sensor goes on, into a file beside it that then
takes the old one's place.

Arrays are read back by name, and the fields of a record by theirs: a later version that added or
dropped some still finds the rest. One that no longer fits (a table's ceiling was lowered below what
is in use) is refused whole, never in part.
"""

import ast
import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from sensor.base.database import DatabaseError
from sensor.state.tables import SnapshotError, used

__all__ = [
    "KNOWN",
    "SnapshotError",
    "fork_and_write",
    "read",
    "version",
    "write",
]

KNOWN: Final = 2
"""Version of the file: raised when what is there could no longer be read back by name."""
_HEAD: Final = "port25.state/"
_MAGIC: Final = f"{_HEAD}{KNOWN}"
_CHUNK: Final = 1 << 20
_MOST_LINE: Final = 1 << 16


class _Entry(msgspec.Struct):
    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int


def _description(dtype: np.dtype[Any]) -> Any:
    """What makes the same dtype again, offsets and all, as a literal."""
    if dtype.fields is None:
        return (dtype.base.str, dtype.shape) if dtype.shape else dtype.str
    fields = [(name, *dtype.fields[name][:2]) for name in dtype.names or ()]
    return {
        "names": [name for name, _, _ in fields],
        "formats": [_description(field) for _, field, _ in fields],
        "offsets": [offset for _, _, offset in fields],
        "itemsize": dtype.itemsize,
    }


def write(path: Path, arrays: Mapping[str, NDArray[Any]], facts: dict[str, Any]) -> None:
    """Write a snapshot; ``facts`` is what else there is, as JSON. Raises SnapshotError."""
    beside = path.with_suffix(".new")
    try:
        with zstd.open(beside, "wb", level=1) as out:
            out.write(_MAGIC.encode() + b"\n" + msgspec.json.encode(facts) + b"\n")
            for name, array in arrays.items():
                raw = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
                size = used(raw)
                entry = _Entry(name, repr(_description(array.dtype)), array.shape, size)
                out.write(msgspec.json.encode(entry) + b"\n")
                for at in range(0, size, _CHUNK):
                    out.write(raw[at : min(at + _CHUNK, size)].tobytes())
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # nor may it be deleted
            beside.unlink(missing_ok=True)
        raise SnapshotError(f"{path}: {error.strerror or error}") from None


def fork_and_write(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    facts: dict[str, Any],
    then: Callable[[], None] | None = None,
) -> int:
    """Write a snapshot of this moment in a child process; its pid, to be waited for.

    ``then`` is called in the child after it.
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with contextlib.suppress(OSError):  # it may be forbidden
            os.nice(10)
        write(path, arrays, facts)
        if then is not None:
            then()
        code = 0
    except (SnapshotError, DatabaseError) as error:
        os.write(2, f"port25: {error}\n".encode())
    finally:
        os._exit(code)


def version(path: Path) -> int:
    """Of a snapshot; 0: it is none, or cannot be read."""
    try:
        with zstd.open(path, "rb") as file:
            head, _, number = file.readline(_MOST_LINE).strip().decode().partition("/")
            return int(number) if f"{head}/" == _HEAD else 0
    except (OSError, EOFError, zstd.ZstdError, ValueError):
        return 0


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and facts of a snapshot. Raises SnapshotError."""
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zstd.open(path, "rb") as file:
            magic = file.readline(_MOST_LINE).strip().decode(errors="replace")
            if magic != _MAGIC:
                raise SnapshotError(f"{path}: not a snapshot of this program")
            facts: dict[str, Any] = msgspec.json.decode(file.readline())
            while line := file.readline(_MOST_LINE):
                entry = msgspec.json.decode(line, type=_Entry)
                dtype = np.dtype(ast.literal_eval(entry.dtype))
                array = np.zeros(entry.shape, dtype)
                if not 0 <= entry.size <= array.nbytes:
                    raise SnapshotError(f"{path}: {entry.name} contradicts itself")
                raw = array.view(np.uint8).reshape(-1)
                at = 0
                while at < entry.size:
                    got = file.read(min(_CHUNK, entry.size - at))
                    if not got:
                        raise SnapshotError(f"{path}: cut short in {entry.name}")
                    raw[at : at + len(got)] = np.frombuffer(got, np.uint8)
                    at += len(got)
                arrays[entry.name] = array
    except OSError as error:
        raise SnapshotError(f"{path}: {error.strerror or error}") from None
    except (EOFError, zstd.ZstdError, msgspec.DecodeError, ValueError, TypeError) as error:
        raise SnapshotError(f"{path}: damaged: {error}") from None
    return arrays, facts
