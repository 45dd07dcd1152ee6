"""Who did what is written down before it is done; tokens and logins hold until they are ended."""

import re
import sqlite3

import pytest
import requests

from lab.browser import browsing
from lab.web import PASSWORDS, serving, settings_for
from sensor.base.database import DatabaseError
from sensor.console.web.api import OPERATIONS
from sensor.sinks.outbox import Outbox
from sensor.state import audit
from sensor.state.audit import Audit
from sensor.state.folder import StateFolder
from tests.conftest import port25
from tests.console.web.test_reach import ALERT, CUSTOMER, EXEMPT, HOST, NORTH, filled

LETTERS = """
[customers]
names = "operator"
[notify.letters]
server = "127.0.0.1:9"
sender = "abuse@isp.example"
organisation = "Example ISP"
"""


@pytest.fixture
def folder(tmp_path):
    return filled(tmp_path / "state")


@pytest.fixture
def server(folder, tmp_path):
    config = settings_for(tmp_path)
    config.write_text(config.read_text() + LETTERS)
    with serving(folder, "-c", str(config)) as one:
        yield one


def logged_in(server, role="operator"):
    session = requests.Session()
    body = {"name": role, "password": PASSWORDS[role]}
    me = session.post(f"{server.base}/api/v1/login", json=body, timeout=300)
    assert me.status_code == 200, me.text
    session.headers["X-CSRF-Token"] = me.json()["csrf"]
    return session


def book(folder):
    return Audit(StateFolder(folder).audit, read_only=True).page(1000)


def test_every_look_at_packets_every_export_and_every_act_is_a_row(server, folder):
    Outbox(folder / "outbox.sqlite").done("notify/desk", "journal", 1, {})
    host, id_ = HOST["north"], ALERT["north"]
    session = logged_in(server)
    asked = {
        ("GET", "/api/v1/alerts/{id}/packets"): (None, "packets", host),
        ("GET", "/api/v1/alerts/{id}/evidence.pcapng"): (None, "packets", host),
        ("GET", "/api/v1/alerts.csv"): (None, "export", ""),
        ("GET", "/api/v1/impact.csv"): (None, "export", ""),
        ("POST", "/api/v1/acts"): ({"alerts": [id_], "act": "take"}, "take", host),
        ("PUT", "/api/v1/alerts/{id}/acknowledgement"): ({"reason": "seen"}, "done", host),
        ("POST", "/api/v1/exemptions"): (
            {"host": host, "days": 3, "reason": "server"}, "exempt", host,
        ),
        ("DELETE", "/api/v1/exemptions"): (None, "lift", EXEMPT["north"]),
        ("POST", "/api/v1/releases"): ({"host": host, "reason": "fixed"}, "release", host),
        ("POST", "/api/v1/resumes"): ({"of": "south", "reason": "seen"}, "resume", ""),
        ("POST", "/api/v1/evidence"): (
            {"alert": id_, "host": host, "first": 0, "last": 1, "by": "ann"}, "packets", host,
        ),
        ("POST", "/api/v1/case/acts"): (
            {"host": host, "act": "note", "reason": "called"}, "note", host,
        ),
        ("POST", "/api/v1/customer/name"): ({"customer": CUSTOMER}, "name", "198.51.100.9"),
        ("POST", "/api/v1/customer/find"): ({"name": "alice"}, "name", ""),
        ("POST", "/api/v1/complaints"): (None, "complaint", ""),
        ("POST", "/api/v1/trials"): ({"name": "desk"}, "trial", ""),
        ("POST", "/api/v1/alerts/{id}/letters"): (
            {"kind": "xarf", "to": "a@b.example", "subject": "x", "text": "x"}, "letter", host,
        ),
        ("GET", "/api/v1/export"): (None, "export", ""),
        ("POST", "/api/v1/tokens"): (
            {"name": "crm", "role": "viewer", "prefixes": []}, "token made", "",
        ),
        ("DELETE", "/api/v1/tokens"): (None, "token revoked", ""),
    }  # fmt: skip
    acts = {(one.method, one.path) for one in OPERATIONS if one.method != "GET"}
    assert acts <= set(asked), "an act that is not looked at here"
    for (method, path), (body, act, about) in asked.items():
        more = {"/api/v1/exemptions": f"?host={about}", "/api/v1/tokens": "?name=crm"}
        url = server.base + path.format(id=id_)
        url += more.get(path, "") if method == "DELETE" else ""
        mail = {"data": b"x", "headers": {"Content-Type": "message/rfc822"}}
        with_body = mail if path.endswith("/complaints") else {"json": body}
        session.request(method, url, **with_body, timeout=300)
        last = book(folder)[0]
        assert (last.by, last.act, last.host) == ("operator", act, about), (method, path)
    session.post(f"{server.base}/api/v1/logout")
    assert [one.act for one in (book(folder)[0], book(folder)[-1])] == ["logout", "login"]
    shown = server.get("/api/v1/audit?limit=3", "operator").json()
    assert [one["act"] for one in shown["rows"]] == ["logout", "token revoked", "token made"]
    rest = server.get(f"/api/v1/audit?limit=1000&before={shown['next']}", "operator").json()
    assert len(rest["rows"]) == len(asked) - 2 + 1 and rest["next"] is None
    assert server.get("/api/v1/audit", "analyst").status_code == 403


