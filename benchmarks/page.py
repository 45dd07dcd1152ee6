"""``docs/performance.md``, of which each benchmark writes its own part.

A part stands between two comments with its name. What a benchmark prints within :func:`part` goes
there, under a line that says on which machine, when and at which commit it was measured.
"""

import contextlib
import io
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


class _Both(io.TextIOBase):
    """What is written goes to a terminal, and is kept."""

    def __init__(self, shown: TextIO) -> None:
        self._shown, self.text = shown, ""

    def write(self, text: str) -> int:
        self.text += text
        return self._shown.write(text)

    def flush(self) -> None:
        self._shown.flush()


@contextlib.contextmanager
def part(name: str, keep: bool, page: Path = PAGE) -> Iterator[None]:
    """What the block prints is the part ``name`` of the page, if it is to be kept."""
    both = _Both(sys.stdout)
    with contextlib.redirect_stdout(both):
        yield
    if keep:
        page.write_text(with_part(page.read_text(), name, f"{measured()}\n\n{both.text.strip()}"))


def with_part(text: str, name: str, content: str) -> str:
    """The page with another content between the comments of a part."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{PAGE.name}: expected {begin} and {end}")
    return f"{before}{begin}\n{content}\n{end}{after}"


def measured() -> str:
    """Machine, day and commit, as a sentence."""
    commit = _git("describe", "--always", "--abbrev=7", "--exclude=*")
    # What was measured just before stands in the page, and is no change of what is measured.
    others = _git("status", "--porcelain", "-uno", "--", ":/", f":(exclude){PAGE.name}")
    changed = " and changes not committed" if others else ""
    cores = len(os.sched_getaffinity(0))
    on = f"{cores} cores" if cores != 1 else "one core"
    kernel = platform.release().partition("-")[0]
    return (
        f"Measured {datetime.now(UTC).date()} at commit {commit}{changed}, on {on} of"
        f" {_processor()}, Linux {kernel}, Python {platform.python_version()}."
    )


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(PAGE.parent), *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
