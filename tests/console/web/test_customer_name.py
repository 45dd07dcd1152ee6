"""A customer's name is told to a role, about customers it sees, and each look is in the book."""

import time

import msgspec
import pytest

from lab.alerts import alert
from lab.browser import browsing
from lab.web import serving, settings_for
from sensor.state.customer_names import CustomerNames
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.conftest import port25
from tests.console.web.test_oversight import book
from tests.console.web.test_reach import CUSTOMER, MOVED, TOKENS, filled, of_two_sides

NAME = "<b>bot</b>@isp.example"
PATH = "/api/v1/customer/name"
OTHER = f"c-{'8' * 24}"


@pytest.fixture
def folder(tmp_path):
    state = filled(tmp_path / "state")
    names = CustomerNames(StateFolder(state).names, 10)
    names.keep({CUSTOMER: NAME, OTHER: "carol@isp.example"}, int(time.time()))
    names.close()
    return state


def config(tmp_path, role="operator"):
    path = settings_for(tmp_path)
    path.write_text(path.read_text() + f'\n[customers]\nnames = "{role}"\n')
    return path


def ask(server, role, customer=CUSTOMER):
    return server.get(PATH, role, method="POST", json={"customer": customer})


def test_the_role_is_told_and_each_look_is_a_row(folder, tmp_path):
    with serving(folder, "-c", str(config(tmp_path))) as server:
        for role in ("viewer", "analyst"):
            assert ask(server, role).status_code == 403
            assert server.get("/api/v1/me", role).json()["names"] is False
        assert not (folder / "audit.sqlite").exists()
        assert server.get("/api/v1/me", "operator").json()["names"] is True
        assert ask(server, "operator").json() == {"customer": CUSTOMER, "name": NAME}
        assert ask(server, "operator").json()["name"] == NAME
        assert ask(server, "operator", OTHER).status_code == 404  # no alert is about her
    rows = book(folder)
    assert [(one.act, one.alert, one.detail) for one in rows] == [("name", MOVED.id, CUSTOMER)] * 2


def test_without_the_setting_nobody_is(folder, tmp_path):
    with serving(folder, "-c", str(settings_for(tmp_path))) as server:
        assert ask(server, "operator").status_code == 409
        assert server.get("/api/v1/me", "operator").json()["names"] is False


def test_nothing_is_told_that_cannot_be_written_down(folder, tmp_path):
    (folder / "audit.sqlite").write_bytes(b"nothing of the kind" * 100)
    with serving(folder, "-c", str(config(tmp_path))) as server:
        told = ask(server, "operator")
        assert told.status_code == 503 and NAME not in told.text


def test_no_list_message_or_file_has_it(folder, tmp_path):
    with serving(folder, "-c", str(config(tmp_path))) as server:
        for path in (
            "alerts", "alerts.csv", f"alerts/{MOVED.id}", "messages", "export?format=json",
            f"host?host={CUSTOMER}", f"case?host={CUSTOMER}", "audit", "settings",
            f"alerts/{MOVED.id}/draft?kind=xarf", f"alerts/{MOVED.id}/draft?kind=customer.en",
        ):  # fmt: skip
            assert "bot</b>" not in server.get(f"/api/v1/{path}", "operator").text, path


def test_who_is_bound_to_prefixes_learns_of_customers_there_alone(folder):
    made = alert("198.51.100.77")
    stays = msgspec.to_builtins(made) | {"customer": OTHER, "addresses": []}
    Journal(folder / "journal.sqlite").write([msgspec.convert(stays, type(made))])
    with of_two_sides(folder):
        text = (folder.parent / "port25.toml").read_text()
    (folder.parent / "bound.toml").write_text(text + '\n[customers]\nnames = "operator"\n')
    with serving(folder, "-c", str(folder.parent / "bound.toml")) as server:
        # The one who moved is not wholly of either side; the other is of the north.
        for side, customer, status in (
            ("north", CUSTOMER, 404), ("south", CUSTOMER, 404), ("south", OTHER, 404),
            ("north", OTHER, 200),
        ):  # fmt: skip
            head = {"Authorization": f"Bearer {TOKENS[side]}"}
            told = server.get(PATH, None, method="POST", json={"customer": customer}, headers=head)
            assert told.status_code == status, (side, customer)


def test_the_terminal_tells_it_and_writes_it_down(folder):
    done = port25("customer", CUSTOMER, "--state", str(folder), check=True)
    assert done.stdout.decode() == NAME + "\n"
    (row,) = book(folder)
    assert (row.act, row.alert, row.detail) == ("name", MOVED.id, CUSTOMER) and row.by
    done = port25("customer", OTHER, "--state", str(folder))
    assert done.returncode == 1 and not done.stdout and b"no alert is about" in done.stderr
    (folder / "names.sqlite").unlink()
    done = port25("customer", CUSTOMER, "--state", str(folder))
    assert done.returncode == 1 and b"no name is kept" in done.stderr


@pytest.mark.slow
def test_the_page_shows_it_when_asked_to(folder, tmp_path):
    alone = tmp_path / "alone.toml"
    alone.write_text('[customers]\nnames = "operator"\n')
    with serving(folder, "-c", str(alone)) as server, browsing(server.printed) as desk:
        page = desk.go(f"/alerts/{MOVED.id}")
        page.get_by_role("button", name="show the name").click()
        assert page.locator("#customer-name").text_content() == NAME
        page = desk.go("/")
        page.get_by_role("button", name="Customer by name").click()
        page.locator("dialog input[name=name]").fill(NAME)
        page.locator("dialog button.main").click()
        page.wait_for_url(f"**/?text=customer*{CUSTOMER}")
        page.get_by_role("link", name=MOVED.host, exact=True).wait_for()
        assert desk.complaints == []
    assert [one.act for one in book(folder)][:1] == ["name"]