def test_what_commands_do_is_in_the_book_as_well(folder):
    state = ["--state", str(folder)]
    (folder / "evidence").mkdir()
    port25("release", HOST["south"], *state, "--by", "ann", "--reason", "x", check=True)
    port25("evidence", ALERT["north"], *state, "-w", str(folder / "out.pcapng"), check=True)
    assert [(one.act, one.host) for one in book(folder)] == [
        ("packets", HOST["north"]), ("release", HOST["south"]),
    ]  # fmt: skip


def test_without_the_book_nothing_is_done_or_given_out(server, folder):
    (folder / "audit.sqlite").write_bytes(b"nothing of the kind" * 100)
    path = f"/api/v1/alerts/{ALERT['north']}"
    assert server.get(f"{path}/evidence.pcapng", "analyst").status_code == 503
    body = {"host": HOST["north"], "reason": "x"}
    done = server.get("/api/v1/releases", "operator", method="POST", json=body)
    assert done.status_code == 503 and "audit.sqlite" in done.json()["detail"]
    assert server.get("/api/v1/blocks").json()["total"] == 2


def test_rows_stay_as_they_are_and_the_oldest_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "MOST", 5)
    path = tmp_path / "audit.sqlite"
    for k in range(9):
        audit.note(tmp_path, "ann", "export", detail=str(k))
    assert [one.detail for one in Audit(path).page(9)] == ["8", "7", "6", "5", "4"]
    with pytest.raises(DatabaseError, match="not changed"):
        Audit(path).db.run("UPDATE acts SET by = 'bob'")
    with sqlite3.connect(path) as other, pytest.raises(sqlite3.IntegrityError):
        other.execute("UPDATE acts SET detail = ''")


def bearer(token):
    return {"headers": {"Authorization": f"Bearer {token}"}}


