"""From a bot's packets to a closed port: sensor, Kafka, controller and nftables together."""

import json
import signal
import subprocess
import sys
import time

import pytest

from lab import mail_servers
from lab.broker import start_in
from lab.network import Laboratory
from lab.sensing import Sensor
from lab.waiting import BUSY, wait_for
from tests.conftest import ROOT, needs, port25

pytestmark = pytest.mark.kafka

BOT, OFFICE = "203.0.113.1", "203.0.113.66"
OWN = "198.18.255.25"
TTL = 25

SETTINGS = """
subscriber_prefixes = ["203.0.113.0/24"]
own_mail_servers = ["{own}"]
[blocking]
mode = "enforce"
ttl = [{ttl}]
[kafka]
bootstrap = ["{bootstrap}"]
sensor = "lab"
health_interval = 1
"""

OFFICE_MAIL = """
import smtplib, sys, time
sent = failed = 0
while True:
    for n in range(5):
        try:
            here = (sys.argv[1], 0)
            with smtplib.SMTP(f"198.18.7.{n}", 25, "mail.office.example", 60, here) as s:
                text = "Subject: hi\\r\\n\\r\\nhi"
                s.sendmail("carol@office.example", ["alice@receiver.example"], text)
            sent += 1
        except (OSError, smtplib.SMTPException):
            failed += 1
        print(sent, failed, flush=True)
        time.sleep(0.2)
"""

GREETING = """
import socket, sys
address, port, source = sys.argv[1:]
with socket.create_connection((address, int(port)), 30, (source, 0)) as s:
    print(s.recv(100).decode()[:3])
"""


class Provider:
    """A laboratory with everything in it; the router sees, decides and blocks."""

    def __init__(self, lab: Laboratory, folder, ttl: int = TTL, more: str = "") -> None:
        needs("nft", "java", "mvn", root=True)
        self.lab, self.folder = lab, folder
        lab.address(lab.inside, OFFICE)
        mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
        bootstrap = start_in(lab, lab.router, folder)
        settings = SETTINGS.format(own=OWN, ttl=ttl, bootstrap=bootstrap) + more
        self.sensor = Sensor(lab, folder / "sensor", settings, "-i", "span0", where=lab.router)
        self.sensor.start()
        self._controllers = 0
        self.start_controller()

    def start_controller(self) -> None:
        self._controllers += 1
        self.log = self.folder / f"controller-{self._controllers}"
        config = str(self.sensor.config)
        command = (sys.executable, "-m", "sensor", "controller", "-c", config)
        self.controller = self.lab.start(self.lab.router, *command, log=self.log, cwd=ROOT)
        wait_for(lambda: self.applied(), 60, f"the controller: {self.log}")

    def applied(self) -> list[int]:
        """How many blocks it carried out, each time."""
        lines = [json.loads(x) for x in self.log.read_text().splitlines() if x.startswith("{")]
        return [line["blocked"] for line in lines if "blocked" in line]

    def blocked(self) -> str:
        done = self.lab.run(
            self.lab.router, "nft", "list", "set", "inet", "port25", "blocked4", check=False
        )
        return done.stdout

    def greeting(self, address: str, port: int, source: str = BOT) -> str:
        """What a server says first; how the connection fails."""
        command = (sys.executable, "-c", GREETING, address, str(port), source)
        done = self.lab.run(self.lab.inside, *command, check=False)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1].partition(":")[0]

    def bot(self, count: int = 3000) -> subprocess.Popen[bytes]:
        words = ("-m", "lab.subscribers", "bot", str(count), "30", BOT)
        log = self.folder / "bot"
        return self.lab.start(self.lab.inside, sys.executable, *words, log=log, cwd=ROOT)


def test_a_bots_mail_stops_and_nothing_else(lab, folder):
    provider = Provider(lab, folder)
    office = (sys.executable, "-c", OFFICE_MAIL, OFFICE)
    lab.start(lab.inside, *office, log=folder / "office")
    assert provider.greeting("198.18.9.9", 25) == "220"
    bot = provider.bot()
    wait_for(lambda: f"{BOT} " in provider.blocked(), 60, "the block")
    done = time.time()
    patience = 5 * BUSY
    alert = next(a for a in provider.sensor.alerts() if a["block_recommended"])
    assert alert["host"] == BOT
    assert done - alert["ts"] / 1e9 < patience, "seconds from the alert to the closed port"
    assert provider.greeting("198.18.9.9", 25) == "ConnectionRefusedError"
    assert provider.greeting("198.18.9.9", 587) == "220", "submission"
    assert provider.greeting(OWN, 25) == "220", "the provider's own mail server"
    assert provider.greeting("198.18.9.9", 25, OFFICE) == "220"
    wait_for(lambda: provider.sensor.metrics()["port25_blocks_in_force"] == 1, 5)
    wait_for(lambda: provider.sensor.metrics()["port25_kafka_acknowledged_total"] >= 2, 5)
    metrics = provider.sensor.metrics()
    assert metrics['port25_kafka_state{state="connected"}'] == 1

    lab.stop(bot)
    wait_for(lambda: f"{BOT} " not in provider.blocked(), TTL + 40, "the end of the block")
    assert provider.greeting("198.18.9.9", 25) == "220"
    sent, failed = map(int, (folder / "office").read_text().splitlines()[-1].split())
    assert failed == 0
    assert sent >= 5, "once to each"
    assert not [a for a in provider.sensor.alerts() if a["host"] == OFFICE]
    assert provider.sensor.stop() == 0


def test_a_controller_that_was_away_reconciles(lab, folder):
    provider = Provider(lab, folder, ttl=600)
    bot = provider.bot(200)
    wait_for(lambda: f"{BOT} " in provider.blocked(), 60, "the block")
    bot.wait(600)
    lab.stop(provider.controller, signal.SIGKILL)
    assert provider.greeting("198.18.9.9", 25) == "ConnectionRefusedError", "the rules stay"
    lab.run(lab.router, "nft", "delete", "table", "inet", "port25")
    provider.start_controller()
    assert f"{BOT} " in provider.blocked(), "what is in force is taken up again"

    lab.stop(provider.controller, signal.SIGTERM)
    words = ("--reason", "cleaned", "--by", "mary", "--state", str(provider.sensor.state))
    assert port25("release", BOT, *words).returncode == 0
    time.sleep(2)
    provider.start_controller()
    assert f"{BOT} " not in provider.blocked(), "a release while it was away is not missed"
    assert provider.greeting("198.18.9.9", 25) == "220"

    # Hostile and foolish messages: refused, each with its reason, and nothing is blocked.
    bad = """
import sys
from kafka import KafkaProducer
p = KafkaProducer(bootstrap_servers="127.0.0.1:9092")
for key, value in ((b"203.0.113.5", b"no json"), (b"0.0.0.0/0", b"{}"), (b"\\xff\\xfe", b"\\x00"),
                   (b"203.0.113.5", b'{"schema": "port25.decision/1"}')):
    p.send("port25.blocklist", key=key, value=value).get(10)
p.flush()
"""
    lab.run(lab.router, sys.executable, "-c", bad)
    wait_for(lambda: provider.log.read_text().count("malformed") >= 4, 20, "the refusals")
    assert "elements" not in provider.blocked()
    assert provider.controller.poll() is None
