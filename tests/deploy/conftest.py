"""A wheel with a library in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sensor.base.cache import cache_folder
from sensor.base.kernel import INTERPRETED
from sensor.base.machine_code import ARM, HALVES, file_name, is_missing, level
from tests.conftest import ROOT


def build_wheel(folder: Path, code: Path | None = None, of: str | None = None) -> Path:
    """Made in a folder from a copy of the sources: with this machine's code, or that of ``of``."""
    tree, out = folder / "tree", folder / "made"
    for name in ("sensor", "detectors"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, tree / name)
    (tree / "build" / "code").mkdir(parents=True)
    for half in HALVES:
        made = (code or cache_folder()) / file_name(half, of or level())
        shutil.copy(made, tree / "build" / "code")
    machine = of if of == ARM else "x86_64"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        check=True, cwd=tree, stdout=subprocess.DEVNULL,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000", "PORT25_MACHINE": machine},
    )  # fmt: skip
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Of this state of the sources."""
    if INTERPRETED or level() is None or is_missing():
        pytest.skip("no library is used here")
    return build_wheel(tmp_path_factory.mktemp("wheel"))
