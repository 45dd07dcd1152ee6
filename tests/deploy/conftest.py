"""A wheel with this machine's library in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sensor.base.cache import cache_folder
from sensor.base.kernel import INTERPRETED
from sensor.base.machine_code import HALVES, file_name, is_missing, level
from tests.conftest import ROOT


def build_wheel(folder: Path) -> Path:
    """Made in a folder from a copy of the sources."""
    tree, out = folder / "tree", folder / "made"
    for name in ("sensor", "detectors"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, tree / name)
    code = tree / "build" / "code"
    code.mkdir(parents=True)
    for half in HALVES:
        shutil.copy(cache_folder() / file_name(half, level()), code)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        check=True, cwd=tree, env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Of this state of the sources."""
    if INTERPRETED or level() is None or is_missing():
        pytest.skip("no library is used here")
    return build_wheel(tmp_path_factory.mktemp("wheel"))
