"""Who is told of alerts, on the health page: what cannot be sent, and a test at a click."""

import pytest
from playwright.sync_api import expect

from lab.browser import browsing
from lab.web import serving
from sensor.settings import parse_settings
from sensor.sinks.sink import Around
from sensor.state.folder import StateFolder
from tests.conftest import needs
from tests.notify.test_notify import Hook, hook

pytestmark = pytest.mark.xdist_group("browser")


def test_a_test_at_a_click_is_not_taken_and_then_taken(state, tmp_path):
    needs("chromium")
    (tmp_path / "secret").write_text("a secret\n")
    with hook() as url:
        text = '[[notify.webhook]]\nname = "{}"\nurl = "{}"\nseverities = []\n'
        text += f'secret_file = "{tmp_path}/secret"\n'
        sink = parse_settings(text.format("desk", url) + text.format("gone", url)).notify.prepare()
        sink.start(Around(StateFolder(state), lambda _: None, True, 0))
        try:
            with serving(state) as server, browsing(server.printed) as browser:
                page = browser.go("/health")
                row = page.locator("tr[data-name=desk]")
                expect(row.get_by_text("takes alerts")).to_be_visible()
                button = row.get_by_role("button", name="Send a test")
                button.click()  # every other request fails
                expect(row.get_by_text("not taken: it answered 503")).to_be_visible()
                button.click()
                expect(row.get_by_text(": taken")).to_be_visible()
                browser.keep("told")
                assert browser.complaints == []
        finally:
            sink.stop()
    (one,) = Hook.taken
    assert one["mode"].startswith("TEST by ") and "dry run: nothing is blocked" in one["mode"]
    assert one["alerts"][0]["host"] == "192.0.2.1"
