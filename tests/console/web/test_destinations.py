"""Whose destinations are, and their names by a real name server; off by default."""

import socket
import subprocess
import time

import msgspec
import pytest

from lab.alerts import alert
from lab.browser import browsing
from lab.waiting import BUSY, wait_for
from lab.web import serving, settings_for
from sensor.alerts.alert import Destination
from sensor.base.name_server import resolver
from sensor.console.web.names import Names
from sensor.state.journal import Journal
from tests.conftest import needs

THERE = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]


@pytest.fixture
def folder(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    to = [Destination(one, None, 1_700_000_000) for one in THERE]
    Journal(state / "journal.sqlite").write([msgspec.structs.replace(alert(), destinations=to)])
    return state


@pytest.fixture
def name_server():
    """dnsmasq that knows one name, and that nobody has the others."""
    needs("dnsmasq")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "dnsmasq",
        "-k",
        "-C",
        "/dev/null",
        "-p",
        str(port),
        "-a",
        "127.0.0.1",
        "-z",
        "-R",
        "-h",
    ]
    command += ["--ptr-record=1.2.0.192.in-addr.arpa,mx.example", "--local=/arpa/"]
    with subprocess.Popen(command) as server:
        names = Names(f"127.0.0.1:{port}")
        try:
            wait_for(lambda: names._ask("192.0.2.1") == "mx.example", 10, "dnsmasq")
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.mark.xdist_group("browser")
def test_beside_destinations_stand_system_and_name(folder, tmp_path, name_server):
    (tmp_path / "as.csv").write_text('192.0.2.0/24,64500,"<b>Net</b>"\n')
    more = f'asn_table = "{tmp_path}/as.csv"\nptr = true\nresolver = "{name_server}"'
    with serving(folder, "-c", str(settings_for(tmp_path, more))) as server:
        (one,) = server.get("/api/v1/alerts").json()["alerts"]
        told = server.get(f"/api/v1/alerts/{one['id']}/destinations").json()
        assert [tuple(d.values()) for d in told["destinations"]] == [
            ("192.0.2.1", 64500, "<b>Net</b>", "mx.example"),
            ("192.0.2.2", 64500, "<b>Net</b>", ""), ("2001:db8::1", 0, "", ""),
        ]  # fmt: skip
        assert told["asked"] and told["fault"] == ""
        assert server.get(f"/api/v1/alerts/{'0' * 32}/destinations").status_code == 404
    needs("chromium")
    (tmp_path / "open.toml").write_text(f"[web]\n{more}\n")
    with serving(folder, "-c", str(tmp_path / "open.toml")) as server:
        with browsing(server.printed) as desk:
            page = desk.go(f"/alerts/{one['id']}")
            page.get_by_role("cell", name="AS64500 <b>Net</b>").first.wait_for()
            page.get_by_role("cell", name="mx.example").wait_for()
            desk.keep("destinations")
            assert desk.complaints == []
        (tmp_path / "as.csv").write_text("broken\n")
        told = server.get(
            f"/api/v1/alerts/{one['id']}/destinations", None, cookies=desk_cookies(server)
        ).json()
        assert "as.csv: line 1" in told["fault"] and len(told["destinations"]) == 3


def desk_cookies(server):
    import requests

    session = requests.Session()
    session.get(server.printed, timeout=300)
    return session.cookies


def test_by_default_nobody_is_asked(folder, tmp_path):
    with serving(folder, "-c", str(settings_for(tmp_path))) as server:
        (one,) = server.get("/api/v1/alerts").json()["alerts"]
        told = server.get(f"/api/v1/alerts/{one['id']}/destinations").json()
        assert not told["asked"] and all(d["asn"] == 0 for d in told["destinations"])


def test_a_name_server_that_does_not_answer_is_waited_for_a_moment_only():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        names = Names(f"127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        assert names.of("192.0.2.1", begun + 4) == ""
        assert time.monotonic() - begun < BUSY
        assert names.of("192.0.2.1", begun) == "" and names.of("192.0.2.2", begun) == ""
        assert time.monotonic() - begun < BUSY, "what was asked is kept, what is late is not asked"


def test_a_server_that_is_no_address_is_said():
    from sensor.base.name_server import NoResolverError

    with pytest.raises(NoResolverError, match="resolver: "):
        resolver("no address", 1)
