"""What all tests share: where fixtures and captures lie, and which programs are there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PCAPS = ROOT / "pcaps"
SHARED = ROOT.parent / "shared" / "captures"


def port25(*arguments: str, check: bool = False, **options) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a user would, in a process of its own."""
    command = [sys.executable, "-m", "sensor", *arguments]
    return subprocess.run(command, capture_output=True, check=check, cwd=ROOT, **options)


def shared_captures() -> list[Path]:
    """The peers' captures, where this checkout has them beside it."""
    notes = (".txt", ".json", ".yaml", ".log", ".tsv")
    return sorted(p for p in SHARED.rglob("*") if p.is_file() and p.suffix not in notes)


@pytest.fixture(scope="session")
def tshark() -> str:
    """The path of tshark; without it the test is skipped, but never in CI."""
    path = shutil.which("tshark")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have tshark")
        pytest.skip("tshark is not installed")
    return path
