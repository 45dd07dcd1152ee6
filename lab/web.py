"""A real server over a state folder, and somebody who asks it."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import requests

from lab import ROOT
from sensor.base import access
from sensor.console.web import credentials

TOKENS = {role: f"p25_{role}_of_the_tests" for role in access.ROLES}
PASSWORDS = {role: f"{role} and a long sentence" for role in access.ROLES}


class Server:
    """``port25 web`` in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]", printed: str) -> None:
        self._process = process
        self.pid = process.pid
        self.printed = printed
        self.base = printed.split("?")[0].rstrip("/")

    def stop(self) -> None:
        """As systemd does."""
        self._process.terminate()
        self._process.wait(200)

    def get(self, path: str, role: str | None = "viewer", **more) -> requests.Response:
        """As a program with a token."""
        headers = more.pop("headers", {})
        if role:
            headers = {"Authorization": f"Bearer {TOKENS[role]}", **headers}
        method = more.pop("method", "GET")
        more.setdefault("timeout", 60)
        return requests.request(method, self.base + path, headers=headers, **more)


def settings_for(folder: Path, more: str = "") -> Path:
    """A file with a user and a token for each role."""
    config = folder / "port25.toml"
    lines = ["[web]", more]
    for role in access.ROLES:
        secret = credentials.hashed(PASSWORDS[role])
        lines.append(f'[[web.users]]\nname = "{role}"\nrole = "{role}"\npassword = "{secret}"')
        digest = credentials.digest(TOKENS[role])
        lines.append(f'[[web.tokens]]\nname = "{role}-bot"\nrole = "{role}"\nsha256 = "{digest}"')
    config.write_text("\n".join(lines))
    return config


@contextlib.contextmanager
def serving(state: Path, *options: str) -> Iterator[Server]:
    """Serve until the block ends."""
    command = [sys.executable, "-m", "sensor", "web", "--state", str(state), *options]
    if "--listen" not in options:
        command += ["--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            printed = server.stdout.readline().strip()
            assert printed.startswith("http"), "the server did not start"
            yield Server(server, printed)
        finally:
            server.terminate()
            server.wait(200)
