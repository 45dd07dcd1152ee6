"""What a version costs beside another: processor time of whole programs, in turns.

    python -m benchmarks.versus BASE [--runs 7]

BASE is a commit; it is checked out beside, runs with this interpreter and what is installed here,
and has its kernels compiled first. Of each program the least of its runs counts: what else runs on
the machine only adds. Seconds are of the user's side, start included.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from lab import ROOT, sessions
from lab.generate import generate, write

_SMALL: Final = "pcaps/slow_bot.pcap"


def _captures(folder: Path) -> dict[str, list[str]]:
    """The programs, by what they are given."""
    half, every, said = (str(folder / f"{name}.pcap") for name in ("half", "every", "said"))
    write(Path(half), generate(400_000, 0.5)[0])
    write(Path(every), generate(400_000, 1.0)[0])
    write(Path(said), sessions.generate(20_000)[0])
    return {
        "replay of 400,000 packets, half of them on port 25": ["replay", "-q", half],
        "replay of 400,000 packets, all on port 25": ["replay", "-q", every],
        "replay of 20,000 whole sessions": ["replay", "-q", said],
        "their records, as JSON": ["sessions", said],
        "replay of a small capture": ["replay", "-q", _SMALL],
    }


def _spent(version: Path, words: list[str]) -> float:
    before = os.times().children_user
    subprocess.run(
        [sys.executable, "-m", "sensor", *words],
        cwd=version, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return os.times().children_user - before


def main() -> None:
    """One table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        base = Path(made) / "base"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(base), options.base], check=True)
        try:
            programs = _captures(Path(made))
            print(f"| user seconds | {options.base} | now | |\n| --- | ---: | ---: | ---: |")
            for name, words in programs.items():
                least = [float("inf")] * 2
                for run in range(options.runs + 1):
                    for k, version in enumerate((base, ROOT)):
                        spent = _spent(version, words)
                        least[k] = min(least[k], spent) if run else least[k]
                ratio = least[1] / least[0]
                print(f"| {name} | {least[0]:.2f} | {least[1]:.2f} | {ratio:.2f} x |", flush=True)
        finally:
            subprocess.run([*git, "remove", "--force", str(base)], check=True)


if __name__ == "__main__":
    main()
