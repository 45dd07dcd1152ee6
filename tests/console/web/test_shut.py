"""``port25 web`` started by root, from an installation that is shut to whom it becomes."""

import os
import subprocess
import sys
import threading

import pytest

from lab.late import shut
from lab.web import PASSWORDS, Server, settings_for
from sensor.console.web.api import OPERATIONS
from sensor.console.web.packets import DissectionError, dissected
from tests.conftest import PCAPS, ROOT, cannot


@pytest.mark.parametrize("where", ["open", "shut"])
def test_nothing_is_read_of_the_installation_once_root_is_another(folder, replayed, where, tshark):
    if os.geteuid() != 0:
        cannot("needs root, to become another")
    state = folder / "state"
    subprocess.run(["cp", "-r", str(replayed), str(state)], check=True)
    subprocess.run(["chown", "-R", "nobody", str(state)], check=True)
    log = folder / "late"
    program = [sys.executable, "-m", "lab.late", str(log)]
    command = shut(folder) if where == "shut" else program
    command += ["web", "--state", str(state), "--listen", "127.0.0.1:0"]
    command += ["-c", str(settings_for(folder))]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            printed = process.stdout.readline().strip()
            assert printed.startswith("http"), process.stderr.read()
            server = Server(process, printed)
            visit(server)
            server.stop()
        finally:
            process.kill()
        said = process.stderr.read()
    assert "Traceback" not in said, said
    late = log.read_text().splitlines()
    assert not late, "\n".join(late)


def visit(server: Server) -> None:
    """Everything there is to ask for."""
    assert "<html" in server.get("/", None).text
    body = {"name": "admin", "password": PASSWORDS.get("admin", "wrong")}
    server.get("/api/v1/login", None, method="POST", json=body)
    id_ = server.get("/api/v1/alerts").json()["alerts"][0]["id"]
    for one in OPERATIONS:
        if one.method == "GET":
            path = one.path.replace("{id}", id_)
            answer = server.get(f"{path}?host=203.0.113.10" if "host" in path else path, "operator")
            assert answer.status_code < 500 or "usage" in answer.text, (path, answer.text)
    page = server.get(f"/api/v1/alerts/{id_}/packets?limit=30", "analyst").json()
    assert page["packets"] and page["unreadable"] == 0
    assert server.get(f"/api/v1/alerts/{id_}/evidence.pcapng", "analyst").content[:4] == b"\n\r\r\n"
    assert server.get("/api/v1/nothing").status_code == 404
    with server.get("/api/v1/stream", stream=True) as stream:
        assert stream.status_code == 200


def test_a_packet_that_cannot_be_read_says_why_and_the_others_are_shown(tmp_path, tshark):
    """A file cut off in its last packet: tshark ends with a fault, after all the others."""
    whole = (PCAPS / "home_user.pcap").read_bytes()
    found = dissected(PCAPS / "home_user.pcap", 0, 500)
    assert not found.unreadable
    (tmp_path / "cut.pcap").write_bytes(whole[:-3])
    cut = dissected(tmp_path / "cut.pcap", 0, 500)
    assert len(cut.packets) == len(found.packets)
    assert cut.packets[:-1] == found.packets[:-1]
    assert cut.unreadable == 1
    assert cut.packets[-1].info.startswith("cannot be shown: tshark: ")
    assert "cut short" in cut.packets[-1].info


@pytest.mark.parametrize("content", [b"", b"no capture at all", b"\xd4\xc3\xb2\xa1" + bytes(20)])
def test_what_is_no_capture_is_a_fault_or_nothing(tmp_path, tshark, content):
    (tmp_path / "x.pcap").write_bytes(content)
    try:
        assert dissected(tmp_path / "x.pcap", 0, 10).packets == []
    except DissectionError as error:
        assert str(error).startswith("tshark: ")


def test_two_ask_at_a_time_and_each_gets_its_own(tshark):
    found: dict[int, list[int]] = {}

    def ask(after: int) -> None:
        answer = dissected(PCAPS / "home_user.pcap", after, 3)
        found[after] = [one.number for one in answer.packets]

    threads = [threading.Thread(target=ask, args=(after,)) for after in (0, 2, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {after: list(range(after + 1, after + 4)) for after in (0, 2, 4)}