def test_tokens_are_made_and_revoked_by_people(server, folder):
    session, url = logged_in(server), f"{server.base}/api/v1/tokens"
    body = {"name": "crm", "role": "analyst", "prefixes": [NORTH], "days": 3}
    made = session.post(url, json=body).json()
    token = made["token"]
    assert token.encode() not in b"".join(f.read_bytes() for f in folder.glob("*.sqlite*"))
    assert (folder / "keys.sqlite").stat().st_mode & 0o077 == 0
    me = server.get("/api/v1/me", None, **bearer(token)).json()
    assert (me["name"], me["role"], me["prefixes"]) == ("crm", "analyst", [NORTH])
    assert server.get("/api/v1/alerts", None, **bearer(token)).json()["all"] == 1
    assert session.post(url, json=body).status_code == 409
    assert session.post(url, json=body | {"prefixes": ["x/y"]}).status_code == 400
    program = server.get("/api/v1/tokens", "operator", method="POST", json=body)
    assert program.status_code == 403 and "log in" in program.json()["detail"]
    (shown,) = session.get(url).json()["tokens"]
    assert (shown["name"], shown["by"], shown["revoked"]) == ("crm", "operator", 0)
    assert session.delete(f"{url}?name=crm").json()["tokens"][0]["revoked"] > 0
    assert server.get("/api/v1/me", None, **bearer(token)).status_code == 401
    assert session.delete(f"{url}?name=crm").status_code == 404


def test_nobody_gives_a_token_more_than_they_may(folder, tmp_path):
    config = settings_for(tmp_path)
    text = config.read_text().replace(
        'name = "operator"', f'name = "operator"\nprefixes = ["{NORTH}"]'
    )
    config.write_text(text)
    with serving(folder, "-c", str(config)) as server:
        session, url = logged_in(server), f"{server.base}/api/v1/tokens"
        body = {"name": "all", "role": "viewer", "days": 1}
        assert session.post(url, json=body).status_code == 403
        assert session.post(url, json=body | {"prefixes": ["0.0.0.0/0"]}).status_code == 403
        assert session.post(url, json=body | {"prefixes": ["198.51.100.8/29"]}).status_code == 200
        audit.note(folder, "bob", "packets", HOST["south"], ALERT["south"])
        audit.note(folder, "bob", "packets", HOST["north"], ALERT["north"])
        rows = session.get(f"{server.base}/api/v1/audit").json()["rows"]
        assert [one["host"] for one in rows] == [HOST["north"]]


@pytest.mark.slow
def test_logins_outlive_a_restart_until_the_settings_say_otherwise(folder, tmp_path):
    config = settings_for(tmp_path)
    with serving(folder, "-c", str(config)) as server:
        stays, leaves = logged_in(server, "analyst"), logged_in(server, "viewer")
        leaves_again = dict(leaves.cookies)
        leaves.post(f"{server.base}/api/v1/logout")
    with serving(folder, "-c", str(config)) as server:
        me = stays.get(f"{server.base}/api/v1/me").json()
        assert me["name"] == "analyst" and me["csrf"] == stays.headers["X-CSRF-Token"]
        body = {"alerts": [ALERT["north"]], "act": "take"}
        assert stays.post(f"{server.base}/api/v1/acts", json=body).status_code == 200
        gone = requests.get(f"{server.base}/api/v1/me", cookies=leaves_again, timeout=300)
        assert gone.status_code == 401
    settings_for(tmp_path)  # the same passwords, hashed with other salt
    with serving(folder, "-c", str(config)) as server:
        assert stays.get(f"{server.base}/api/v1/me").status_code == 401


@pytest.mark.slow
def test_tokens_and_the_book_on_the_page(folder, tmp_path):
    with serving(folder) as server, browsing(server.printed) as desk:
        page = desk.go("/access")
        page.fill("input[name=name]", "ticket-system")
        page.fill("input[name=prefixes]", NORTH)
        page.click("text=Make token")
        token = page.locator("code.token").inner_text()
        assert re.fullmatch(r"p25_[\w-]{43}", token)
        assert server.get("/api/v1/alerts", None, **bearer(token)).json()["all"] == 1
        page.locator("section[aria-labelledby=audit] td >> text=made a token").wait_for()
        desk.keep("access")
        page.click("text=Revoke")
        page.click("dialog button.main")
        page.locator("text=No tokens were made").wait_for()
        assert server.get("/api/v1/me", None, **bearer(token)).status_code == 401
        assert desk.complaints == []
