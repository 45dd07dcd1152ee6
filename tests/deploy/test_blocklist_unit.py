"""The unit of the block list by HTTP: its own line, run as systemd would, gives the list."""

import hashlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

from lab.waiting import wait_for
from tests.blocking.test_commands import state
from tests.blocking.test_http import free_port
from tests.conftest import ROOT

__all__ = ["state"]

TOKEN = "a-token-of-an-appliance"


def test_its_line_gives_the_list_from_its_state_folder_and_says_when_it_is_ready(state, tmp_path):
    unit = (ROOT / "deploy" / "systemd" / "port25-blocklist.service").read_text()
    line = re.search(r"(?m)^ExecStart=/opt/port25/bin/port25 (.+)$", unit)[1]
    assert "StateDirectory=port25\n" in unit and "Type=notify" in unit
    port = free_port()
    config = tmp_path / "port25.toml"
    hashed = hashlib.sha256(TOKEN.encode()).hexdigest()
    config.write_text(f'[blocking.http]\nlisten = "127.0.0.1:{port}"\ntokens = ["{hashed}"]\n')
    words = shlex.split(line.replace("/etc/port25/port25.toml", str(config)))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        running = subprocess.Popen(
            [sys.executable, "-m", "sensor", *words],
            cwd=ROOT,
            env=os.environ
            | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "STATE_DIRECTORY": str(state)},
        )
        try:
            assert systemd.recv(100) == b"READY=1"
            asked = urllib.request.Request(f"http://127.0.0.1:{port}/blocklist.txt")
            wait_for(lambda: _status(asked) == 401, 20, "the server")
            asked.add_header("Authorization", f"Bearer {TOKEN}")
            with urllib.request.urlopen(asked, timeout=300) as answer:
                assert answer.read().decode().split()[0] == "203.0.113.7"
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(200) == 0


def _status(asked: urllib.request.Request) -> int:
    try:
        urllib.request.urlopen(asked, timeout=300).close()
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
    return 200


def test_the_package_starts_and_stops_every_unit():
    units = {path.name for path in (ROOT / "deploy" / "systemd").glob("*.service")}
    for script in ("postinst", "prerm", "postrm"):
        text = (ROOT / "deploy" / "debian" / script).read_text()
        assert units <= set(re.findall(r"port25[\w-]*\.service", text)), script
