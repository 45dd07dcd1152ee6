"""What is installed holds the page's files, and nothing of the tests."""

import subprocess
import sys
import zipfile

from tests.conftest import ROOT


def test_the_wheel_holds_the_page(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    static = ROOT / "sensor" / "console" / "web" / "static"
    files = {str(path.relative_to(ROOT)) for path in static.rglob("*") if path.is_file()}
    assert len(files) > 25 and files <= names
    assert not any(name.startswith(("tests/", "benchmarks/", "lab/")) for name in names)
