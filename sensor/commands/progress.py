"""A progress bar on a terminal, and none in a pipe."""

import sys
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Progress"]


class Progress:
    """Bytes and packets done, packets a second, time to go."""

    def __init__(self, files: list[str], shown: bool) -> None:
        self.frames = 0
        self._bar: Any = None
        if shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            paths = [Path(file) for file in files if file != "-"]
            total = sum(path.stat().st_size for path in paths if path.is_file())
            self._bar = Progress(
                TextColumn("{task.fields[frames]:>14,} packets {task.fields[rate]:>12,}/s"),
                BarColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            known = None if "-" in files else total
            self._task = self._bar.add_task("", total=known, frames=0, rate=0)

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, position: int, frames: int) -> None:
        """``frames`` more were read, and the files up to byte ``position``."""
        self.frames += frames
        if self._bar is not None:
            elapsed = self._bar.tasks[0].elapsed or 1e-9
            self._bar.update(
                self._task,
                completed=position,
                frames=self.frames,
                rate=round(self.frames / elapsed),
            )
