"""What is shipped for operators fits the program."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from sensor.service.metrics import GAUGES, MEANINGS, page
from tests.conftest import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "port25.json"
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


def test_the_dashboard_asks_for_metrics_there_are():
    text = DASHBOARD.read_text()
    asked = set(re.findall(r"port25_(\w+?)(?=[\[\s)\"{])", text))
    known = set(GAUGES) | {f"{name}_total" for name in MEANINGS} | {"frames_total", "kafka_state"}
    assert len(asked) > 25
    assert asked <= known
    panels = json.loads(text)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_pages_are_of_this_version():
    assert (ROOT / "docs" / "metrics.md").read_text() == page()
    made = subprocess.run(
        ["python3", "deploy/grafana/make.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert made.stdout == DASHBOARD.read_text()


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_the_unit_is_one(unit, tmp_path):
    text = unit.read_text()
    for line in text.splitlines():
        assert not line or line[0] in "#[" or re.match(r"[A-Z]\w+=", line), line
    assert "User=root" not in text
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / unit.name
    copy.write_text(text.replace("/opt/port25/bin/port25", "/bin/true"))
    checked = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True)
    complaints = [
        line for line in checked.stderr.splitlines() if unit.name in line and "Failed to" in line
    ]
    assert not complaints


def test_the_containers_broker_is_the_version_the_tests_run():
    pom = (ROOT / "deploy" / "kafka" / "pom.xml").read_text()
    version = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([\d.]+)<", pom)
    assert version
    compose = yaml.safe_load((ROOT / "deploy" / "kafka" / "compose.yaml").read_text())
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{version[1]}"
