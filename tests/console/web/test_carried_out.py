"""The list of blocks says what became of each, in the words of who carries it out."""

import time

import pytest
from playwright.sync_api import expect

from lab.browser import browsing
from lab.web import serving
from sensor.base.units import SECOND
from sensor.blocking.enforcement import Enforcement, keep
from sensor.state.folder import StateFolder
from tests.blocking.test_commands import state
from tests.conftest import needs

__all__ = ["state"]

pytestmark = pytest.mark.xdist_group("browser")


def word(host: str, how: str, **fields) -> Enforcement:
    ts = time.time_ns()
    told = {"controller": "bng1", "ts": ts, "time": "now", "decision": "a" * 32, "asked": ts,
            "expires": ts + 3600 * SECOND}  # fmt: skip
    return Enforcement(host=host, state=how, **(told | fields))


def test_a_block_in_force_one_that_is_refused_and_one_that_waits(state):
    needs("chromium")
    since = time.time_ns()
    words = [
        word("203.0.113.7", "in force", since=since, delay=0.42, dropped=1234),
        word("203.0.113.7", "asked", controller="<b>router</b>"),
        word("203.0.113.8", "refused", why="no room <script>"),
        word("198.51.100.1", "in force", since=since),
    ]
    keep(StateFolder(state).enforcement("bng1"), words)
    with serving(state) as server, browsing(server.printed) as browser:
        page = browser.go("/blocks")
        row = page.locator("tr", has_text="203.0.113.7")
        row.get_by_text("(0.4 s after the decision)").wait_for()
        text = row.inner_text()
        assert "bng1: in force since" in text and "packets dropped: 1,234" in text
        assert "<b>router</b>: asked, no answer yet" in text
        other = page.locator("tr", has_text="203.0.113.8").inner_text()
        assert "bng1: refused: no room <script>" in other
        expect(page.locator("main")).not_to_contain_text("198.51.100.1")
        assert browser.complaints == []
