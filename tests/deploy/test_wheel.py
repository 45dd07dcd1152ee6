"""What is installed holds the page's files, and nothing of the tests."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from lab.waiting import BUSY
from sensor.base.machine_code import ARM, HALVES, file_name
from tests.conftest import PCAPS, ROOT, cannot, needs, port25
from tests.deploy.conftest import build_wheel


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
def installed(wheel, tmp_path_factory):
    """The wheel, unpacked; nothing else of the checkout."""
    place = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(place)
    return place


def test_a_wheel_comes_out_the_same_twice(wheel, tmp_path):
    again = build_wheel(tmp_path)
    assert again.read_bytes() == wheel.read_bytes()
    assert again.name.endswith("-py3-none-manylinux_2_17_x86_64.whl")


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
    assert time.monotonic() - began < BUSY
    assert run.stderr.splitlines()[-1] == f"{installed / 'sensor' / '__init__.py'} False"
    assert json.loads(run.stdout.splitlines()[0])["host"] == "203.0.113.20"
    assert not list(tmp_path.rglob("*.so"))


@pytest.mark.slow
def test_a_wheel_is_installed_without_a_network(wheel, tmp_path):
    """In a fresh environment, from a folder with what it needs; its first alert comes at once."""
    needs("unshare", root=True)
    version = ".".join(map(str, sys.version_info[:2]))
    pinned, folder, fresh = tmp_path / "needed.txt", tmp_path / "folder", tmp_path / "fresh"
    pinned.write_text(
        subprocess.run(
            [sys.executable, "deploy/needed.py", version],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout
    )  # fmt: skip
    pip = ["-m", "pip", "--disable-pip-version-check", "-q"]
    fetch = ["download", "--no-deps", "--require-hashes", "-r", pinned, "-d", folder]
    for words in (
        [sys.executable, *pip, *fetch],
        [sys.executable, "-m", "venv", fresh],
        ["unshare", "-n", fresh / "bin/python", *pip, "install", "--no-index", "-f", folder, wheel],
        [fresh / "bin/python", *pip, "check"],
    ):  # fmt: skip
        subprocess.run(words, check=True)
    program = [fresh / "bin" / "port25", "replay", "-q", "--json", PCAPS / "slow_bot.pcap"]
    environment = {"PATH": "/nowhere", "HOME": str(tmp_path / "home")}
    began = time.monotonic()
    run = subprocess.run(
        ["/usr/bin/unshare", "-n", *program], cwd=tmp_path, env=environment, capture_output=True
    )
    assert time.monotonic() - began < BUSY
    assert json.loads(run.stdout.splitlines()[0])["host"] == "203.0.113.20", run.stderr
    assert not (tmp_path / "home").exists()
    gone = subprocess.run([fresh / "bin" / "port25", "web"], capture_output=True, text=True)
    assert "pip install 'port25[web]'" in gone.stderr


def _code(of: str) -> Path:
    """The folder with code for processors of that level, made where ``make wheel`` has not yet."""
    folder = ROOT / "build" / "code"
    for half in HALVES:
        if not (folder / file_name(half, of)).exists():
            words = ["-m", "sensor.service.compiling", str(folder), half, of]
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return folder


NEHALEM = """
mount --bind "$1/cpuinfo" /proc/cpuinfo
exec qemu-x86_64-static -cpu Nehalem "$2" -c '
import sys
from sensor.base.machine_code import level, library
print(level(), library() is not None, file=sys.stderr)
from sensor.cli import main
code = main()
print("numba" in sys.modules, file=sys.stderr)
raise SystemExit(code)' replay -q --json "$3"
"""
"""Python on a processor of 2008, which has no AVX."""
_LATER = r" (avx2?|fma|f16c|bmi1|bmi2|movbe|abm|avx512\w*)\b"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_processor_without_avx_gives_the_same_alerts(wheel, tmp_path):
    needs("unshare", "qemu-x86_64-static", root=True)
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    for half in HALVES:
        shutil.copy(
            _code("x86-64-v2") / file_name(half, "x86-64-v2"), installed / "sensor" / "code"
        )
    flags = Path("/proc/cpuinfo").read_text()
    (tmp_path / "cpuinfo").write_text(re.sub(_LATER, "", flags))
    words = ["sh", "-c", NEHALEM, "sh", tmp_path, sys.executable, PCAPS / "demo.pcap"]
    environment = os.environ | {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    environment.pop(
        "OPENBLAS_CORETYPE", None
    )  # NumPy's choice of a processor, against what is seen
    run = subprocess.run(
        ["unshare", "-m", *words], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert run.stderr.splitlines() == ["x86-64-v2 True", "False"], run.stderr
    want = port25("replay", "-q", "--json", str(PCAPS / "demo.pcap")).stdout.decode()
    assert len(want.splitlines()) > 10 and run.stdout == want


ARM_SEES = """
import sys
from sensor.base.machine_code import level, library
print(level(), library() is not None, file=sys.stderr)
from sensor.cli import main
code = main()
print("numba" in sys.modules, file=sys.stderr)
raise SystemExit(code)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_on_arm_alerts_are_the_same_and_nothing_is_compiled(wheel, tmp_path):
    """Python of Debian for 64-bit ARM, under qemu, with the wheel for it and what that needs."""
    needs("qemu-aarch64-static")
    root = ROOT / "build" / "arm64"
    if not (root / "usr" / "bin" / "python3").exists():
        cannot("no Python for ARM: lab/install fetches it")
    made = build_wheel(tmp_path, _code(ARM), ARM)
    assert made.name.endswith("-py3-none-manylinux_2_17_aarch64.whl")
    version = str((root / "usr" / "bin" / "python3").readlink()).removeprefix("python")
    needed = subprocess.run(
        [sys.executable, "deploy/needed.py", version],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    told = re.split(r"\n(?=\S)", needed)
    pinned, site = tmp_path / "needed.txt", tmp_path / "site"
    pinned.write_text("\n".join(one for one in told if not one.startswith(("numba", "llvmlite"))))
    platforms = [f"--platform=manylinux_2_{glibc}_aarch64" for glibc in (28, 27, 26, 24, 17)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps"]
    into = ["--target", site, "--only-binary", ":all:", "--python-version", version]
    into += ["--implementation", "cp", *platforms, "--platform=manylinux2014_aarch64"]
    subprocess.run([*pip, *into, "--require-hashes", "-r", pinned], check=True)
    zipfile.ZipFile(made).extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site), "XDG_CACHE_HOME": str(tmp_path / "none")}
    environment.pop("NUMBA_CACHE_DIR", None)
    python = ["qemu-aarch64-static", "-L", root, root / "usr" / "bin" / f"python{version}"]
    run = subprocess.run(
        [*python, "-c", ARM_SEES, "replay", "-q", "--json", PCAPS / "demo.pcap"],
        env=environment, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert run.stderr.splitlines() == ["aarch64 True", "False"], run.stderr
    want = port25("replay", "-q", "--json", str(PCAPS / "demo.pcap")).stdout.decode()
    assert len(want.splitlines()) > 10 and run.stdout == want


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
