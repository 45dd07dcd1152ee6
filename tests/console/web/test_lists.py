"""Lists as files, links to other systems, and the overview of alerts."""

import csv
import io
import json
from urllib.parse import urlsplit

import msgspec
import pyarrow.parquet
import pytest
from playwright.sync_api import expect

from lab.alerts import T0, alert
from lab.browser import browsing
from lab.web import serving, settings_for
from sensor.settings import SettingsError, parse_settings
from sensor.state.audit import Audit
from sensor.state.journal import Journal
from tests.console.web.test_reach import ALERT, CUSTOMER, HOST, MOVED, filled

LINKS = """
[[web.links]]
name = "CRM"
url = "https://crm.example/find?ip={host}&at={time}"
[[web.links]]
name = "RADIUS"
url = "https://radius.example/{customer}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("lists") / "state")


@pytest.fixture(scope="module")
def server(folder):
    config = settings_for(folder.parent)
    config.write_text(config.read_text() + LINKS)
    with serving(folder, "-c", str(config)) as one:
        yield one


@pytest.mark.parametrize(("name", "hosts"), [
    ("alerts", {*HOST.values(), "198.51.100.9"}), ("blocks", set(HOST.values())),
    ("candidates", {"198.51.100.60", "203.0.113.60"}),
    ("exemptions", {"198.51.100.50", "203.0.113.50"}),
])  # fmt: skip
def test_any_list_is_csv_json_or_parquet_with_the_same_rows(server, folder, name, hosts):
    answers = {
        form: server.get(f"/api/v1/export?list={name}&format={form}")
        for form in ("csv", "json", "parquet")
    }
    assert all(one.ok for one in answers.values())
    as_json = answers["json"].json()["rows"]
    assert {one["host"] for one in as_json} == hosts
    table = pyarrow.parquet.read_table(io.BytesIO(answers["parquet"].content))
    assert table.to_pylist() == as_json
    as_csv = list(csv.DictReader(io.StringIO(answers["csv"].text)))
    assert [one["host"] for one in as_csv] == [one["host"] for one in as_json]
    last = Audit(folder / "audit.sqlite", read_only=True).page(1)[0]
    assert (last.act, last.detail) == ("export", f"{name}.parquet")
    assert "attachment" in answers["json"].headers["Content-Disposition"]


def test_filters_hold_for_files_and_formulas_are_texts(server, folder):
    evil = alert("192.0.2.9", opened=99, block_reason='=HYPERLINK("http://192.0.2.1")')
    Journal(folder / "journal.sqlite").write([evil])
    rows = list(csv.DictReader(io.StringIO(server.get("/api/v1/export?text=192.0.2.9").text)))
    assert [one["host"] for one in rows] == ["192.0.2.9"]
    assert rows[0]["block_reason"].startswith("'=")
    assert server.get("/api/v1/export?list=settings").status_code == 400


def test_links_are_filled_in_and_escaped(server):
    told = server.get(f"/api/v1/alerts/{ALERT['north']}").json()["links"]
    assert [(one["name"], urlsplit(one["url"]).netloc) for one in told] == [("CRM", "crm.example")]
    assert told[0]["url"].endswith(f"ip={HOST['north']}&at=2023-11-14T22%3A13%3A20.000000Z")
    his = {
        one["name"]: one["url"] for one in server.get(f"/api/v1/alerts/{MOVED.id}").json()["links"]
    }
    assert his["RADIUS"] == f"https://radius.example/{CUSTOMER}"
    assert server.get(f"/api/v1/host?host={HOST['south']}").json()["links"][0]["name"] == "CRM"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://x/{secret}", "https://x/{host", "x"]
)
def test_links_are_addresses_with_known_holes(url):
    with pytest.raises(SettingsError):
        parse_settings(f'[[web.links]]\nname = "x"\nurl = "{url}"\n')


@pytest.mark.slow
def test_alerts_over_time_by_severity_and_the_worst(tmp_path):
    folder = filled(tmp_path / "state")
    journal = Journal(folder / "journal.sqlite")
    for k in range(5):
        one = alert(f"192.0.2.{k}", at=7200 * k, opened=7200 * k, score=100.0 + k)
        journal.write([msgspec.structs.replace(one, severity="critical")])
    with serving(folder, "-c", str(settings_for(tmp_path))) as server:
        told = server.get("/api/v1/summary?hours=24&limit=3").json()
        assert [one["host"] for one in told["hosts"]] == ["192.0.2.4", "192.0.2.3", "192.0.2.2"]
        assert told["open"] == {"medium": 0, "high": 3, "critical": 5}
        assert len(told["spans"]) == 24
        raised = [one["raised"]["critical"] for one in told["spans"]]
        assert sum(raised) == 5 and max(raised) == 1
        first = next(one for one in told["spans"] if one["raised"]["high"])
        assert first["raised"]["high"] == 3 and first["since"] <= T0 < first["until"]
    with serving(folder) as server, browsing(server.printed) as desk:
        page = desk.go("/overview?hours=24")
        page.wait_for_selector(".spans a")
        expect(page.locator(".spans a")).to_have_count(24)
        expect(page.locator("section[aria-labelledby=worst] tbody tr")).to_have_count(8)
        desk.keep("overview-alerts")
        bar = page.locator(f".spans a[href*='since={first['since']}']")
        bar.click()
        page.wait_for_selector("tbody tr")
        found = page.locator("tbody tr").count()
        assert found == 3 + first["raised"]["critical"]
        assert desk.complaints == []
        links = json.dumps(
            page.evaluate("[...document.querySelectorAll('a[download]')].map(a => a.href)")
        )
        assert "format=json" in links and "format=parquet" in links
