"""The demonstration shows what it says."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT, needs


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.xdist_group("whole machine")
def test_alerts_of_three_borders_are_those_of_one_sensor():
    needs("java", "mvn")
    command = [sys.executable, "-m", "lab.demo_cluster", "--pace", "300x"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=660)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("They are the same, id for id and figure for figure.")
    assert done.stdout.count("seen at east, north, west") == 28
