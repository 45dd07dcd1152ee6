"""docs/how-to-add.md, followed word for word in a copy of the tree.

A block after "`path`:" is a new file, one after "In `path`:" changes to one there is: lines that
begin with a blank or a minus stand there once, and become those with a blank or a plus. Commands
are run, and what stands below them is in what they print. Kernels are plain Python there.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "how-to-add.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
BLOCK = re.compile(
    r"^(?:(?P<there>In )?`(?P<path>[^`\n]+)`:\n\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Touched(NamedTuple):
    """What a section changed of the program, tests and pages left out."""

    files: list[str]
    changed: dict[str, int]
    """hunks, by file"""
    tests: list[str]


def changed(text: str, hunk: str) -> str:
    """A file after one change."""
    lines = [line or " " for line in hunk.splitlines()]
    assert all(line[0] in " +-" for line in lines), hunk
    before = "".join(line[1:] + "\n" for line in lines if line[0] != "+")
    after = "".join(line[1:] + "\n" for line in lines if line[0] != "-")
    assert text.count(before) == 1, f"stands there {text.count(before)} times:\n{before}"
    return text.replace(before, after)


def run(tree: Path, line: str) -> str:
    program, *words = shlex.split(line.replace("/tmp/port25", str(tree / "state")))
    start = {"port25": ["-m", "sensor"], "python": []}[program.removeprefix(".venv/bin/")]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, *start, *words], cwd=tree, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


def follow(tree: Path, section: str) -> Touched:
    files, hunks, tests, said, last = [], {}, [], "", ""
    for block in BLOCK.finditer(SECTIONS[section]):
        path, text = block["path"], block["text"]
        if block["kind"] == "sh":
            said = "".join(run(tree, line) for line in text.splitlines())
        elif block["kind"] == "text":
            assert text.strip() in said
        elif block["kind"] == "diff":
            path = last = path or last
            (tree / path).write_text(changed((tree / path).read_text(), text))
            hunks[path] = hunks.get(path, 0) + 1
        else:
            assert path is not None, f"where does it go?\n{text}"
            assert not (tree / path).exists(), path
            (tree / path).write_text(text)
            (tests if path.startswith("tests/") else files).append(path)
    return Touched(files, hunks, tests)


@pytest.fixture
def tree(tmp_path):
    """A copy of the tree."""
    unmade = shutil.ignore_patterns("__pycache__")
    for name in ("sensor", "detectors", "lab", "tests", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=unmade)
    shutil.copytree(ROOT / "pcaps", tmp_path / "pcaps", ignore=shutil.ignore_patterns("demo.pcap"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_what_the_page_says_works_and_touches_no_more_than_it_says(tree, section):
    touched = follow(tree, section)
    anchor = section.lower().replace(" ", "-")
    said = re.search(rf"^\| \[[^]]*\]\(#{anchor}\) \| (.*) \|$", PAGE, re.MULTILINE)
    assert said is not None, f"{section} is not in the table"
    new, there = len(touched.files), sum(touched.changed.values())
    assert int((re.search(r"(\d+) new file", said[1]) or [0, 0])[1]) == new, touched
    assert int((re.search(r"(\d+) (?:line|hunk)", said[1]) or [0, 0])[1]) == there, touched
    for path in [*touched.files, *touched.changed, *touched.tests]:
        for verb in (["check"], ["format", "--check"]):
            subprocess.run([sys.executable, "-m", "ruff", *verb, path], cwd=tree, check=True)
