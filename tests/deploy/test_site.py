"""The pages are a site, and none of them leads nowhere."""

import re
import subprocess

import pytest

from tests.conftest import ROOT

SITE = ROOT / "build" / "site" / "html"


@pytest.mark.slow
def test_the_site_is_made_and_every_page_is_in_it():
    done = subprocess.run(["deploy/site/build"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in [*(ROOT / "docs").glob("*.md"), ROOT / "README.ja.md", ROOT / "CHANGELOG.md"]:
        path = page.relative_to(ROOT)
        name = "index.html" if path.name == "README.md" else f"{path.stem}.html"
        text = (SITE / path.parent / name).read_text()
        head = re.search(r"(?m)^# (.*)$", page.read_text())[1]
        assert re.sub(r"[*`]", "", head)[:12] in text, path
    # Nothing is fetched from elsewhere by who reads it.
    front = (SITE / "index.html").read_text()
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', front)
    assert "docs/web-alert.png" in front and (SITE / "docs" / "web-alert.png").exists()
