"""The process that tells has given up its privileges by then, and reads nothing of root's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lab.alerts import alert
from lab.mail_servers import program
from lab.waiting import wait_for
from sensor.sinks.outbox import Outbox
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.conftest import ROOT, cannot
from tests.notify.test_notify import (
    DRY,
    HERE,
    Hook,
    hook,
    needs_apprise,
    postfix_that_keeps,
    signed_for_here,
)

SETTINGS = """
[[notify.webhook]]
name = "hook"
url = "{url}"
secret_file = "{folder}/secret"
zone = "Asia/Tokyo"

[[notify.chat]]
name = "pager"
url_file = "{folder}/url"
group_wait = 0

[[notify.mail]]
name = "desk"
server = "{here}:587"
sender = "port25@isp.example"
to = ["alice@receiver.example", "nosuch@receiver.example"]
authority = "{folder}/here.crt"
"""


def test_as_nobody_with_roots_secrets(folder):
    needs_apprise()
    if program("postfix") is None or os.geteuid() != 0:
        cannot("postfix is not installed, or this is not root")
    key, crt = signed_for_here(folder)
    state = folder / "state"
    state.mkdir()
    files = StateFolder(state)
    Journal(files.journal).write([alert("203.0.113.1")])
    for path in (state, *state.iterdir()):
        shutil.chown(path, "nobody", "nogroup")
    config, log = folder / "port25.toml", folder / "log"
    with hook() as url, postfix_that_keeps(folder / "postfix", key, crt) as spool:
        url = url.replace("127.0.0.1", "localhost")
        config.write_text(SETTINGS.format(url=url, folder=folder, here=HERE))
        (folder / "secret").write_text("a secret\n")
        (folder / "url").write_text(f"mmost://{url[7:].rstrip('/')}/secretsecret\n")
        for name in ("secret", "url", "here.crt"):
            (folder / name).chmod(0o600)
        command = [sys.executable, "-m", "sensor.service.deliverer", state, "-c", config]
        with (
            log.open("w") as out,
            subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out) as deliverer,
        ):
            try:
                names = ["notify/desk", "notify/hook", "notify/pager"]
                wait_for(lambda: files.outbox.exists(), 60, "the deliverer")
                wait_for(lambda: Outbox(files.outbox).sinks() == names, 60, str(names))
                Journal(files.journal).write([alert("203.0.113.2", at=5)])
                wait_for(lambda: len(Hook.taken) == 2, 60, "web server and pager")
                wait_for(lambda: len(spool()) == 1, 60, "mail")
                wait_for(lambda: Outbox(files.outbox).refused(), 30, "nosuch is refused")
                status = Path(f"/proc/{deliverer.pid}/status").read_text()
                assert "Uid:\t65534\t65534" in status
            finally:
                deliverer.terminate()
    (mail,) = spool()
    assert mail["Subject"] == f"[{DRY}] port25 high alert raised: 203.0.113.2 +37.6"
    assert all("203.0.113.2" in repr(one) and "203.0.113.1" not in repr(one) for one in Hook.taken)
    ((sink, _, _, reason),) = Outbox(files.outbox).refused()
    assert sink == "notify/desk" and reason.startswith("nosuch@receiver.example: 550")
    assert "notify: desk will never take an alert: nosuch@receiver.example" in log.read_text()
