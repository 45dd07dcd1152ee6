"""A release is made of a clean tag with its changes written down, and of nothing else."""

import re
import subprocess

import pytest
import yaml

from sensor import __version__
from sensor.cli import parser
from tests.conftest import ROOT, needs

CONTAINER = ROOT / "deploy" / "container"


def _git(tree, *words):
    named = ("-c", "user.name=a", "-c", "user.email=a@isp.example")
    subprocess.run(["git", *named, *words], cwd=tree, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def tree(tmp_path):
    """A small one, with this script."""
    needs("git")
    for name in ("deploy/release", "sensor/__init__.py"):
        copy = tmp_path / name
        copy.parent.mkdir()
        copy.write_bytes((ROOT / name).read_bytes())
        copy.chmod(0o755)
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n\n## Unreleased\n\n* Not yet.\n")
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", "-A")
    _git(tmp_path, "commit", "-qm", "all")
    return tmp_path


def _check(tree):
    done = subprocess.run(["deploy/release", "--check"], cwd=tree, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_a_release_needs_a_tag_a_clean_tree_and_changes(tree):
    code, _, said = _check(tree)
    assert code == 1 and f"no tag v{__version__} here" in said
    _git(tree, "tag", f"v{__version__}")
    code, _, said = _check(tree)
    assert (code, said) == (1, f"release: CHANGELOG.md has nothing under '## {__version__}'\n")
    changes = tree / "CHANGELOG.md"
    changes.write_text(f"# Changes\n\n## {__version__}\n\n* This.\n* That.\n\n## 0.0.9\n\n* Old.\n")
    code, _, said = _check(tree)
    assert code == 1 and "not as it was committed" in said
    _git(tree, "commit", "-qam", "changes")
    code, _, said = _check(tree)
    assert code == 1 and "no tag" in said, "the tag is of the commit before"
    _git(tree, "tag", "-f", f"v{__version__}")
    assert _check(tree) == (0, "\n* This.\n* That.\n", "")


def test_the_container_is_never_root_and_has_one_capability():
    image = (CONTAINER / "Containerfile").read_text()
    steps = re.sub(r"\\\n", " ", image).splitlines()
    after = [line.split()[0] for line in steps if line and not line.startswith("#")]
    assert after[after.index("USER") :] == ["USER", "WORKDIR", "VOLUME", "ENTRYPOINT", "CMD"]
    assert re.search(r"(?m)^USER port25$", image)
    assert re.findall(r"setcap (\S+) (\S+)", image) == [
        ("cap_net_raw=ep", "/opt/port25/bin/sensor")
    ]
    alone, cluster = (
        yaml.safe_load((CONTAINER / name).read_text())["services"]
        for name in ("compose.yaml", "cluster.yaml")
    )
    may = {name: one["cap_add"] for name, one in (alone | cluster).items() if "cap_add" in one}
    assert may == {"sensor": ["NET_RAW"], "border": ["NET_RAW"]}
    assert alone.keys() | cluster.keys() == {"sensor", "border", "correlate", "decide", "web"}
    for one in (*alone.values(), *cluster.values()):
        assert one["cap_drop"] == ["ALL"] and one["read_only"] is True
        assert "privileged" not in one and "user" not in one
        parser().parse_args(one["command"])
    # It would take the sensor's capability away again.
    assert "security_opt" not in alone["sensor"] and "security_opt" not in cluster["border"]
