"""Hosts of our own on this machine: network namespaces, and what runs in them.

A :class:`Laboratory` is a small provider: subscribers, their router, the internet, and a mirror
port (SPAN) of the router, where the sensor listens.

    inside up0 --- acc0 router core0 --- down0 outside
                          span0 --- mirror0 watch

Cables are veth pairs, made to carry what real ones do: no unfilled checksums, no giant segments.
Needs root, iproute2, ethtool and nftables.
"""

import itertools
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType

from lab.waiting import wait_for

__all__ = ["Laboratory"]

_UNREACHABLE = """
table ip unreachable {
  set told { type ipv4_addr; flags dynamic; size 65535; timeout 1m; }
  chain forward {
    type filter hook forward priority 0;
    ip daddr 198.19.0.0/17 update @told { ip saddr limit rate 1/second burst 5 packets } \\
      reject with icmp host-unreachable
    ip daddr 198.19.0.0/17 drop
  }
}
"""
"""What Linux tells of a network it has no route to: each host five times, then once a second. By
its own count some are missing at times on a busy machine (route.error_burst; why is not known)."""
_NUMBERS = itertools.count(os.getpid() % 10_000 * 10)


class Laboratory:
    """The namespaces and cables; leaving it ends all that runs in them."""

    def __init__(self) -> None:
        number = next(_NUMBERS)
        self.inside, self.router, self.outside, self.watch = self._spaces = [
            f"p25{name}{number}" for name in ("inside", "router", "outside", "watch")
        ]
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Laboratory":
        for space in self._spaces:
            (resolver := Path("/etc/netns") / space).mkdir(parents=True)
            (resolver / "resolv.conf").write_text("nameserver 127.0.0.1\noptions attempts:1\n")
            self._ip("netns", "add", space)
            self._ip("-n", space, "link", "set", "lo", "up")
        self.cable(self.router, "acc0", self.inside, "up0")
        self.cable(self.router, "core0", self.outside, "down0")
        self.cable(self.router, "span0", self.watch, "mirror0")
        for space, link, address in (
            (self.inside, "up0", "203.0.113.1/24"),
            (self.router, "acc0", "203.0.113.254/24"),
            (self.router, "core0", "198.51.100.254/24"),
            (self.outside, "down0", "198.51.100.1/24"),
        ):
            self._ip("-n", space, "address", "add", address, "dev", link)
        for space, gateway in (
            (self.inside, "203.0.113.254"),
            (self.router, "198.51.100.1"),
            (self.outside, "198.51.100.254"),
        ):
            self._ip("-n", space, "route", "add", "default", "via", gateway)
        # The internet: a network in which every address answers, and two in which none does.
        self._ip("-n", self.outside, "route", "add", "local", "198.18.0.0/16", "dev", "lo")
        self._ip("-n", self.outside, "route", "add", "blackhole", "198.19.128.0/17")
        for space in (self.router, self.outside):
            self.run(space, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0")
        self.run(self.outside, "nft", "-f", "-", input=_UNREACHABLE)
        # What the router has forwarded, either way. (Received packets would keep their sender's own
        # time stamps, which no cable carries.)
        for link in ("acc0", "core0"):
            self.run(self.router, "tc", "qdisc", "add", "dev", link, "clsact")
            self.mirror(link, "span0")
        return self

    def mirror(self, link: str, to: str) -> None:
        """Copy what the router sends over ``link`` to another of its links."""
        everything = ("protocol", "all", "u32", "match", "u32", "0", "0")
        mirrored = ("action", "mirred", "egress", "mirror", "dev", to)
        where = ("dev", link, "egress")
        self.run(self.router, "tc", "filter", "add", *where, *everything, *mirrored)

    def cable(self, space: str, link: str, other_space: str, other: str) -> None:
        """A cable between two namespaces."""
        self._ip(
            "-n", space, "link", "add", link, "type", "veth",
            "peer", "name", other, "netns", other_space,
        )  # fmt: skip
        for where, name in ((space, link), (other_space, other)):
            self._ip("-n", where, "link", "set", name, "up")
        self.offload(False, (space, link), (other_space, other))

    def offload(self, on: bool, *links: tuple[str, str]) -> None:
        """Whether links, by namespace and name, may carry what only a machine's inside does."""
        for where, name in links:
            for feature in ("tx", "tso", "gso", "gro"):
                self.run(where, "ethtool", "-K", name, feature, "on" if on else "off")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_all()
        for space in self._spaces:
            self._ip("netns", "delete", space)
            shutil.rmtree(Path("/etc/netns") / space)

    def stop_all(self) -> None:
        """End all that runs."""
        for process in reversed(self._processes):
            self.stop(process)

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def _link(self, where: str) -> str:
        links = {self.inside: "up0", self.outside: "down0", self.watch: "mirror0"}
        return (links | {self.router: "span0"})[where]

    def address(self, where: str, address: str) -> None:
        """One more address in a namespace."""
        link = self._link(where)
        self._ip("-n", where, "address", "add", f"{address}/32", "dev", link)

    def run(self, where: str, *words: str, **options) -> subprocess.CompletedProcess[str]:
        """A program in a namespace, to its end."""
        command = ["ip", "netns", "exec", where, *words]
        options = {"check": True, "capture_output": True, "text": True, "timeout": 600} | options
        return subprocess.run(command, **options)

    def start(
        self, where: str, *words: str, log: Path, cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """A program in a namespace that runs until the laboratory closes."""
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["ip", "netns", "exec", where, *words],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        """A process started elsewhere ends with the laboratory, too."""
        self._processes.append(process)

    def stop(self, process: subprocess.Popen[bytes], how: int = signal.SIGTERM) -> int:
        """End a program and all that it started; its exit code."""
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        return process.wait()

    def end_capture(self, process: subprocess.Popen[bytes], path: Path) -> None:
        """Stop tcpdump when it has written all; AssertionError where it was not given all."""

        def written() -> bool:  # else what its ring holds is lost, and not called dropped
            process.send_signal(signal.SIGUSR1)
            told = re.findall(r"(\d+) packets? captured, (\d+) packets? received", log.read_text())
            return bool(told) and told[-1][0] == told[-1][1]

        log = path.with_suffix(".log")
        wait_for(written, why="tcpdump to write all")
        self.stop(process)
        said = log.read_text()
        assert "\n0 packets dropped by kernel" in said, said

    def capture(self, where: str, path: Path, *words: str) -> subprocess.Popen[bytes]:
        """tcpdump on the cable, writing to ``path`` until stopped."""
        link = self._link(where)
        log = path.with_suffix(".log")
        # A busy disk keeps it for seconds: they fit into 64 MiB.
        to_file = ("-U", "-B", "65536", "-s", "0", "-Z", "root", "-w", str(path))
        process = self.start(where, "tcpdump", "-i", link, *to_file, *words, log=log)
        wait_for(lambda: b"listening" in log.read_bytes(), why="tcpdump")
        return process
