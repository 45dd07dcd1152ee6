"""The page of the fleet: each machine in its row, what is amiss marked, hostile names only text."""

import os
import time

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from lab.alerts import alert
from lab.browser import browsing
from lab.web import serving
from sensor.base.units import SECOND
from sensor.blocking.ledger import Ledger
from sensor.cluster.brokers import Broker, Brokers
from sensor.cluster.fleet import Member
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.conftest import needs

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.slow]
HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e"


def members(now):
    one = {"heard": now, "version": "1.2.3", "settings": "aa"}
    return [
        Member(name="north", role="sensor", packets=1234.5, loss=0.01, behind=0.5, ahead=0.002,
               notice="takes no segments", noticed=now, **one),
        Member(name="south", role="sensor", left_behind=True, differs=True, stopped=True,
               alone=True, differing=["dns", HOSTILE],
               **(one | {"heard": now - 300 * SECOND, "settings": "bb"})),
        Member(name=HOSTILE, role="sensor", notice=HOSTILE, noticed=now, **one),
        Member(name="port25-correlate-one", role="correlates", partitions={"0": 3, "2": 4},
               latency=0.25, **one),
        Member(name="port25-decide", role="decides", **one),
    ]  # fmt: skip


@pytest.mark.parametrize(("size", "scheme"), [("wide", "light"), ("narrow", "dark")])
def test_each_machine_has_its_row_and_what_is_amiss_is_marked(tmp_path, size, scheme):
    needs("chromium")
    files = StateFolder(tmp_path)
    Journal(files.journal).write([alert()])
    ledger = Ledger(files.ledger)
    ledger.named("here", 3600, time.time_ns())
    with serving(tmp_path) as server, browsing(server.printed, size, scheme) as browser:
        page = browser.go("/health")
        page.get_by_role("link", name="All sensors, and who correlates").click()
        page.get_by_text("Nothing was heard of any machine").wait_for()
        files.fleet.write_bytes(msgspec.json.encode(members(time.time_ns())))
        page = browser.go("/fleet")
        page.locator("#sensors").wait_for()
        rows = page.get_by_role("table", name="Sensors", exact=True).locator("tbody tr")
        north, south, odd = (rows.nth(n) for n in range(3))
        assert north.get_by_role("cell").all_inner_texts()[:5] == [
            "well", "1,235", "1.00 %", "0.500", "0.002"
        ]  # fmt: skip
        marks = south.locator(".state.bad").all_inner_texts()
        assert marks[:3] == ["silent", "left behind", "judges alone"]
        assert marks[4] == "blocking stopped itself"
        assert marks[3].startswith("other settings: dns, <img")
        assert "takes no segments" in north.inner_text()
        assert "<img" in odd.inner_text() and page.locator("#content img").count() == 0
        south.get_by_role("button", name="Let blocking go on").click()
        page.get_by_role("dialog").get_by_label("Reason").fill("looked at")
        page.get_by_role("dialog").get_by_role("button", name="Let blocking go on").click()
        page.get_by_text("south is told to let blocking go on").wait_for()
        assert [one.whose for _, one in ledger.resumes.page(0, 9)] == ["south"]
        rows = page.get_by_role("table", name="Who correlates").locator("tbody tr")
        one, decides = (rows.nth(n) for n in range(2))
        assert one.get_by_role("cell").all_inner_texts()[:5] == [
            "well", "correlates", "0, 2", "7", "0.250"
        ]  # fmt: skip
        assert "decides" in decides.inner_text()
        now = time.time_ns()
        kafka = Brokers(
            True, now, now, now, [Broker(1, "k1:9092", True), Broker(2, HOSTILE, False)]
        )
        files.kafka.write_bytes(msgspec.json.encode(kafka))
        page = browser.go("/fleet")
        page.get_by_text("Kafka answers; brokers reached: 1/2 (k1:9092, ✗ <img").wait_for()
        kafka = msgspec.structs.replace(kafka, answers=False, fault="no broker")
        files.kafka.write_bytes(msgspec.json.encode(kafka))
        page = browser.go("/fleet")
        page.get_by_text("Kafka does not answer; what is shown is of before").wait_for()
        browser.keep(f"fleet-{size}")
        expect(page.get_by_text("Nobody decides in this folder now")).to_have_count(0)
        os.utime(files.fleet, (then := time.time() - 60, then))
        page = browser.go("/fleet")
        page.get_by_text("Nobody decides in this folder now").wait_for()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= page.viewport_size["width"]
        found = Axe().run(page).response["violations"]
        bad = [one["id"] for one in found if one["impact"] in ("serious", "critical")]
        assert bad == [] and browser.complaints == []
