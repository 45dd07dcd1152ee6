"""What is installed holds the page's files, and nothing of the tests."""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile

import pytest

from sensor.base.cache import cache_folder
from sensor.base.kernel import INTERPRETED
from sensor.base.machine_code import HALVES, file_name, is_missing, level
from tests.conftest import PCAPS, ROOT


def test_the_wheel_holds_the_page(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    static = ROOT / "sensor" / "console" / "web" / "static"
    files = {str(path.relative_to(ROOT)) for path in static.rglob("*") if path.is_file()}
    assert len(files) > 25 and files <= names
    assert not any(name.startswith(("tests/", "benchmarks/", "lab/")) for name in names)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A wheel with this machine's library in it, unpacked; nothing else of the checkout."""
    if INTERPRETED or level() is None or is_missing():
        pytest.skip("no library is used here")
    folder = tmp_path_factory.mktemp("wheel")
    tree, place = folder / "tree", folder / "installed"
    for name in ("sensor", "detectors"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, tree / name)
    code = tree / "build" / "code"
    code.mkdir(parents=True)
    for half in HALVES:
        shutil.copy(cache_folder() / file_name(half, level()), code)
    wheels = []
    for number in range(2):
        out = folder / str(number)
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
            check=True, cwd=tree, env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"},
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wheels += out.glob("*.whl")
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
    assert wheels[0].name.endswith("-py3-none-manylinux_2_17_x86_64.whl")
    zipfile.ZipFile(wheels[0]).extractall(place)
    return place


def _replay(installed, cache):
    environment = os.environ | {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(cache)}
    environment.pop("NUMBA_CACHE_DIR", None)
    program = (
        "import sys, sensor; from sensor.cli import main; code = main();"
        "print(sensor.__file__, 'numba' in sys.modules, file=sys.stderr); raise SystemExit(code)"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "replay", "-q", "--json", str(PCAPS / "slow_bot.pcap")],
        capture_output=True, text=True, env=environment, cwd=cache,
    )  # fmt: skip


def test_the_first_alert_of_an_installation_comes_at_once_and_nothing_is_compiled(
    installed, tmp_path
):
    began = time.monotonic()
    run = _replay(installed, tmp_path)
    assert time.monotonic() - began < 10
    assert run.stderr.splitlines()[-1] == f"{installed / 'sensor' / '__init__.py'} False"
    assert json.loads(run.stdout.splitlines()[0])["host"] == "203.0.113.20"
    assert not list(tmp_path.rglob("*.so"))


def test_code_of_other_sources_is_not_used(installed, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(installed, changed)
    with (changed / "sensor" / "tracking" / "loop.py").open("a") as file:
        file.write("# another state of the sources\n")
    said = subprocess.run(
        [sys.executable, "-c", "from sensor.base.machine_code import library; print(library())"],
        capture_output=True, text=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(changed), "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
    )  # fmt: skip
    assert said.stdout == "None\n", said.stderr


def test_the_list_of_what_it_needs_names_each_package_once():
    made = subprocess.run(
        [sys.executable, "deploy/sbom"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = [one["name"] for one in json.loads(made.stdout)["components"]]
    assert {"numpy", "numba", "msgspec", "kafka-python", "starlette"} <= set(names)
    assert len(names) == len(set(names)) and "pytest" not in names
