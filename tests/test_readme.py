"""Every command the README names runs, every setting is read, every link leads somewhere."""

import re
import shlex
from math import log10
from pathlib import Path

import pytest
import requests

from detectors.score import DetectorSettings, Model
from lab.web import serving
from sensor.settings import parse_settings
from tests.conftest import ROOT, port25

README = (ROOT / "README.md").read_text()
DOCS = sorted((ROOT / "docs").glob("*.md"))
COMMANDS = re.findall(r"^\.venv/bin/port25 ([^#\n]*)", README, re.MULTILINE)
PIPE = re.search(r"^  \| (port25 replay -)$", README, re.MULTILINE)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def runs(command: str) -> None:
    if command.startswith("web "):
        with serving(Path(shlex.split(command)[-1])) as server:
            assert requests.get(server.printed).ok
        return
    run = port25(*shlex.split(command))
    assert run.returncode == 0, run.stderr
    assert run.stdout


@pytest.mark.parametrize("command", [c for c in COMMANDS if "--state" not in c])
def test_command(command):
    runs(command)


def test_commands_that_share_a_state_folder(tmp_path):
    shared = [command for command in COMMANDS if "--state" in command]
    assert len(shared) >= 5
    for command in shared:
        runs(command.replace("/tmp/port25", str(tmp_path / "port25")))


def test_there_are_commands():
    assert len(COMMANDS) >= 6


def test_the_live_pipe():
    assert PIPE is not None
    with (ROOT / "pcaps" / "worm.pcap").open("rb") as stdin:
        assert b"203.0.113.30" in port25("replay", "-", stdin=stdin, check=True).stdout


def test_settings():
    for text in blocks("toml"):
        parse_settings(text)


def test_the_alert_shown_is_the_one_it_prints():
    shown = next(block for block in blocks("text") if "prior" in block)
    out = port25("explain", "203.0.113.30", "-r", "pcaps/demo.pcap", check=True).stdout.decode()
    assert shown.strip() in out


def test_the_example_of_the_score_is_what_it_prints_and_adds_up():
    page = (ROOT / "docs" / "score.md").read_text()
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
    page = (ROOT / "docs" / "score.md").read_text()
    for detector in Model().detectors:
        assert re.search(rf"^\| {detector.name} \|", page, re.MULTILINE), detector.name
    settings = DetectorSettings()
    for name in ("rejections", "deliveries", "dialogue", "first_contact"):
        one = getattr(settings, name)
        assert re.search(
            rf"^\| {name} .* \| \+{one.most:.0f} \| -{one.least:.0f} \|", page, re.MULTILINE
        )


def test_the_figures_on_quality_are_those_of_the_page():
    page = (ROOT / "docs" / "quality.md").read_text()
    shown = README.split("## How good")[1].split("## ")[0]
    figures = re.findall(r"\d+\.\d+ %|[\d,]+ connections, \d+ s|\d\.\d+ to \d\.\d+|[\d.]+ h", shown)
    assert len(figures) >= 8
    for figure in figures:
        assert figure in page, figure


def test_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in DOCS)])
def test_links(page):
    path = ROOT / page
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", path.read_text()):
        assert (path.parent / target).exists(), target
