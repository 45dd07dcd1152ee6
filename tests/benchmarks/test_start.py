"""A replay of a small capture takes less than importing Numba alone would."""

import pytest

from benchmarks.start import table
from sensor.base.kernel import INTERPRETED
from sensor.base.machine_code import is_missing, level


@pytest.mark.slow
@pytest.mark.skipif(
    INTERPRETED or level() is None or is_missing(), reason="no library is used here"
)
def test_a_replay_starts_as_fast_as_numba_is_imported():
    lines: list[str] = []
    best = table(5, lines.append)
    assert len(lines) == 2 + len(best)
    numba = best["`python -c 'import numba'`"]
    assert best["`port25 replay` of 27 kB"] <= 0.8 * numba
    assert best["`port25 --version`"] <= 0.35 * numba
