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

from sensor.console.view import StateGoneError, View

__all__ = ["ViewPool"]

_THREADS: Final = 4
T = TypeVar("T")


class ViewPool:
    """Of one state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(_THREADS, "reader")
        self._patient = ThreadPoolExecutor(2, "patient")
        self._watcher = ThreadPoolExecutor(1, "watcher")

    def _view(self) -> View:
        if not hasattr(self._local, "view"):
            self._local.view = View(self._state)
        view: View = self._local.view
        return view

    def _anew(self) -> None:
        """Let go of files that are not those of the folder any more."""
        self._local.view.close()
        del self._local.view

    def _fresh(self, does: Callable[[View], T]) -> T:
        view = self._view()
        try:
            view.refresh()
        except StateGoneError:
            self._anew()
            view = self._view()
        return does(view)

    def _watched(self, does: Callable[[View], T]) -> T:
        try:
            return does(self._view())
        except StateGoneError:
            self._anew()
            raise

    async def read(self, does: Callable[[View], T], slow: bool = False) -> T:
        """What ``does`` makes of the files as they are now. Raises what it raises."""
        loop = asyncio.get_running_loop()
        pool = self._patient if slow else self._pool
        return await loop.run_in_executor(pool, self._fresh, does)

    async def watch(self, does: Callable[[View], T]) -> T:
        """The same, by the same view as long as the files are, which ``does`` refreshes itself.

        Raises StateGoneError where they are not; the next call has a view of those there are now.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._watcher, self._watched, does)

    def close(self) -> None:
        """Let the threads end."""
        for pool in (self._pool, self._patient, self._watcher):
            pool.shutdown(wait=False, cancel_futures=True)
