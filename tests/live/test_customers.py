"""A bot that reconnects to new addresses, live: one alert that goes on, one block that moves."""

import datetime
import json
import sys
import time

import pytest

from lab import mail_servers
from lab.leases import known_as
from lab.radius import SECRET, FreeRadius, can_run
from lab.sensing import Sensor
from lab.waiting import wait_for
from sensor.leases.lines import HEADER
from tests.conftest import ROOT, cannot, port25

BOT = known_as("bot@isp.example")
ADDRESSES = [f"203.0.113.{n}" for n in range(101, 105)]


def now():
    return datetime.datetime.now(datetime.UTC).isoformat()


class File:
    """A file of leases that grows."""

    name = "file"

    def __init__(self, lab, folder):
        self.path = folder / "told.csv"
        self.path.write_text(",".join(HEADER) + "\n")
        self.settings = f'[customers]\nfile = "{self.path}"\n'
        self._since = {}

    def tell(self, address, customer, until=""):
        with self.path.open("a") as file:
            file.write(f"{self._since[address, customer]},{until},{address},,{customer}\n")

    def begins(self, address, customer):
        self._since[address, customer] = now()
        self.tell(address, customer)

    def ends(self, address, customer):
        self.tell(address, customer, now())


class Radius:
    """FreeRADIUS, which passes copies of what a NAS tells on to the sensor."""

    name = "radius"

    def __init__(self, lab, folder):
        if not can_run():
            cannot("not installed (lab/install): freeradius")
        (folder / "secret").write_text(SECRET)
        client = f'{{prefix = "127.0.0.1", secret_file = "{folder}/secret"}}'
        self.settings = f'[customers.radius]\nlisten = "127.0.0.1:1813"\nclients = [{client}]\n'
        self.server = FreeRadius(lab, lab.router, folder / "raddb")
        self._sessions = {}

    def tell(self, address, customer, status):
        session = self._sessions.setdefault((address, customer), len(self._sessions))
        answered = self.server.send(
            User_Name=f'"{customer}"', Acct_Status_Type=status, Acct_Session_Id=f'"{session}"',
            Framed_IP_Address=address,
        )  # fmt: skip
        assert answered, self.server.log.read_text()[-2000:]

    def begins(self, address, customer):
        self.tell(address, customer, "Start")

    def ends(self, address, customer):
        self.tell(address, customer, "Stop")


SOURCES = [File, Radius]


@pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: kind.name)
def test_a_bot_that_reconnects_is_one_alert_and_one_block(lab, folder, kind):
    mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
    source = kind(lab, folder)
    own = folder / "own.pcapng"
    settings = f"{source.settings}\n[live]\nsnapshot = 1\n"
    words = ("-i", "span0", "-w", str(own))
    sensor = Sensor(lab, folder / "sensor", settings, *words, where=lab.router).start()

    def traffic(*words):
        lab.run(lab.inside, sys.executable, "-m", "lab.subscribers", *words, cwd=ROOT)

    def heard(wanted):
        def enough():
            return sensor.metrics()["port25_leases_heard_total"] >= wanted

        wait_for(enough, 5, f"{wanted} leases; {sensor.err.read_text()}")

    told = 0
    for n, address in enumerate(ADDRESSES):
        lab.address(lab.inside, address)
        source.begins(address, "bot@isp.example")
        heard(told := told + 1)
        traffic("bot", "60", "20", address)
        source.ends(address, "bot@isp.example")
        heard(told := told + 1)
        traffic("last")  # time passes
        source.begins(address, f"home{n}@isp.example")
        heard(told := told + 1)
        traffic("mailer", "3", "5", address)
    time.sleep(13)  # what waits for an answer is given up
    traffic("last")
    time.sleep(1.5)
    assert sensor.stop() == 0
    alerts = sensor.alerts()
    assert {alert.get("customer") for alert in alerts} == {BOT}
    assert len({alert["id"] for alert in alerts}) == 1
    hosts = list(dict.fromkeys(alert["host"] for alert in alerts))
    assert hosts == ADDRESSES
    assert [one["address"] for one in alerts[-1]["addresses"]] == ADDRESSES[::-1]
    assert not sensor.notices("customers")

    run = port25("decisions", "--state", str(sensor.state), "--json")
    made = [json.loads(line) for line in run.stdout.splitlines()]
    assert {one["customer"] for one in made} == {BOT}
    in_force = []
    for one in made:
        if one["action"] == "release":
            in_force.remove(one["host"])
        elif one["host"] not in in_force:
            in_force.append(one["host"])
        assert len(in_force) <= 1, "the old address is freed first"
    assert len({one["since"] for one in made if one["action"] == "block"}) == 1

    leases = sensor.state / "leases.csv"
    assert "isp.example" not in leases.read_text()
    replayed = port25("replay", "-q", str(own), "--leases", str(leases), check=True)
    assert replayed.stdout == sensor.out.read_bytes()
