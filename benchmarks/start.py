"""How long it takes to start, as ratios to importing Numba and NumPy, in one run.

    python -m benchmarks.start [--runs N] [--page]

Processor seconds of whole processes, one after the other in turns; the best of each counts.
Bytecode of modules is kept, as an installation has it. What compiles is run once.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable

from benchmarks.page import part
from sensor.service.compiling import ensure

CAPTURE = "pcaps/home_user.pcap"
_MAIN = "from sensor.cli import main; raise SystemExit(main())"
_REPLAY = "`port25 replay` of 27 kB"
_FIRST = "the first one from a checkout, which compiles, in two processes"
PROGRAMS = {
    "`python -c pass`": ("-c", "pass"),
    "`python -c 'import numpy'`": ("-c", "import numpy"),
    "`python -c 'import numba'`": ("-c", "import numba"),
    "`port25 --version`": ("-c", _MAIN, "--version"),
    "`port25 replay --help`": ("-c", _MAIN, "replay", "--help"),
    _REPLAY: ("-c", _MAIN, "replay", "-q", CAPTURE),
    "`port25 sessions` of 27 kB": ("-c", _MAIN, "sessions", CAPTURE),
}


def seconds(arguments: tuple[str, ...], environment: dict[str, str]) -> float:
    """Processor seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table(runs: int, say: Callable[[str], object]) -> dict[str, float]:
    """Measure and print; the best of each."""
    with tempfile.TemporaryDirectory() as bytecode:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        best: dict[str, float] = {}
        for turn in range(runs + 1):
            for name, arguments in PROGRAMS.items():
                one = seconds(arguments, environment)
                if turn:  # the first writes bytecode
                    best[name] = min(one, best.get(name, one))
        first = {"XDG_CACHE_HOME": bytecode, "NUMBA_CACHE_DIR": "", "CACHE_DIRECTORY": ""}
        best[_FIRST] = seconds(PROGRAMS[_REPLAY], environment | first)
    numba = best["`python -c 'import numba'`"]
    say("| | processor seconds | of importing Numba |")
    say("| --- | ---: | ---: |")
    for name, one in best.items():
        say(f"| {name} | {one:.3f} | {one / numba:.{0 if one > 10 * numba else 2}f} x |")
    return best


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--page", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    ensure(print, lambda line: None)
    with part("start", options.page):
        table(options.runs, print)


if __name__ == "__main__":
    main()
