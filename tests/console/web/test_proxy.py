"""Behind nginx, with the lines of docs/web.md as they stand."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from lab.alerts import alert
from lab.browser import browsing
from lab.mail_servers import certificate, program
from lab.waiting import wait_for
from lab.web import PASSWORDS, Server, serving, settings_for
from sensor.state.journal import Journal
from tests.conftest import ROOT, cannot, needs

pytestmark = pytest.mark.xdist_group("browser")
PORT = 8626


@contextlib.contextmanager
def nginx(server: Server, folder: Path) -> Iterator[str]:
    """Where it listens for browsers."""
    if (path := program("nginx")) is None:
        cannot("not installed (lab/install): nginx")
    (lines,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "web.md").read_text(), re.DOTALL)
    key, crt = certificate(folder)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; user root; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body;\n"
        f"proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n"
        f"uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n"
        f"server {{ listen 127.0.0.1:{PORT} ssl;\n"
        f"ssl_certificate {crt}; ssl_certificate_key {key};\n"
        + lines.replace("http://127.0.0.1:8625", server.base)
        + "} }\n"
    )
    words = [str(path), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(words) as process:
        try:
            base = f"https://localhost:{PORT}"
            wait_for(lambda: _answers(base, process), 20, "nginx")
            yield base
        finally:
            process.terminate()


def _answers(base: str, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "nginx ended"
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(base, verify=False, timeout=300).ok
    return False


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_log_in_see_and_act_behind_nginx(state, tmp_path):
    needs("chromium")
    config = settings_for(tmp_path, 'trusted_proxies = ["127.0.0.1"]\nnames = ["localhost"]')
    with (
        serving(state, "-c", str(config)) as server,
        nginx(server, tmp_path) as base,
        browsing(f"{base}/login", any_certificate=True) as browser,
    ):
        assert requests.get(server.base, timeout=300).status_code == 403, "without TLS"
        page = browser.page
        page.get_by_label("Name").fill("operator")
        page.get_by_label("Password").fill(PASSWORDS["operator"])
        page.get_by_role("button", name="Log in").click()
        page.locator(".strip[data-connected]").wait_for()
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["secure"]) == ("__Host-port25", True)
        new = alert("198.51.100.9", opened=10**9)
        Journal(state / "journal.sqlite").write([new])
        page.get_by_role("link", name=new.host, exact=True).click()  # the stream is not held back
        page.get_by_role("button", name="Done").click()
        page.get_by_label("Reason").fill("told the customer")
        page.get_by_role("dialog").get_by_role("button", name="Done").click()
        page.get_by_text("operator is done with it: told the customer").wait_for()
        assert browser.complaints == []
