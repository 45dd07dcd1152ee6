"""Every command that README and docs name runs, every setting is read, every link leads somewhere.

Lines that begin with ``.venv/bin/port25`` are run, with a state folder for each page.
Other commands named ``port25`` need a mirror port, a router or a person: their words are parsed.
"""

import re
import shlex
import subprocess
from math import log10
from pathlib import Path

import pytest
import requests

from detectors.registry import DetectorSettings
from detectors.score import Model
from lab.web import serving
from sensor.cli import parser
from sensor.settings import parse_settings
from tests.conftest import ROOT, port25

JAPANESE = "README.ja.md"
PAGES = [ROOT / "README.md", ROOT / JAPANESE, ROOT / "CONTRIBUTING.md", ROOT / "deploy/README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
FOLLOWED = "docs/how-to-add.md"  # by a test of its own
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in PAGES}
README = TEXTS["README.md"]
PIPE = re.search(r"^  \| (port25 replay -)$", README, re.MULTILINE)


def commands(page: str) -> list[str]:
    if page in (FOLLOWED, JAPANESE):  # of which the one has a test, and the other README's commands
        return []
    return re.findall(r"^\.venv/bin/port25 ([^#\n]*)", TEXTS[page], re.MULTILINE)


def blocks(language: str, page: str = "README.md") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXTS[page], re.DOTALL)


def runs(command: str) -> None:
    if command.startswith("web "):
        with serving(Path(shlex.split(command)[-1])) as server:
            assert requests.get(server.printed).ok
        return
    run = port25(*shlex.split(command))
    assert run.returncode == 0, run.stderr
    assert run.stdout


@pytest.mark.parametrize("command", [c for c in commands("README.md") if "--state" not in c])
def test_command(command):
    runs(command)


@pytest.mark.parametrize("page", [page for page in TEXTS if commands(page)])
def test_commands_that_share_a_state_folder(page, tmp_path):
    for command in commands(page):
        if page != "README.md" or "--state" in command:
            runs(command.replace("/tmp/port25", str(tmp_path / "port25")))


def test_there_are_commands():
    assert len(commands("README.md")) >= 13


OTHERS = [
    (page, line)
    for page in TEXTS
    for block in blocks("sh", page)
    for line in re.findall(r"^(?:sudo \.venv/bin/)?port25 ([^#\n]*)", block, re.MULTILINE)
]


@pytest.mark.parametrize(("page", "line"), OTHERS)
def test_commands_that_are_not_run_have_words_the_command_knows(page, line):
    parser().parse_args(shlex.split(line))


@pytest.mark.parametrize("page", [page for page in TEXTS if blocks("toml", page)])
def test_settings(page):
    for text in blocks("toml", page):
        parse_settings(text)


def test_the_alert_shown_is_the_one_it_prints():
    shown = next(block for block in blocks("text") if "prior" in block)
    out = port25("explain", "203.0.113.30", "-r", "pcaps/demo.pcap", check=True).stdout.decode()
    assert shown.strip() in out


def test_the_example_of_the_score_is_what_it_prints_and_adds_up():
    page = TEXTS["docs/score.md"]
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1].strip()
    words = re.search(r"`port25 (explain [^`]*)`", page)[1]
    assert shown in port25(*shlex.split(words), check=True).stdout.decode()
    lines = {line.split()[0]: float(line.split()[1]) for line in shown.splitlines()[2:]}
    total = lines.pop("score")
    assert round(sum(lines.values()), 1) == total
    networks, usual = map(
        int, re.search(r"(\d+) foreign networks in 1 h, where (\d+)", shown).groups()
    )
    assert round(40 * log10(networks / usual), 1) == lines["fan_out"]
    assert f"40 x log10({networks / usual:.2f}) = {lines['fan_out']:+.1f}" in page


def test_the_page_on_the_score_names_each_detector_and_its_caps():
    page = TEXTS["docs/score.md"]
    for detector in Model().detectors:
        assert re.search(rf"^\| {detector.name} \|", page, re.MULTILINE), detector.name
    settings = DetectorSettings()
    for name in ("rejections", "deliveries", "dialogue", "first_contact"):
        one = getattr(settings, name)
        assert re.search(
            rf"^\| {name} .* \| \+{one.most:.0f} \| -{one.least:.0f} \|", page, re.MULTILINE
        )


def test_the_figures_on_quality_are_those_of_the_page():
    shown = README.split("On simulated traffic")[1].split("([how good]")[0]
    shown = " ".join(shown.split())
    figures = re.findall(r"[\d,.]*\d", shown)
    assert figures == ["2,640", "13", "14", "0.30"]
    page = " ".join(TEXTS["docs/quality.md"].split())
    assert "100.0 % of 2,640 bots" in page
    assert "13 connections, 14 s: the median" in page
    assert "0.30 per million" in page


def _told(page: str) -> list[tuple[str, str]]:
    """The blocks of a page, without what is said in them for people."""
    found = re.findall(r"```(\w+)\n(.*?)```", TEXTS[page], re.DOTALL)
    return [(language, re.sub(r" +#[^\n]*", "", block)) for language, block in found]


def test_the_japanese_readme_has_the_same_commands_and_leads_to_the_same_pages():
    assert _told(JAPANESE) == _told("README.md")
    heads = [re.findall(r"^(#+) ", TEXTS[page], re.MULTILINE) for page in (JAPANESE, "README.md")]
    assert heads[0] == heads[1]
    links = [set(re.findall(r"\]\(([^)]*)\)", TEXTS[page])) for page in (JAPANESE, "README.md")]
    assert links[0] ^ links[1] == {"README.md", JAPANESE}
    shown = " ".join(TEXTS[JAPANESE].split("11 系統")[1].split("([")[0].split())
    assert re.findall(r"[\d,.]*\d", shown) == ["2,640", "13", "14", "100", "0.30"]


def test_the_glossary_is_in_order_and_says_each_word_once():
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", TEXTS["docs/glossary.md"], re.MULTILINE)
    words = [english for english, _, _ in rows[2 - 1 :] if english != "---"]
    assert len(words) > 40
    assert len({word.lower() for word in words}) == len(words)
    assert [word.lower() for word in words] == sorted(word.lower() for word in words)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 200


def test_every_page_is_in_the_index():
    for path in (ROOT / "docs").iterdir():
        if path.name not in ("README.md", "quality.json") and path.suffix in (".md", ".json"):
            assert f"({path.name})" in TEXTS["docs/README.md"], path.name


def test_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for page, text in TEXTS.items():
        for target in re.findall(r"`make ([\w-]+)|^make ([\w-]+)", text, re.MULTILINE):
            name = "".join(target)
            assert re.search(rf"^{name}:", makefile, re.MULTILINE), (page, name)


def test_make_help_tells_of_every_target(tmp_path):
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    told = re.findall(r"^make ([\w-]+) +\S", said.stdout, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE)
    assert sorted(told) == sorted(targets)
    phony = re.search(r"^\.PHONY: (.*)$", makefile.replace("\\\n", " "), re.MULTILINE)[1].split()
    assert sorted(phony) == sorted(targets)


def anchors(text: str) -> set[str]:
    """Of the headings, as the forges make them."""
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", TEXTS)
def test_links(page):
    path = ROOT / page
    for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#?)([^)]*)\)", TEXTS[page]):
        there = path.parent / target if target else path
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there.read_text()), (target, anchor)
