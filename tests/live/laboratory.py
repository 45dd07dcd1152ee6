"""Hosts of our own on this machine: network namespaces, and what runs in them.

A :class:`Laboratory` has a namespace of subscribers and one of the internet, joined by a cable (a
veth pair) whose checksums and segments are those of a real one. Needs root and iproute2.
"""

import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

__all__ = ["Laboratory", "wait_for"]

_NUMBERS = itertools.count(os.getpid() % 10_000 * 10)


def wait_for(what: Callable[[], object], seconds: float = 20, why: str = "") -> None:
    """Until ``what`` is true; AssertionError when it never was."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"waited {seconds} s for {why or what}"
        time.sleep(0.05)


class Laboratory:
    """Two namespaces and the cable between them; leaving it ends all that runs in them."""

    SUBSCRIBERS = "203.0.113.1/24"
    INTERNET = "198.51.100.1/24"

    def __init__(self) -> None:
        number = next(_NUMBERS)
        self.inside, self.outside = f"p25in{number}", f"p25out{number}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Laboratory":
        for name in (self.inside, self.outside):
            (resolver := Path("/etc/netns") / name).mkdir(parents=True)
            (resolver / "resolv.conf").write_text("nameserver 127.0.0.1\noptions attempts:1\n")
            self._ip("netns", "add", name)
            self._ip("-n", name, "link", "set", "lo", "up")
        self._ip(
            "-n", self.inside, "link", "add", "up0", "type", "veth",
            "peer", "name", "down0", "netns", self.outside,
        )  # fmt: skip
        for name, link, address in (
            (self.inside, "up0", self.SUBSCRIBERS),
            (self.outside, "down0", self.INTERNET),
        ):
            self._ip("-n", name, "address", "add", address, "dev", link)
            self._ip("-n", name, "link", "set", link, "up")
            self._ip("-n", name, "route", "add", "default", "dev", link)
            # Large segments and unfilled checksums are what no cable carries.
            for feature in ("tx", "tso", "gso", "gro"):
                self.run(name, "ethtool", "-K", link, feature, "off")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in reversed(self._processes):
            self.stop(process)
        for name in (self.inside, self.outside):
            self._ip("netns", "delete", name)
            shutil.rmtree(Path("/etc/netns") / name)

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def address(self, where: str, address: str) -> None:
        """One more address in a namespace."""
        link = "up0" if where == self.inside else "down0"
        self._ip("-n", where, "address", "add", f"{address}/32", "dev", link)

    def run(self, where: str, *words: str, **options) -> subprocess.CompletedProcess[str]:
        """A program in a namespace, to its end."""
        command = ["ip", "netns", "exec", where, *words]
        options = {"check": True, "capture_output": True, "text": True, "timeout": 60} | options
        return subprocess.run(command, **options)

    def start(self, where: str, *words: str, log: Path) -> subprocess.Popen[bytes]:
        """A program in a namespace that runs until the laboratory closes."""
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["ip", "netns", "exec", where, *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes], how: int = signal.SIGTERM) -> int:
        """End a program and all that it started; its exit code."""
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        return process.wait()

    def capture(self, where: str, path: Path, *words: str) -> subprocess.Popen[bytes]:
        """tcpdump on the cable, writing to ``path`` until stopped."""
        link = "up0" if where == self.inside else "down0"
        log = path.with_suffix(".log")
        to_file = ("-U", "-s", "0", "-Z", "root", "-w", str(path))
        process = self.start(where, "tcpdump", "-i", link, *to_file, *words, log=log)
        wait_for(lambda: b"listening" in log.read_bytes(), why="tcpdump")
        return process
