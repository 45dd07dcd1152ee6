"""A bot in the laboratory, and how soon everybody is told: by mail, web server and syslog."""

import json
import subprocess
import sys
import time

import pytest

from lab import mail_servers
from lab.sensing import Sensor
from lab.waiting import BUSY, wait_for
from tests.live.test_live import HOST
from tests.notify.test_notify import HERE, postfix_that_keeps, rsyslog, signed_for_here

SOON = 2.0
"""Seconds from the alert on standard output to the last of those who are told."""
_SERVER = """
import http.server, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[1], "ab") as out:
            out.write(text + b"\\n")
        self.send_response(200 if "X-Port25-Signature" in self.headers else 400)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8080), Hook).serve_forever()
"""
_SETTINGS = """
[[notify.mail]]
name = "desk"
server = "{here}:587"
sender = "port25@isp.example"
to = ["alice@receiver.example"]
authority = "{folder}/here.crt"

[[notify.webhook]]
name = "tickets"
url = "http://127.0.0.1:8080/"
secret_file = "{folder}/secret"

[[notify.syslog]]
name = "siem"
server = "{here}:16514"
form = "cef"
authority = "{folder}/here.crt"
"""


@pytest.mark.slow
def test_everybody_is_told_of_a_bot_within_two_seconds(lab, folder):
    mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
    key, crt = signed_for_here(folder)
    (folder / "secret").write_text("a secret\n")
    (folder / "secret").chmod(0o600)
    within = ("ip", "netns", "exec", lab.watch)
    posted, out = folder / "posted", folder / "out.log"
    posted.touch()
    lab.start(lab.watch, sys.executable, "-c", _SERVER, str(posted), log=folder / "hook.log")
    lab.start(lab.watch, *rsyslog(folder, key, crt), log=folder / "rsyslog.log")
    with postfix_that_keeps(folder / "keeps", key, crt, within) as spool:
        sensor = Sensor(lab, folder / "sensor", _SETTINGS.format(folder=folder, here=HERE)).start()
        bot = subprocess.Popen(
            [*within[:3], lab.inside, sys.executable, "-m", "lab.subscribers", "bot", "60", "20"],
            stdout=subprocess.DEVNULL,
        )
        wait_for(sensor.alerts, 60, "the alert")
        begun = time.monotonic()
        wait_for(lambda: posted.read_text() and out.exists() and HOST in out.read_text(), 30)
        wait_for(spool, 30)
        took = time.monotonic() - begun
        bot.wait(300)
        sensor.stop()
        assert took < SOON * BUSY
        print(f"told after {took:.2f} s")
        told = json.loads(posted.read_text().splitlines()[0])["alerts"][0]
        (same,) = (one for one in sensor.alerts() if one["revision"] == told["revision"])
        assert told | {"mode": 0} == same | {"mode": 0}
        assert HOST in spool()[0]["Subject"] and "dry run" in spool()[0]["Subject"]
        assert f'host="{HOST}"' in out.read_text() and "CEF:0|port25" in out.read_text()
