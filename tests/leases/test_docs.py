"""What the pages on customers and blocking say to set is taken, as it stands there."""

import re

import pytest

from sensor.settings import parse_settings
from tests.conftest import ROOT

PAGES = ("customers.md", "blocking.md", "flows.md")
BLOCKS = [
    (page, number, text)
    for page in PAGES
    for number, text in enumerate(
        re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)
    )
]


@pytest.mark.parametrize(("page", "number", "text"), BLOCKS, ids=[f"{p}-{n}" for p, n, _ in BLOCKS])
def test_settings_of_a_page_are_taken(page, number, text):
    assert parse_settings(text)
