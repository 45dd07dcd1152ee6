"""The tables of a state: which there are, how much of them is used, and how they are taken over."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sensor.hosts.before import details_as_now

__all__ = ["SnapshotError", "arrays_of", "restore", "used"]

_CHUNK: Final = 1 << 20
_DETAILS: Final = "hosts.details"


class SnapshotError(Exception):
    """A snapshot cannot be written, read or used; the text says why."""


def arrays_of(state: Any, path: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays in nested named tuples, by dotted name."""
    for name, value in zip(state._fields, state, strict=True):
        if isinstance(value, np.ndarray):
            yield path + name, value
        elif hasattr(value, "_fields"):
            yield from arrays_of(value, f"{path}{name}.")


def used(raw: NDArray[np.uint8]) -> int:
    """Bytes up to the last that is not zero."""
    end = len(raw)
    while end:
        start = max(0, end - _CHUNK)
        if raw[start:end].any():
            return start + int(np.flatnonzero(raw[start:end])[-1]) + 1
        end = start
    return 0


def _restore_field(into: NDArray[Any], old: NDArray[Any]) -> None:
    """Put a field of records into that of a later version, which may count more kinds of things."""
    both = tuple(slice(min(a, b)) for a, b in zip(into.shape, old.shape, strict=True))
    into[both] = old[both]


def restore(into: Mapping[str, NDArray[Any]], saved: Mapping[str, NDArray[Any]]) -> None:
    """Put saved arrays into those of a new state. Raises SnapshotError before it changes any."""
    if _DETAILS in saved:
        saved = {**saved, _DETAILS: details_as_now(saved[_DETAILS])}
    for name, array in into.items():
        if name not in saved:
            continue
        old = saved[name]
        if old.ndim != array.ndim or old.shape[1:] != array.shape[1:]:
            raise SnapshotError(f"{name} has another shape now")
        if len(old) > len(array) and old[len(array) :].view(np.uint8).any():
            raise SnapshotError(f"{name} has room for {len(array):,} rows now, {len(old):,} before")
    for name, array in into.items():
        if name in saved:
            # Rows never used are left alone: writing zeros would take memory for them.
            old = saved[name]
            raw = old.view(np.uint8).reshape(-1)
            old = old[: -(-used(raw) * len(old) // max(1, len(raw)))]
            if array.dtype.names and old.dtype != array.dtype:
                for field in set(array.dtype.names) & set(old.dtype.names or ()):
                    _restore_field(array[field][: len(old)], old[field])
            else:
                array[: len(old)] = old
                rest = array[len(old) : len(saved[name])]
                if not array.dtype.names and rest.any():  # of a new state not all is zero
                    rest[...] = 0
