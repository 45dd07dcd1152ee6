"""A customer's case: what is known, what was done, in order of time; tickets by alert and case."""

import csv
import io

import pytest
from playwright.sync_api import expect

from lab.browser import browsing
from lab.web import PASSWORDS, serving, settings_for
from sensor.blocking.desk import Desk, Letter
from sensor.blocking.handling import Act
from sensor.state.audit import Audit
from tests.conftest import needs
from tests.console.web.test_reach import ALERT, CUSTOMER, HOST, MOVED, ask, filled, of_two_sides

LINK = '\n[[web.links]]\nname = "Tracker"\nurl = "https://tracker.example/{ticket}"\n'


@pytest.fixture
def folder(tmp_path):
    return filled(tmp_path / "state")


@pytest.fixture
def server(folder, tmp_path):
    config = settings_for(tmp_path)
    config.write_text(config.read_text() + LINK)
    with serving(folder, "-c", str(config)) as one:
        yield one


def case(server, name):
    return server.get("/api/v1/case", "analyst", params={"host": name})


def acts(server, path="case/acts", **body):
    return server.get(f"/api/v1/{path}", "analyst", method="POST", json=body)


def test_a_hosts_case_is_all_that_happened_in_order(server, folder):
    desk = Desk(folder / "desk.sqlite")
    number = desk.keep_letter(
        ALERT["north"], HOST["north"],
        Letter(3, "bob", "customer.ja", "c@isp.example", "subject", "text", 0),
    )  # fmt: skip
    desk.letter_sent(number, 4)
    desk.exempt(HOST["north"], 3, 5, "ann", "his own server")
    found = case(server, HOST["north"]).json()
    told = [(one["what"], one["kind"], one["by"]) for one in found["events"]]
    assert set(told) == {
        ("alert", "raised", ""), ("decision", "block", ""), ("act", "note", "north"),
        ("letter", "customer.ja", "bob"), ("exempt", "exempt", "ann"),
    }  # fmt: skip
    times = [one["ts"] for one in found["events"]]
    assert times == sorted(times, reverse=True)
    assert [one["id"] for one in found["alerts"]] == [ALERT["north"]] and found["customer"] == ""
    assert case(server, "192.0.2.99").status_code == 404
    assert server.get("/api/v1/case?host=" + HOST["north"], "viewer").status_code == 403


def test_a_customers_case_has_the_addresses_he_had(server):
    found = case(server, CUSTOMER).json()
    assert found["customer"] == CUSTOMER and [one["id"] for one in found["alerts"]] == [MOVED.id]
    had = [(one["address"], one["until"] is None) for one in found["addresses"]]
    assert had == [("198.51.100.9", True), (HOST["south"], False)]
    south = [one for one in found["events"] if one["alert"] == ALERT["south"]]
    assert south == [], "who had the address before or after is another"


def test_a_ticket_of_the_case_is_that_of_its_alerts_but_those_with_their_own(server, folder):
    def ticket(id_):
        rows = server.get("/api/v1/alerts").json()["alerts"]
        return next(one["handling"]["ticket"] for one in rows if one["id"] == id_)

    assert acts(server, host=CUSTOMER, act="ticket", ticket="T-4711").json()["ticket"] == "T-4711"
    assert ticket(MOVED.id) == "T-4711" and ticket(ALERT["south"]) == ""
    url = "https://tracker.example/9"
    both = [MOVED.id, ALERT["south"]]
    assert acts(server, "acts", alerts=both, act="ticket", ticket=url).json() == {"alerts": 2}
    assert (ticket(MOVED.id), ticket(ALERT["south"])) == (url, url)
    for asked, ids in (("ticket:t-47", {MOVED.id}), ("ticket:example/9", set(both))):
        found = server.get("/api/v1/alerts", params={"text": asked}).json()["alerts"]
        assert {one["id"] for one in found} == ids, asked
    rows = csv.DictReader(io.StringIO(server.get("/api/v1/alerts.csv").text))
    assert {one["id"]: one["ticket"] for one in rows}[MOVED.id] == url
    detail = server.get(f"/api/v1/alerts/{MOVED.id}").json()
    assert detail["links"] == [
        {"name": "Tracker", "url": "https://tracker.example/https%3A%2F%2Ftracker.example%2F9"}
    ]
    gone = acts(server, "acts", alerts=[MOVED.id], act="ticket", reason="linked by mistake")
    assert gone.ok and ticket(MOVED.id) == "T-4711", "the case's is left"
    kept = [(n["act"], n["ticket"], n["by"]) for n in server.get(f"/api/v1/alerts/{MOVED.id}")
            .json()["notes"]]  # fmt: skip
    assert kept == [("ticket", url, "analyst-bot"), ("ticket", "", "analyst-bot")]
    book = Audit(folder / "audit.sqlite", read_only=True).page(100)
    assert [one.act for one in book].count("ticket") == 4


