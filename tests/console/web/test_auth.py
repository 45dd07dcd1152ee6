"""Who comes in, and who does not."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from lab.waiting import wait_for
from lab.web import PASSWORDS, TOKENS, serving, settings_for
from sensor.base import access
from sensor.base.access import WebSettings
from sensor.console.web import credentials
from sensor.console.web.auth import AccessError, Logins, ThrottledError, listen_at
from sensor.console.web.keys import Keys
from sensor.settings import parse_settings
from tests.conftest import port25

USER = access.User("ann", "operator", "$argon2id$x")


def logged_in(server, role="operator") -> tuple[requests.Session, dict]:
    session = requests.Session()
    body = {"name": role, "password": PASSWORDS[role]}
    answer = session.post(f"{server.base}/api/v1/login", json=body)
    assert answer.status_code == 200
    return session, answer.json()


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (WebSettings(listen="0.0.0.0:8625"), "web.users is needed"),
        (WebSettings(listen="192.0.2.1:8625", users=(USER,)), "certificate"),
        (WebSettings(listen="[::]:8625", users=(USER,), certificate="/none"), "no such file"),
        (WebSettings(listen="127.0.0.1:99999"), "no port"),
        (WebSettings(trusted_proxies=("nonsense",)), "trusted_proxies"),
    ],
)
def test_it_does_not_listen_where_that_is_not_safe(settings, fault):
    with pytest.raises(AccessError, match=fault):
        listen_at(settings)


def test_where_it_is_safe():
    assert listen_at(WebSettings()) == ("127.0.0.1", 8625)
    assert listen_at(WebSettings(listen="[::1]:1")) == ("::1", 1)
    behind = WebSettings(listen="10.0.0.1:80", users=(USER,), trusted_proxies=("10.0.0.2",))
    assert listen_at(behind) == ("10.0.0.1", 80)


def test_the_command_says_what_is_missing(state):
    done = port25("web", "--state", str(state), "--listen", "0.0.0.0:0")
    assert done.returncode == 2 and b"web.users is needed" in done.stderr
    done = port25("web", "--state", str(state / "nowhere"))
    assert done.returncode == 1 and b"no journal" in done.stderr


def test_a_new_password_and_token_fit_the_settings():
    done = port25("web", "--new-password", input=b"correct horse battery\n", check=True)
    user = (
        f'[[web.users]]\nname = "ann"\nrole = "analyst"\npassword = "{done.stdout.decode()[:-1]}"'
    )
    users = parse_settings(user).web.users
    assert credentials.knows(users, "ann", "correct horse battery") == access.Person(
        "ann", "analyst"
    )
    assert (
        credentials.knows(users, "ann", "wrong")
        is credentials.knows(users, "bob", "correct")
        is None
    )
    assert port25("web", "--new-password", input=b"short\n").returncode == 2
    token, digest = (line.split()[1] for line in port25("web", "--new-token").stdout.splitlines())
    assert credentials.digest(token.decode()) == digest.decode()


def test_without_users_only_who_has_the_key_comes_in(state):
    with serving(state) as server:
        assert requests.get(f"{server.base}/api/v1/me").status_code == 401
        assert requests.get(f"{server.base}/?key=wrong").status_code == 403
        session = requests.Session()
        assert session.get(server.printed).url == f"{server.base}/"
        me = session.get(f"{server.base}/api/v1/me").json()
        assert me["role"] == "operator" and me["login"] is False


def test_other_names_are_refused(state):
    with serving(state) as server:  # as after DNS rebinding
        answer = requests.get(server.base, headers={"Host": "evil.example"})
        assert answer.status_code == 421 and "web.names" in answer.json()["detail"]
        for bad in ("[::1", "a]b", ""):
            assert requests.get(server.base, headers={"Host": bad}).status_code in (400, 421), bad


@pytest.mark.slow
def test_logging_in_and_out(server):
    assert requests.get(f"{server.base}/", allow_redirects=False).headers["Location"] == "/login"
    assert requests.get(f"{server.base}/login").status_code == 200
    session, me = logged_in(server, "analyst")
    assert (me["name"], me["role"]) == ("analyst", "analyst")
    cookie = next(iter(session.cookies))
    assert cookie.has_nonstandard_attr("HttpOnly") and not cookie.secure
    assert session.get(f"{server.base}/api/v1/me").json() == me
    stream = session.get(f"{server.base}/api/v1/stream", stream=True, timeout=300)
    session.post(f"{server.base}/api/v1/logout", headers={"X-CSRF-Token": me["csrf"]})
    assert stream.raw.read() is not None  # it ends as well
    session.cookies.set(cookie.name, cookie.value)
    assert session.get(f"{server.base}/api/v1/me").status_code == 401


def test_wrong_passwords_make_one_wait(server):
    body = {"name": "operator", "password": "guess"}
    begun = time.monotonic()
    answers = [requests.post(f"{server.base}/api/v1/login", json=body) for _ in range(6)]
    assert [a.status_code for a in answers] == [401] * 5 + [429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    right = {"name": "operator", "password": PASSWORDS["operator"]}
    tried = requests.post(f"{server.base}/api/v1/login", json=right)
    assert tried.status_code == 429 or time.monotonic() - begun > 1

    def let_in() -> bool:
        return requests.post(f"{server.base}/api/v1/login", json=right).status_code == 200

    wait_for(let_in, 5, "the end of the wait")


def test_guessing_many_at_a_time_does_not_help(server):
    def guess(k):
        body = {"name": "operator", "password": f"guess {k}"}
        return requests.post(f"{server.base}/api/v1/login", json=body).status_code

    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(guess, range(32)))
    assert codes.count(401) <= 7 and codes.count(429) >= 25


def test_requests_forged_by_other_pages_are_refused(server):
    session, me = logged_in(server)
    url, body = f"{server.base}/api/v1/releases", {"host": "203.0.113.10", "reason": "x"}
    ours = {"X-CSRF-Token": me["csrf"]}
    assert session.post(url, json=body).status_code == 403
    assert session.post(url, json=body, headers={"X-CSRF-Token": "guess"}).status_code == 403
    crossed = ours | {"Sec-Fetch-Site": "cross-site"}
    assert session.post(url, json=body, headers=crossed).status_code == 403
    assert session.post(url, json=body, headers=ours).status_code == 200


def test_a_wrong_token_is_nobody_even_with_a_cookie(server):
    session, _ = logged_in(server)
    wrong = {"Authorization": "Bearer p25_wrong"}
    assert session.get(f"{server.base}/api/v1/me", headers=wrong).status_code == 401


@pytest.mark.parametrize("path", ["/", "/login", "/api/v1/me", "/static/0/main.js", "/nothing"])
def test_every_answer_carries_the_policy(server, path):
    answer = server.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_over_tls_with_a_certificate(state, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=port25"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *files], check=True, capture_output=True)
    more = f'certificate = "{certificate}"\nkey = "{key}"'
    config = settings_for(tmp_path, more)
    with serving(state, "-c", str(config), "--listen", "0.0.0.0:0") as server:
        base = server.base.replace("0.0.0.0", "127.0.0.1")
        bearer = {"Authorization": f"Bearer {TOKENS['viewer']}"}
        answer = requests.get(f"{base}/api/v1/me", headers=bearer, verify=str(certificate))
        assert answer.status_code == 200
        assert "Strict-Transport-Security" in answer.headers
        body = {"name": "viewer", "password": PASSWORDS["viewer"]}
        cookie = requests.post(f"{base}/api/v1/login", json=body, verify=str(certificate)).headers[
            "Set-Cookie"
        ]
        assert cookie.startswith("__Host-port25=") and "Secure" in cookie


def test_behind_a_proxy_only_what_came_over_tls(state, tmp_path):
    config = settings_for(tmp_path, 'trusted_proxies = ["127.0.0.1"]\nnames = ["soc.example"]')
    with serving(state, "-c", str(config)) as server:
        host = {"Host": "soc.example"}
        assert server.get("/api/v1/me", headers=host).status_code == 403
        proxied = host | {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
        assert server.get("/api/v1/me", headers=proxied).status_code == 200


def test_the_tables_of_logins_have_ceilings(monkeypatch, tmp_path):
    from sensor.console.web import auth

    monkeypatch.setattr(auth, "_MOST_LOGINS", 3)
    logins = Logins(WebSettings(), Keys(tmp_path / "keys.sqlite"))
    secrets = [logins.admit_owner(access.Person(f"p{k}", "viewer")) for k in range(5)]
    assert [logins.find(one) is not None for one in secrets] == [False, False, True, True, True]
    assert ThrottledError(7).wait == 7
