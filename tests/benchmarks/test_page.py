"""The page on speed: each benchmark writes its own part, and no other's."""

import re

import pytest

from benchmarks.page import PAGE, measured, part, with_part
from tests.conftest import ROOT

TEXT = (
    "a\n<!-- bench -->\nold\n<!-- end of bench -->\nb\n<!-- web -->\nweb\n<!-- end of web -->\nc\n"
)


def test_what_is_printed_becomes_the_part(tmp_path, capsys):
    page = tmp_path / "performance.md"
    page.write_text(TEXT)
    with part("bench", keep=True, page=page):
        print("| new |")
    assert capsys.readouterr().out == "| new |\n"
    before, _, after = page.read_text().partition("| new |")
    assert before.startswith("a\n<!-- bench -->\nMeasured ") and "old" not in before
    assert after == TEXT.partition("old")[2]


def test_nothing_is_written_unless_asked_for_or_where_the_measurement_failed(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(TEXT)
    with part("bench", keep=False, page=page):
        print("new")
    with pytest.raises(OSError), part("bench", keep=True, page=page):
        raise OSError
    assert page.read_text() == TEXT


def test_a_part_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="<!-- live -->"):
        with_part(TEXT, "live", "x")


def test_each_benchmark_has_its_part_and_each_part_says_where_it_was_measured():
    text = PAGE.read_text()
    makefile = (ROOT / "Makefile").read_text()
    parts = dict(re.findall(r"<!-- (\w+) -->\n(.*?)<!-- end of \1 -->", text, re.DOTALL))
    assert sorted(parts) == sorted(re.findall(r"benchmarks\.(\w+) --page", makefile))
    for name, content in parts.items():
        assert re.match(r"Measured \d{4}-\d\d-\d\d at commit [0-9a-f]{7,}", content), name
        module = (ROOT / "benchmarks" / f"{name}.py").read_text()
        assert f'part("{name}", options.page)' in module


def test_the_sentence_names_machine_and_commit():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout of git")
    assert re.fullmatch(
        r"Measured \S+ at commit \w{7,}( and changes not committed)?,"
        r" on (one core|\d+ cores) of .+, Linux [\d.]+, Python [\d.]+\.",
        measured(),
    )
