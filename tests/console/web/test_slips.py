"""Slips of the hand on the page: a wrong address, a wrong key, a host nobody has seen."""

import re
import time

import pytest
import requests
from playwright.sync_api import expect

from lab.alerts import alert
from lab.browser import browsing
from lab.web import serving
from sensor.console.sparing import exempt
from sensor.console.view import View
from sensor.state.journal import Journal
from tests.conftest import needs

pytestmark = pytest.mark.xdist_group("browser")
HOST = "203.0.113.7"


@pytest.fixture
def state(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    Journal(state / "journal.sqlite").write([alert(HOST)])
    return state


def test_wrong_addresses_and_keys_are_pages_with_a_way_home_and_problems_for_programs(state):
    with serving(state) as server:
        browser = {"Accept": "text/html"}
        guessed = re.sub("key=.*", "key=<b>", server.printed)
        wrong = requests.get(guessed, headers=browser, timeout=300)
        assert wrong.status_code == 403 and "wrong key" in wrong.text and "<b>" not in wrong.text
        session = requests.Session()
        session.get(server.printed, timeout=300)
        gone = session.get(f"{server.base}/nowhere", headers=browser, timeout=300)
        assert gone.status_code == 404 and '<a href="/">' in gone.text
        for path in ("/nowhere", "/api/v1/nowhere"):
            plain = session.get(f"{server.base}{path}", timeout=300)
            assert plain.headers["Content-Type"] == "application/problem+json"


def test_the_page_offers_what_makes_sense_and_says_what_settings_mean(state):
    needs("chromium")
    with serving(state) as server, browsing(server.printed) as desk:
        page = desk.go("/host?host=9.9.9.9")
        page.get_by_text("This sensor has not seen 9.9.9.9.").wait_for()
        expect(page.get_by_role("button", name="Exempt")).to_have_count(0)
        expect(page.get_by_role("button", name="Release")).to_have_count(0)
        page = desk.go(f"/host?host={HOST}")
        page.get_by_role("button", name="Exempt").wait_for()
        expect(page.get_by_role("button", name="Release")).to_have_count(0)
        page = desk.go("/settings")
        page.get_by_role("rowheader", name="web.listen").wait_for()
        page.locator("label.check input").uncheck()  # at first: what differs from the defaults
        page.get_by_text("decibans at which a host without an alert is noted").wait_for()
        exempt(View(state), HOST, 3, "ann", "own server")
        page = desk.go("/")
        page.get_by_role("link", name=HOST, exact=True).click()
        page.locator(".verdict .standing", has_text="exempt").wait_for()
        expect(page.get_by_text("Block recommended", exact=False)).to_have_count(0)
        assert [one for one in desk.complaints if "404" not in one] == []


def test_the_journals_log_counts_as_journal(state):
    with serving(state) as server:
        session = requests.Session()
        session.get(server.printed, timeout=300)

        def size():
            return session.get(f"{server.base}/api/v1/health", timeout=300).json()["journal_bytes"]

        before, journal = size(), Journal(state / "journal.sqlite")
        journal.write([alert(f"203.0.113.{k}", opened=9 + k) for k in range(60)])
        time.sleep(0.1)
        assert size() > before + 50_000, "what lies in the write-ahead log is on disk as well"
