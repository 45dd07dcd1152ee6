"""A detector is one file and one line: that of docs/how-to-add.md is added to a copy, and run."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from detectors.registry import DETECTORS, DetectorSettings
from detectors.score import Model
from sensor.base.sentences import CATALOGUES
from sensor.hosts.evidence import Count, Evidence, Fact
from tests.conftest import ROOT

PAGE, LINE = re.search(
    r"^`detectors/closed_doors.py`:\n\n```python\n(.*?)^```$.*?^\+(    .*?\n)",
    (ROOT / "docs" / "how-to-add.md").read_text(),
    re.MULTILINE | re.DOTALL,
).groups()
CAPTURE = "pcaps/fast_bot.pcap"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the tree with the page and the line."""
    copy = tmp_path_factory.mktemp("tree")
    for name in ("sensor", "detectors"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "pcaps").mkdir()
    shutil.copy(ROOT / CAPTURE, copy / CAPTURE)
    (copy / "detectors" / "closed_doors.py").write_text(PAGE)
    registry = copy / "detectors" / "registry.py"
    last = f'    "{DETECTORS[-1].name}",\n'
    text = registry.read_text()
    assert text.count(last) == 1
    registry.write_text(text.replace(last, last + LINE))
    return copy


def run(tree, *words, code=0):
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, *words], cwd=tree, env=environment, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr * (code != 0)


def lines(tree, *words):
    """The evidence of the last alert of a replay, by detector."""
    said = run(tree, "-m", "sensor", "replay", "-q", "--json", *words, CAPTURE).splitlines()
    return {line["detector"]: line for line in json.loads(said[-1])["evidence"]}


@pytest.mark.slow
def test_a_page_and_a_line_add_a_detector(tree):
    found = lines(tree)
    assert list(found)[-1] == "closed_doors"
    line = found["closed_doors"]
    assert line["figures"]["total"] > 0
    assert line["reason"] == "26 of 104 connections were refused in 10 min"
    (tree / "port25.toml").write_text("[detectors.closed_doors]\nmost = 0\nleast = 0\n")
    assert lines(tree, "-c", "port25.toml")["closed_doors"]["decibans"] == 0
    assert line["decibans"] != 0


def test_its_settings_are_checked(tree):
    (tree / "wrong.toml").write_text("[detectors.closed_doors]\ntheta0 = 2\n")
    said = run(tree, "-m", "sensor", "check-config", "wrong.toml", code=2)
    assert "detectors.closed_doors.theta0" in said


@pytest.mark.slow
def test_it_is_explained_and_the_sum_is_right(tree):
    host = json.loads(run(tree, "-m", "sensor", "replay", "-q", "--json", CAPTURE).split("\n")[0])
    said = run(tree, "-m", "sensor", "explain", host["host"], "-r", CAPTURE)
    shown = {
        w[0]: float(w[1])
        for line in said.splitlines()[2:]
        if len(w := line.split()) > 1 and w[1][0] in "+-"
    }
    assert "closed_doors" in shown
    total = shown.pop("score")
    assert round(sum(shown.values()), 1) == total


def test_its_page_tells_the_truth(tree):
    run(tree, "-m", "doctest", "detectors/closed_doors.py")


@pytest.mark.slow
def test_every_detector_can_be_silenced():
    quiet = DetectorSettings(**{one.name: one.Settings(**one.silent) for one in DETECTORS})
    rng = np.random.default_rng(1)
    for high in (3, 40, 5000):
        counts = rng.integers(0, high, (len(Count), 5))
        facts = rng.integers(0, 30, len(Fact))
        facts[Fact.HOURS], facts[Fact.NEW], facts[Fact.NEW_SQUARED] = 20, 100, 520
        said = {
            f.detector: f.centibans for f in Model(detectors=quiet).explain(Evidence(counts, facts))
        }
        assert said.pop("prior") == -300
        assert said == {one.name: 0 for one in DETECTORS}


@pytest.mark.parametrize("one", DETECTORS, ids=lambda one: one.name)
def test_what_a_detector_says_has_a_sentence_in_every_language(one):
    for language, sentences in one.sentences.items():
        for name, template in sentences.items():
            assert CATALOGUES[language][f"{one.name}.{name}"] == template
    assert set(one.sentences["en"]) == set(one.sentences["ja"])
