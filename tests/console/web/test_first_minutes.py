"""An analyst's first minutes with five hundred open alerts: all by keyboard, in Chromium."""

import statistics
import time

import pytest
from playwright.sync_api import expect

from lab.alerts import alert
from lab.browser import browsing
from lab.waiting import BUSY, wait_for
from lab.web import PASSWORDS, serving
from sensor.blocking.desk import Desk
from sensor.blocking.handling import Act
from sensor.state.journal import Journal
from tests.conftest import needs
from tests.console.web.test_letters import with_letters
from tests.notify.test_notify import postfix_that_keeps, signed_for_here

pytestmark = pytest.mark.xdist_group("browser")
WORST = "203.0.113.20"
SCANS = 40


@pytest.fixture
def full(state):
    """The demo's five alerts, and as many more as make five hundred."""
    made = [
        alert(
            f"198.51.{100 + k // 250}.{k % 250}", at=k, opened=k, score=21.0 + k / 10,
            abuse="scanning" if k < SCANS else "spam",
        )
        for k in range(495)
    ]  # fmt: skip
    Journal(state / "journal.sqlite").write(made)
    desk = Desk(state / "desk.sqlite")
    desk.act({made[-1].id: 1}, time.time_ns(), Act("ticket", "ann", "", ticket="4711"))
    desk.close()
    return state


def log_in(desk):
    page = desk.page
    page.fill("input[name=name]", "operator")
    page.fill("input[name=password]", PASSWORDS["operator"])
    page.keyboard.press("Enter")
    page.wait_for_selector("h1 >> text=Alerts")
    return page


def test_by_keyboard(full, folder):
    """However busy the machine: a key acts on what is seen when it is pressed."""
    needs("chromium", "postfix", root=True)
    key, crt = signed_for_here(folder)
    config = with_letters(folder, crt)
    with (
        postfix_that_keeps(folder / "postfix", key, crt) as spool,
        serving(full, "-c", str(config)) as server,
        browsing(server.base, busy=True) as desk,
    ):
        log_in(desk)
        page = desk.go("/?state=open&sort=score")
        press, waited = page.keyboard.press, []

        def seen(locator):
            begun = time.monotonic()
            locator.first.wait_for()
            waited.append(time.monotonic() - begun)

        # The worst, why, and whether it is blocked.
        expect(page.locator("#total")).to_have_text("500 of 500")
        press("j")
        expect(page.locator("tr:focus-within")).to_contain_text(WORST)
        press("Enter")
        seen(page.locator("#why"))
        expect(page.locator("h1")).to_contain_text(WORST)
        expect(page.get_by_text("would block until").first).to_be_visible()

        # Its customer hears of it in Japanese.
        press("m")
        dialog = page.get_by_role("dialog")
        expect(dialog.locator("input[name=subject]")).not_to_have_value("")
        press("Shift+Tab")
        press("ArrowDown")
        expect(dialog.locator("select")).to_have_value("customer.ja")
        expect(dialog.locator("input[name=subject]")).to_have_value(
            f"お客様の回線から迷惑メールが送信されています ({WORST})"
        )
        press("Tab")
        page.keyboard.type("alice@receiver.example")
        press("Enter")
        page.locator("[role=status] >> text=Sent to alice").wait_for()
        wait_for(lambda: len(spool()) == 1, 30)
        assert "迷惑メール" in spool()[0]["Subject"]

        # Forty of a kind are done with at once.
        press("1")
        seen(page.locator("tbody tr"))
        press("/")
        page.keyboard.type("abuse:scanning")
        expect(page.locator("#total")).to_have_text("40 of 500")
        press("Enter")
        press("*")
        press("a")
        seen(page.get_by_role("dialog"))
        page.keyboard.type("a survey of ours")
        press("Enter")
        page.get_by_text(f"done: {SCANS}").wait_for()

        # A row with a ticket has two links; the next key goes to the next row all the same.
        desk.go("/?state=open&sort=raised&text=198.51.101.0/24")
        rows = page.locator("tbody tr")
        seen(rows)
        found = []
        for _ in range(3):
            press("j")
            found.append(page.locator("tr:focus-within").get_attribute("data-id"))
        assert len(set(found)) == 3
        assert statistics.median(waited) < 0.3 * BUSY, waited
        assert [one for one in desk.complaints if "401" not in one] == []
