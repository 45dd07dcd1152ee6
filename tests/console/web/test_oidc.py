"""Logging in at an identity provider: groups become roles, and what is forged is refused."""

import re

import pytest
import requests
from playwright.sync_api import expect

from lab.browser import browsing
from lab.identity import SECRET, providing
from lab.web import serving
from sensor.base.access import OidcGroup, OidcSettings, WebSettings
from sensor.console.web.auth import AccessError, listen_at
from sensor.state.audit import Audit
from tests.console.web.test_reach import NORTH, filled


@pytest.fixture(scope="module")
def issuer():
    with providing() as one:
        yield one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("oidc") / "state")


def settings(folder, issuer, group="abuse-desk", role="operator", more=""):
    (folder.parent / "secret").write_text(SECRET + "\n")
    config = folder.parent / "port25.toml"
    config.write_text(
        f'[web.oidc]\nissuer = "{issuer}"\nclient_id = "port25"\n'
        f'client_secret_file = "{folder.parent / "secret"}"\n{more}\n'
        f'[[web.oidc.groups]]\ngroup = "{group}"\nrole = "{role}"\nprefixes = ["{NORTH}"]\n'
        '[[web.oidc.groups]]\ngroup = "staff-of-others"\nrole = "viewer"\n'
    )
    return config


@pytest.fixture(scope="module")
def server(folder, issuer):
    with serving(folder, "-c", str(settings(folder, issuer))) as one:
        yield one


def log_in(server, session=None):
    """As a browser does; where it was led to in the end."""
    session = session or requests.Session()
    answer = session.get(f"{server.base}/login/oidc", timeout=300)
    return session, answer


def test_groups_become_roles_and_reaches(server, folder):
    assert requests.get(f"{server.base}/api/v1/login").json() == {
        "login": True, "password": False, "oidc": True,
    }  # fmt: skip
    session, answer = log_in(server)
    assert answer.url == f"{server.base}/" and answer.status_code == 200
    me = session.get(f"{server.base}/api/v1/me").json()
    assert (me["name"], me["role"], me["prefixes"]) == ("ann", "operator", [NORTH])
    assert session.get(f"{server.base}/api/v1/alerts").json()["all"] == 1
    last = Audit(folder / "audit.sqlite", read_only=True).page(1)[0]
    assert (last.by, last.act) == ("ann", "login")
    assert SECRET.encode() not in b"".join(f.read_bytes() for f in folder.glob("*"))


LIES = {
    "aud=other-program": "audience",
    "iss=http://127.0.0.1:1": "issuer",
    "exp=-600": "expired",
    "iat=86400": "expired",
    "nonce=of-another-login": "nonce",
    "key=other": "signature",
    "alg=none": "signature",
    "alg=HS256": "signature",
    "token=none": "token",
    "groups=nobody": "group",
    "preferred_username=a b": "name",
}


@pytest.mark.parametrize("lie", LIES)
def test_forged_tokens_are_refused_and_counted(server, folder, issuer, lie):
    reason = LIES[lie]
    requests.get(f"{issuer}/lie?{lie}", timeout=300)
    session, answer = log_in(server)
    assert answer.url == f"{server.base}/login?refused={reason}"
    assert session.get(f"{server.base}/api/v1/me").status_code == 401
    honest, _ = log_in(server)
    assert honest.get(f"{server.base}/api/v1/me").status_code == 200


def test_a_login_of_another_browser_or_another_time_is_refused(server):
    victim, thief = requests.Session(), requests.Session()
    off = thief.get(f"{server.base}/login/oidc", allow_redirects=False).headers["Location"]
    back = requests.get(off, allow_redirects=False).headers["Location"]
    answer = victim.get(back, allow_redirects=False)  # login CSRF: the thief's code
    assert answer.headers["Location"] == "/login?refused=state"
    again = thief.get(back, allow_redirects=False)
    assert again.headers["Location"] == "/login?refused=state", "a state counts once"
    made_up = thief.get(f"{server.base}/login/callback?code=x&state=y", allow_redirects=False)
    assert made_up.headers["Location"] == "/login?refused=state"
    off = thief.get(f"{server.base}/login/oidc", allow_redirects=False).headers["Location"]
    state = re.search(r"state=([\w-]+)", off)[1]
    for more, reason in (("code=guessed", "provider"), ("error=access_denied", "state")):
        url = f"{server.base}/login/callback?{more}&state={state}"
        assert thief.get(url, allow_redirects=False).headers["Location"].endswith(reason)


@pytest.mark.slow
def test_what_was_refused_is_on_the_health_page(folder, issuer, tmp_path):
    config = settings(folder, issuer, "abuse-desk", "viewer")
    config.write_text(config.read_text().replace(f'prefixes = ["{NORTH}"]', ""))
    with serving(folder, "-c", str(config)) as server:
        requests.get(f"{issuer}/lie?nonce=x", timeout=300)
        log_in(server)
        session, _ = log_in(server)
        assert session.get(f"{server.base}/api/v1/health").json()["logins_refused"] == {"nonce": 1}
        assert session.get(f"{server.base}/api/v1/me").json()["role"] == "viewer"
    with serving(folder, "-c", str(config)) as server:  # it outlives a restart
        assert session.get(f"{server.base}/api/v1/me").status_code == 200
    settings(folder, issuer)  # another role: whoever came in by the other must do so again
    with serving(folder, "-c", str(config)) as server:
        assert session.get(f"{server.base}/api/v1/me").status_code == 401


def test_a_provider_that_is_away_is_a_reason(folder, tmp_path):
    config = settings(folder, "http://127.0.0.1:9")
    with serving(folder, "-c", str(config)) as server:
        _, answer = log_in(server)
        assert answer.url.endswith("/login?refused=provider")


@pytest.mark.slow
def test_in_a_browser(server, issuer):
    with browsing(server.base) as desk:
        page = desk.page
        page.click("text=Log in with your organisation")
        page.wait_for_selector("h1 >> text=Alerts")
        expect(page.locator(".who")).to_contain_text("ann (operator, 198.51.100.0/24)")
        expect(page.locator("nav a[href='/health']")).to_have_count(0)
        page.click("text=Log out")
        page.wait_for_selector("text=Log in with your organisation")
        page.goto(f"{desk.base}/login?refused=audience")
        page.locator("text=refused (audience)").wait_for()
        desk.keep("login-oidc")
        assert [one for one in desk.complaints if "401" not in one] == []


GROUPS = (OidcGroup("x", "viewer"),)


@pytest.mark.parametrize(("fields", "fault"), [
    ({"issuer": "https://idp.example", "client_id": "x"}, "groups"),
    ({"issuer": "https://idp.example", "groups": GROUPS}, "client_id"),
    ({"issuer": "http://idp.example", "client_id": "x", "groups": GROUPS}, "only https"),
    ({"issuer": "https://idp.example", "client_id": "x", "groups": GROUPS, "ca_file": "/none"},
     "no such file"),
    ({"groups": (OidcGroup("x", "viewer", ("north",)),)}, "no prefix"),
])  # fmt: skip
def test_what_settings_cannot_be(fields, fault):
    with pytest.raises(AccessError, match=fault):
        listen_at(WebSettings(oidc=OidcSettings(**fields)))
