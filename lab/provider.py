"""``make lab``: a small provider in network namespaces, its bots and mailers, and the alerts live.

Ctrl-C, SIGTERM or a closed terminal ends it, and nothing is left; else it ends after two minutes.
"""

import contextlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from lab import ROOT, mail_servers
from lab.network import Laboratory

SECONDS = 120


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    ended = contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired)
    with ended, tempfile.TemporaryDirectory() as made, Laboratory() as lab:
        folder = Path(made)
        folder.chmod(0o755)
        print("The internet: Postfix at every address of 198.18.0.0/16, nobody at 198.19.0.0/16.")
        mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
        others = {"203.0.113.2": ("mailer", "1"), "203.0.113.3": ("syns", "5")}
        print("Subscribers: 203.0.113.1 is a bot, .2 a new mail server, .3 scans.\n")
        for address, (kind, rate) in {"203.0.113.1": ("bot", "3"), **others}.items():
            if address in others:
                lab.address(lab.inside, address)
            words = (sys.executable, "-m", "lab.subscribers", kind, "1000000", rate, address)
            lab.start(lab.inside, *words, log=folder / kind, cwd=ROOT)
        command = ["ip", "netns", "exec", lab.watch, sys.executable, "-m", "sensor", "live"]
        command += ["-i", "mirror0", "--state", str(folder / "state")]
        subprocess.run(command, cwd=ROOT, timeout=SECONDS, check=False)


if __name__ == "__main__":
    main()
