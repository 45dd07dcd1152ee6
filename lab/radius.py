"""FreeRADIUS as a provider's accounting server, and radclient as its NAS.

What it is told to do for the sensor are the lines that docs/customers.md shows; the rest is as
little as it runs with. Both come from ``lab/install``, unpacked: Debian would start it.
"""

import os
import re
import subprocess
import time
from pathlib import Path

from lab import ROOT
from lab.network import Laboratory
from lab.waiting import wait_for

__all__ = [
    "NAS_SECRET", "SECRET", "UNPACKED", "FreeRadius", "Nas", "can_run", "environment",
    "program", "shown",
]  # fmt: skip

UNPACKED = ROOT / "build" / "address-servers"
"""Where ``lab/install`` puts FreeRADIUS and Kea."""
SECRET = "between-us"
NAS_SECRET = "of-the-nas"

MAIN = """
prefix = /usr
logdir = {folder}
raddbdir = {folder}
radacctdir = {folder}/radacct
run_dir = {folder}
name = freeradius
libdir = {unpacked}/usr/lib/freeradius
correct_escapes = true
proxy_requests = yes
log {{
    destination = stdout
}}
security {{
    allow_vulnerable_openssl = yes
}}
client nas {{
    ipaddr = 127.0.0.1
    secret = {secret}
}}
modules {{
    always ok {{
        rcode = ok
    }}
    $INCLUDE {folder}/mods-enabled/port25
}}
$INCLUDE {folder}/sites-enabled/port25
server default {{
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = 18131
    }}
    preacct {{
        ok
    }}
    accounting {{
        {accounting}
    }}
}}
"""


NAS = """
prefix = /usr
logdir = {folder}
raddbdir = {folder}
run_dir = {folder}
name = freeradius
libdir = {unpacked}/usr/lib/freeradius
correct_escapes = true
log {{
    destination = stdout
}}
security {{
    allow_vulnerable_openssl = yes
}}
client controller {{
    ipaddr = 127.0.0.1
    secret = {secret}
}}
modules {{
    always ok {{
        rcode = ok
    }}
    always reject {{
        rcode = reject
    }}
}}
{server}"""
"""One that takes requests of RFC 5176; it knows no session ``gone``."""


def program(name: str) -> Path | None:
    """The path of a program that was unpacked, or None."""
    found = [UNPACKED / folder / name for folder in ("usr/sbin", "usr/bin")]
    return next((path for path in found if path.exists()), None)


def environment() -> str:
    """What a program needs to find its libraries, for ``env``."""
    base = (
        "x86_64-linux-gnu" if os.uname().machine == "x86_64" else f"{os.uname().machine}-linux-gnu"
    )
    folders = (f"usr/lib/{base}", f"lib/{base}", "usr/lib/freeradius")
    return f"LD_LIBRARY_PATH={':'.join(str(UNPACKED / folder) for folder in folders)}"


def shown(name: str, page: str = "customers.md") -> str:
    """What a page of docs/ shows under a file's name."""
    text = (ROOT / "docs" / page).read_text()
    found = re.search(rf"`{re.escape(name)}`[^`]*:\n\n```\w*\n(.*?)```", text, re.DOTALL)
    assert found is not None, name
    return found[1]


class FreeRadius:
    """One that runs in a namespace, and passes copies on to a sensor there, port 1813."""

    def __init__(self, lab: Laboratory, where: str, folder: Path) -> None:
        self._lab, self._where, self._folder = lab, where, folder
        for name in ("radacct", "mods-enabled", "sites-enabled"):
            (folder / name).mkdir(parents=True)
        for name in ("mods-enabled", "sites-enabled"):
            lines = shown(f"/etc/freeradius/3.0/{name}/port25")
            (folder / name / "port25").write_text(
                lines.replace("192.0.2.25", "127.0.0.1").replace("a-secret-of-yours", SECRET)
            )
        accounting = shown("/etc/freeradius/3.0/sites-enabled/default").strip()
        text = MAIN.format(
            folder=folder, unpacked=UNPACKED, secret=NAS_SECRET, accounting=accounting
        )
        (folder / "radiusd.conf").write_text(text)
        self._words = ["env", environment(), str(program("freeradius"))]
        self._words += ["-d", str(folder), "-D", f"{UNPACKED}/usr/share/freeradius", "-f"]
        self.log = folder / "log"
        lab.start(where, *self._words, "-l", "stdout", "-x", log=self.log)
        wait_for(lambda: "Ready to process requests" in self.log.read_text(), 20, str(self.log))

    def send(
        self, at: str = "127.0.0.1:18131", secret: str = NAS_SECRET, **attributes: str
    ) -> bool:
        """An Accounting-Request, as a NAS sends it; whether it was answered."""
        values = {"NAS-Identifier": "bng1", "Event-Timestamp": f"{time.time():.0f}"}
        values |= {name.replace("_", "-"): value for name, value in attributes.items()}
        text = "\n".join(f"{name} = {value}" for name, value in values.items())
        words = ("-D", f"{UNPACKED}/usr/share/freeradius", "-r", "1", "-t", "1", "-q")
        done = self._lab.run(
            self._where, "env", environment(), str(program("radclient")), *words,
            at, "acct", secret, input=text, check=False,
        )  # fmt: skip
        return done.returncode == 0


class Nas:
    """FreeRADIUS as a NAS that is told to change sessions, on this machine's loopback."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        server = shown("/etc/freeradius/3.0/sites-enabled/coa", "blocking.md")
        server = server.replace("port = 3799", f"port = {port}")
        text = NAS.format(folder=folder, unpacked=UNPACKED, secret=NAS_SECRET, server=server)
        (folder / "radiusd.conf").write_text(text)
        self.log = folder / "log"
        words = ["env", environment(), str(program("freeradius")), "-d", str(folder)]
        words += ["-D", f"{UNPACKED}/usr/share/freeradius", "-f", "-l", "stdout", "-x", "-x"]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        wait_for(lambda: "Ready to process requests" in self.log.read_text(), 20, str(self.log))

    def heard(self) -> list[dict[str, str]]:
        """The requests it took: what they are (``kind``), and their attributes."""
        found: list[dict[str, str]] = []
        for line in self.log.read_text().splitlines():
            if kind := re.search(r"Received (CoA|Disconnect)-Request", line):
                found.append({"kind": kind[1]})
            elif found and (pair := re.match(r"\(\d+\)   ([A-Z][\w-]+) = (.*)$", line)):
                found[-1].setdefault(pair[1], pair[2].strip('"'))
        return found

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(300)


def can_run() -> bool:
    """Whether FreeRADIUS was unpacked, and starts here."""
    path = program("freeradius")
    if path is None:
        return False
    done = subprocess.run(["env", environment(), str(path), "-v"], capture_output=True, check=False)
    return done.returncode == 0
