import os
import subprocess
import sys

import pytest

from sensor.smtp.anomalies import ANOMALIES
from tests.conftest import ROOT

RARE = {"tarpit", "many_outstanding", "socks"}
"""What random conversations seldom hit upon; other tests do."""


@pytest.mark.slow
def test_no_conversation_breaks_streams_or_dialogue():
    """40 million bytes; ``make fuzz`` takes a thousand."""
    run = subprocess.run(
        [sys.executable, "-m", "lab.fuzz.smtp", "40"],
        env=os.environ | {"PORT25_CHECKED_LOADS": "1", "NUMBA_BOUNDSCHECK": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    seen = {line.split()[1] for line in run.stdout.splitlines()}
    assert set(ANOMALIES) - seen - RARE == set(), "the fuzzer never got there"
