"""Threads that read the files, each with a view of its own; the event loop never waits for a disk.

SQLite's connections belong to one thread. A few threads answer requests, two do what takes long,
and one looks on.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from sensor.console.view import View

__all__ = ["Readers"]

_THREADS: Final = 4
T = TypeVar("T")


class Readers:
    """Of one state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(_THREADS, "reader")
        self._patient = ThreadPoolExecutor(2, "patient")
        self._watcher = ThreadPoolExecutor(1, "watcher")

    def _view(self) -> View:
        if not hasattr(self._local, "view"):
            self._local.view = View(self._state)
        view: View = self._local.view
        return view

    def _fresh(self, does: Callable[[View], T]) -> T:
        view = self._view()
        view.refresh()
        return does(view)

    async def read(self, does: Callable[[View], T], slow: bool = False) -> T:
        """What ``does`` makes of the files as they are now. Raises what it raises."""
        loop = asyncio.get_running_loop()
        pool = self._patient if slow else self._readers
        return await loop.run_in_executor(pool, self._fresh, does)

    async def watch(self, does: Callable[[View], T]) -> T:
        """The same, always by the same view, which ``does`` refreshes itself."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._watcher, lambda: does(self._view()))

    def close(self) -> None:
        """Let the threads end."""
        for pool in (self._readers, self._patient, self._watcher):
            pool.shutdown(wait=False, cancel_futures=True)
