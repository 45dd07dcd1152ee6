"""Kernels compiled whole say what Numba's own way says, and are compiled once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sensor.base.kernel import INTERPRETED

if INTERPRETED:
    WHOLE = False
else:
    from sensor.base.entry_point import WHOLE

pytestmark = pytest.mark.skipif(INTERPRETED, reason="kernels run as plain Python")

_SOURCE = """
import numpy as np
from sensor.base.kernel import inner, inner_routine, kernel, mix, routine, table

ROW = np.dtype([("n", np.int64), ("hash", np.uint64)], align=True)

@inner
def scaled(n, by):
    return n * by + 1

@inner_routine
def folded(row, word):
    row.hash = mix(row.hash, word)
    return row.n > 3

@kernel
def both(n):
    return scaled(n, 2) if n % 2 else scaled(n, 10)

@routine
def outer(rows, words):
    found = 0
    for i in range(len(rows)):
        rows[i].n = both(i)
        found += folded(rows[i], words[i])
        rows[i].n += scaled(rows[i].n, 3)
    return found

rows, words = table(5, ROW), np.arange(5).astype(np.uint64)
print(both(3), both(4), outer(rows, words), rows["n"].tolist(), rows["hash"].tolist())
"""


def _run(tmp_path: Path, **environment: str) -> tuple[list[str], list[Path]]:
    """What the program says, and what is in the cache after it."""
    (tmp_path / "kernels_of_a_test.py").write_text(_SOURCE)
    cache = tmp_path / f"cache-{'-'.join(environment)}"
    run = subprocess.run(
        [sys.executable, "-m", "kernels_of_a_test"],
        cwd=tmp_path,
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.splitlines(), sorted(cache.rglob("*.nbc"))


@pytest.mark.skipif(not WHOLE, reason="this version of Numba compiles alone")
def test_whole_and_alone_say_the_same(tmp_path):
    whole, kept = _run(tmp_path)
    alone, kept_alone = _run(tmp_path, PORT25_NUMBA_ALONE="1")
    assert whole == alone
    # Only what Python calls is kept: `both`, `outer`.
    assert [path.name.split("-")[0].split(".")[-1] for path in kept] == ["both", "outer"]
    assert len(kept_alone) > len(kept)


@pytest.mark.skipif(not WHOLE, reason="this version of Numba compiles alone")
def test_a_second_start_takes_what_the_first_one_kept(tmp_path):
    first, kept = _run(tmp_path)
    times = [path.stat().st_mtime_ns for path in kept]
    again, kept_again = _run(tmp_path)
    assert again == first
    assert kept_again == kept
    assert [path.stat().st_mtime_ns for path in kept_again] == times