@pytest.mark.parametrize(("status", "body"), [
    (409, {"act": "ticket"}), (409, {"act": "note"}), (400, {"act": "done", "reason": "x"}),
    (409, {"act": "ticket", "ticket": "x\r\ny"}), (400, {"act": "ticket", "ticket": "x" * 301}),
])  # fmt: skip
def test_what_is_no_act_on_a_case_is_refused(server, status, body):
    assert acts(server, host=HOST["north"], **body).status_code == status
    assert acts(server, host="192.0.2.99", act="note", reason="x").status_code == 404


def test_who_is_bound_sees_and_does_nothing_beyond(folder):
    desk = Desk(folder / "desk.sqlite")
    for name in (CUSTOMER, HOST["south"]):
        desk.act({name: 0}, 7, Act("ticket", "south", "note south", ticket="secret south"))
    desk.close()
    with of_two_sides(folder) as server:
        for name in (CUSTOMER, HOST["south"]):
            seen = ask(server, "north", "/api/v1/case", params={"host": name})
            body = {"host": name, "act": "note", "reason": "mine"}
            done = ask(server, "north", "/api/v1/case/acts", method="POST", json=body)
            assert (seen.status_code, done.status_code) == (404, 404), name
        assert "secret" not in ask(server, "north", "/api/v1/alerts").text
        mine = ask(server, "south", "/api/v1/case", params={"host": HOST["south"]}).json()
        assert mine["ticket"] == "secret south"
    assert len(Desk(folder / "desk.sqlite").notes(CUSTOMER)) == 1


@pytest.mark.xdist_group("browser")
def test_the_case_on_the_page(server):
    needs("chromium")
    with browsing(server.base) as desk:
        page = desk.page
        page.fill("input[name=name]", "operator")
        page.fill("input[name=password]", PASSWORDS["operator"])
        page.click("button.main")
        page.wait_for_selector("h1 >> text=Alerts")
        desk.go(f"/alerts/{MOVED.id}")
        page.get_by_role("link", name="Case: everything").click()
        page.wait_for_url("**/case?host=*")
        expect(page.locator("#addresses ~ ul li, section ul li")).to_have_count(2)
        page.keyboard.press("l")
        page.fill("input[name=ticket]", "https://tracker.example/T-1")
        page.click("dialog button.main")
        link = page.get_by_role("link", name="https://tracker.example/T-1")
        expect(link).to_have_attribute("href", "https://tracker.example/T-1")
        expect(page.get_by_role("row").filter(has_text="linked ticket")).to_have_count(1)
        desk.keep("case")
        page.locator("select[name=language]").select_option("ja")
        page.get_by_role("heading", name="アドレスの履歴").wait_for()
        desk.go("/")
        row = page.locator("tbody tr").filter(has_text="198.51.100.9")
        expect(row.locator(".wide .ticket")).to_have_text("T-1")
        assert [one for one in desk.complaints if "401" not in one] == []
