"""The manners of a service, before a real socket, real signals and the real kernel."""

import os
import signal
import socket
from pathlib import Path

import pytest

from sensor.service import systemd
from tests.conftest import cannot


@pytest.mark.parametrize("abstract", [False, True])
def test_the_supervisor_is_told(tmp_path, monkeypatch, abstract):
    place = f"@port25-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + place[1:] if abstract else place)
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        systemd.notify("READY=1")
        sock.settimeout(5)
        assert sock.recv(100) == b"READY=1"


def test_no_supervisor_and_one_that_is_gone_are_no_matter(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify("READY=1")


def test_one_that_does_not_read_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        for _ in range(5000):
            systemd.notify("WATCHDOG=1")


@pytest.mark.parametrize(
    ("limit", "seconds"), [("1000000", 0.5), ("30000000", 15.0), (None, None), ("soon", None)]
)
def test_the_watchdog_is_fed_twice_in_its_limit(monkeypatch, limit, seconds):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    if limit is not None:
        monkeypatch.setenv("WATCHDOG_USEC", limit)
    assert systemd.watchdog_seconds() == seconds


def test_signals_only_end_up_in_a_set():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        got = systemd.collect_signals()
        for number in numbers:
            assert number not in got
            os.kill(os.getpid(), number)
            assert number in got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_default_account_may_be_missing_another_may_not():
    assert systemd.account(systemd.DEFAULT_USER).pw_name in (systemd.DEFAULT_USER, "nobody")
    assert systemd.account("nobody").pw_name == "nobody"
    with pytest.raises(LookupError, match="there is no user 'nobody-of-this-name' to become"):
        systemd.account("nobody-of-this-name")


def test_nothing_is_left_of_root_and_what_is_open_stays_open(tmp_path):
    if os.geteuid() != 0:
        cannot("needs root, to give it up")
    shut = tmp_path / "shut"
    shut.write_text("opened before")
    shut.chmod(0o600)
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with shut.open() as opened:
                systemd.drop_privileges("nobody")
                status = Path("/proc/self/status").read_text()
                try:
                    shut.read_text()
                    status += "Read:\tagain\n"
                except PermissionError:
                    status += f"Read:\t{opened.read()}\n"
            os.write(send, status.encode())
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive) as pipe:
        lines = dict(line.split(":\t", 1) for line in pipe.read().splitlines() if ":\t" in line)
    os.waitpid(pid, 0)
    nobody = systemd.account("nobody")
    assert lines["Uid"].split() == [str(nobody.pw_uid)] * 4
    assert lines["Gid"].split() == [str(nobody.pw_gid)] * 4
    assert lines["Groups"].split() == []
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(lines[kind], 16) == 0
    assert lines["NoNewPrivs"] == "1"
    assert lines["Read"] == "opened before"
