"""The benchmarks behind the README's figures still run and fill their tables, in small."""

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT, needs

SMALL = {
    "bench": ("--packets", "20000", "--hosts", "1000", "--sessions", "300"),
    "live": ("--seconds", "0", "--hosts", "20"),
    "delivery": ("--alerts", "2000", "--hosts", "20"),
    "web": ("--alerts", "3000", "--streams", "5"),
    "cluster": ("--sessions", "300", "--hosts", "10", "--quick"),
    "shares": ("--packets", "20000", "--subscribers", "1000"),
}
PROGRAMS = {
    "bench": ("tcpdump", "tshark"),
    "live": ("ip", "tcpdump"),
    "delivery": ("ip", "java", "mvn"),
    "web": ("chromium",),
    "cluster": ("ip", "java", "mvn"),
    "shares": (),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_fills_its_tables(name):
    needs(*PROGRAMS[name], root=name in ("live", "delivery", "cluster"))
    command = [sys.executable, "-m", f"benchmarks.{name}", *SMALL[name]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-2000:]
    heads = re.findall(r"^\|[ -:|]+\|\n(\|.*\d.*\|)$", done.stdout, re.MULTILINE)
    tables = {"bench": 5, "live": 1, "delivery": 1, "web": 3, "cluster": 4, "shares": 2}
    assert len(heads) == tables[name], done.stdout
