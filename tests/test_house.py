"""The house rules a program can check: what lies where, and how long it may be."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

LONGEST_FUNCTION, LONGEST_FILE = 80, 500
HALL = {"__init__.py", "__main__.py", "cli.py", "pipeline.py", "settings.py", "py.typed"}
FILES = [path for room in ("sensor", "detectors") for path in sorted((ROOT / room).rglob("*.py"))]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_lies_about_in_the_hall():
    assert {path.name for path in (ROOT / "sensor").iterdir() if path.is_file()} <= HALL


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_fit_on_a_few_screens(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_says_what_it_is(path):
    assert path.name == "__main__.py" or ast.get_docstring(ast.parse(path.read_text()))


def test_the_page_has_each_word_once():
    """The second of a name would take the first one's place."""
    words = (ROOT / "sensor/console/web/static/words.js").read_text()
    names = re.findall(r"^  (\w+): \[", words, re.MULTILINE)
    assert len(names) > 300 and len(names) == len(set(names))
