"""The sensor itself, run live in the laboratory."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab import ROOT
from lab.network import Laboratory
from lab.waiting import wait_for

__all__ = ["Sensor"]


class Sensor:
    """``port25 live`` on one interface, its folder, and what it says."""

    def __init__(
        self, lab: Laboratory, folder: Path, settings: str = "", *words: str, where: str = ""
    ) -> None:
        self.lab, self.folder = lab, folder
        self.where = where or lab.watch
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.config = folder / "port25.toml"
        self.state = folder / "state"
        self.words = words
        self.program: list[str] = [sys.executable, "-m", "sensor"]
        self.environment: dict[str, str] = {}
        self.configure(settings)
        self.process: subprocess.Popen[bytes] | None = None
        self._runs = 0

    def configure(self, settings: str) -> None:
        self.config.write_text(settings)

    def start(self, stdout: int | None = None) -> "Sensor":
        """Start, and wait until it says that it is ready (as to systemd).

        Its standard output goes to the descriptor ``stdout``, else to a file.
        """
        self._runs += 1
        self.heard: list[str] = []
        self.out = self.folder / f"out-{self._runs}"
        self.err = self.folder / f"err-{self._runs}"
        told = str(self.folder / f"notify-{self._runs}")
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(told)
        Path(told).chmod(0o777)
        self._notify.setblocking(False)
        interface = () if "-i" in self.words else ("-i", "mirror0")
        command = [
            "ip", "netns", "exec", self.where, *self.program, "live",
            *interface, "-c", str(self.config), "--state", str(self.state), *self.words,
        ]  # fmt: skip
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdout=out if stdout is None else stdout,
                stderr=err,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                start_new_session=True,
                env=os.environ
                | {"NOTIFY_SOCKET": told, "WATCHDOG_USEC": "1000000"}
                | self.environment,
            )
        self.lab.adopt(self.process)
        wait_for(lambda: self.said("READY=1"), 150, f"the sensor: {self.err.read_text()}")
        return self

    def said(self, what: str) -> bool:
        """Whether the supervisor was told ``what``, ever."""
        assert self.process is not None
        assert self.process.poll() is None, self.err.read_text()
        try:
            while True:
                self.heard += self._notify.recv(4096).decode().splitlines()
        except BlockingIOError:
            return what in self.heard

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Stop it; the exit code."""
        assert self.process is not None
        return self.lab.stop(self.process, how)

    def lines(self) -> list[dict[str, Any]]:
        """What it printed, in all its runs so far."""
        texts = [self.folder / f"out-{n + 1}" for n in range(self._runs)]
        return [
            json.loads(line)
            for text in texts
            for line in text.read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]

    def alerts(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["schema"] == "port25.alert/1"]

    def notices(self, kind: str) -> list[str]:
        return [line["text"] for line in self.lines() if line.get("kind") == kind]

    def metrics(self) -> dict[str, float]:
        """What Prometheus would read."""
        page = (
            "import urllib.request as r;"
            "print(r.urlopen('http://127.0.0.1:9625/metrics').read().decode())"
        )
        text = self.lab.run(self.where, sys.executable, "-c", page).stdout
        pairs = [line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#"]
        return {name: float(value) for name, value in pairs}
