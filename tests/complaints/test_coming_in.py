"""Complaints come in by mail, by HTTP, and from lists; they stand beside alerts and change none."""

import time

import msgspec
import pytest

from lab.alerts import alert
from lab.browser import browsing
from lab.web import serving, settings_for
from sensor.base.name_server import resolver
from sensor.commands.complaints import _address
from sensor.complaints.book import Complaints
from sensor.complaints.complaint import ComplaintError
from sensor.complaints.lookups import ask
from sensor.state.journal import Journal
from tests.complaints.test_arf import report
from tests.conftest import needs, port25

HOST = "203.0.113.7"


@pytest.fixture
def state(tmp_path):
    """With an alert of now."""
    state = tmp_path / "state"
    state.mkdir()
    now = time.time_ns()
    one = msgspec.structs.replace(alert(HOST), ts=now, opened=now)
    Journal(state / "journal.sqlite").write([one])
    return state


def settings(folder, more=""):
    config = settings_for(folder)
    text = 'subscriber_prefixes = ["203.0.113.0/24"]\n' + config.read_text() + "\n" + more
    config.write_text(text)
    return config


def test_a_report_by_http_is_beside_the_alert_and_changes_nothing(state, tmp_path):
    with serving(state, "-c", str(settings(tmp_path))) as server:
        (one,) = server.get("/api/v1/alerts").json()["alerts"]
        path = f"/api/v1/alerts/{one['id']}"
        before = server.get(path).json()
        assert before["others"]["weight"]["level"] == "none"
        mail = {"Content-Type": "message/rfc822"}

        def post(content, role="analyst", headers=mail):
            return server.get(
                "/api/v1/complaints", role, method="POST", data=content, headers=headers
            )

        assert post(report()).json()["host"] == HOST
        assert post(report()).status_code == 409
        assert post(report("192.0.2.9")).status_code == 422
        assert post(report(), "viewer").status_code == 403
        assert post(report(), headers={"Content-Type": "application/json"}).status_code == 415
        assert post(b"x" * (1 << 21)).status_code == 413
        after = server.get(path).json()
        assert after["others"]["weight"]["level"] == "weak"
        assert after["listed"] == before["listed"] and after["alert"] == before["alert"]
        assert len(server.get("/api/v1/alerts").json()["alerts"]) == 1
        told = server.get("/api/v1/complaints", "analyst").json()
        refused = {one["reason"]: one["count"] for one in told["refused"]}
        assert refused == {"twice": 1, "not_a_subscriber": 1}
        case = server.get("/api/v1/case", "analyst", params={"host": HOST}).json()
        assert [e["by"] for e in case["events"] if e["what"] == "complaint"] == ["receiver.example"]
        assert server.get("/api/v1/case?host=203.0.113.99", "analyst").status_code == 404


def test_the_command_reads_a_folder_a_file_and_reports_by_name(state, tmp_path):
    for name in ("new", "cur", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    (tmp_path / "mail" / "new" / "1.host").write_bytes(report())
    (tmp_path / "lists").write_text(f"{HOST},zen.example,,words\n192.0.2.1,zen.example\n")
    (tmp_path / "bad.eml").write_bytes(b"hello")
    config = settings(tmp_path, f'[complaints]\nmaildir = "{tmp_path}/mail"\n')
    ran = port25(
        "complaints", "-c", str(config), "--state", str(state), "--listings",
        str(tmp_path / "lists"), str(tmp_path / "bad.eml"),
    )  # fmt: skip
    said = ran.stdout.decode()
    assert ran.returncode == 1 and "bad.eml: refused: no report" in said
    assert "reports: 1 kept, 0 refused" in said and "listings: 1 kept, 1" in said
    again = port25("complaints", "-c", str(config), "--state", str(state))
    assert (again.returncode, again.stdout) == (0, b"")
    nothing = port25("complaints", "--state", str(state))
    assert nothing.returncode == 2 and b"nothing to read" in nothing.stderr


@pytest.mark.xdist_group("browser")
def test_what_others_say_on_the_page(state, tmp_path):
    needs("chromium")
    book = Complaints(state / "complaints.sqlite")
    from sensor.complaints.intake import take, take_all
    from sensor.complaints.listings import listed
    from tests.complaints.test_arf import SUBSCRIBERS

    now = time.time_ns()
    hostile = "Reported-Domain: <script>alert(1)</script>\u202e\n"
    take(book, SUBSCRIBERS, report(extra=hostile), now)
    take_all(book, SUBSCRIBERS, listed([f"{HOST},zen.example,,bot", "x,y"], now))
    with serving(state) as server, browsing(server.printed) as desk:
        page = desk.go("/")
        page.get_by_role("link", name=HOST, exact=True).click()
        page.get_by_text(
            "Weight of complaints: fair (1 reports of 1 reporters, on 1 lists)"
        ).wait_for()
        assert page.locator("section[aria-labelledby=others-say] tbody tr").count() == 2
        desk.keep("others")
        page.get_by_role("link", name="Case: everything").click()
        page.get_by_role("cell", name="complaint: abuse").wait_for()
        page = desk.go("/health")
        page.get_by_role("cell", name="bad_address").wait_for()
        assert desk.complaints == []


def test_a_list_that_says_yes_to_everything_is_not_believed(zone_server):
    server = zone_server
    found = list(ask(resolver(server, 3), ["bl.example", "all.example", "gone.example"],
                     [HOST, "203.0.113.8"], 10))  # fmt: skip
    told = [one for one in found if not isinstance(one, ComplaintError)]
    assert [(one.reporter, one.address, one.detail) for one in told] == [
        ("bl.example", HOST, "a bot"),
    ]  # fmt: skip
    refused = [one for one in found if isinstance(one, ComplaintError)]
    assert [one.reason for one in refused] == ["refused_list", "refused_list"]
    assert list(ask(resolver(server, 3), ["bl.example"], [HOST] * 50, 0)) == []


def test_of_ipv6_a_list_is_asked_that_has_it(zone_server):
    """RFC 5782, 5: a list without ::FFFF:7F00:2 has none, and is still one of IPv4."""
    asked = ["2001:db8:5::", "2001:db8:6::", HOST]
    found = list(ask(resolver(zone_server, 3), ["bl.example", "both.example"], asked, 10))
    assert [(one.reporter, one.address) for one in found] == [
        ("bl.example", HOST), ("both.example", "2001:db8:5::"), ("both.example", HOST),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("203.0.113.7", "203.0.113.7"), ("2001:db8:5::/64", "2001:db8:5::"),
        ("2001:db8:5::/56", ""), ("100.64.0.1:1024-2047", ""), ("c-0123456789abcdef01234567", ""),
    ],
)  # fmt: skip
def test_which_hosts_a_list_can_be_asked_about(host, address):
    assert _address(host) == address
