"""What systemd is told, before a real socket."""

import os
import socket

import pytest

from sensor.service import systemd


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


def test_the_watchdog_is_fed_when_it_is_due_and_not_before(monkeypatch):
    fed = []
    monkeypatch.setattr(systemd, "notify", fed.append)
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    watchdog = systemd.Watchdog(100.0)
    for now in (100.0, 101.9, 102.0, 103.0, 104.5):
        watchdog.feed(now)
    assert fed == ["WATCHDOG=1"] * 3
    monkeypatch.delenv("WATCHDOG_USEC")
    systemd.Watchdog(0.0).feed(1e9)
    assert len(fed) == 3, "nobody asked for it"
