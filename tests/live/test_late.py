"""Nothing of the installation is read once privileges are given up: whom the sensor has become may
not be able to. Every late path is walked, with and without an installation that is shut to it.
"""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from lab.dns_messages import GOOD_A, GOOD_MX, answer, name
from lab.late import shut
from lab.sensing import Sensor
from lab.waiting import wait_for
from sensor.blocking.desk import Desk
from tests.conftest import ROOT

SETTINGS = """
[live]
snapshot = 1
usage = true
workers = {workers}
[kafka]
bootstrap = ["127.0.0.1:9"]
health_interval = 1
[blocking]
max_per_minute = 1
"""


def look_up(lab, folder: Path) -> None:
    """A question for an MX and its answer, on the mirror."""
    client, resolver = "203.0.113.1", "198.51.100.53"
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    question = answer(questions=[name("d.example") + b"\0\x0f\0\1"], flags=0x0100)
    said = answer([GOOD_MX], [GOOD_A])
    wrpcap(
        str(folder / "lookup.pcap"),
        [
            link / IP(src=client, dst=resolver) / UDP(sport=5353, dport=53) / question,
            link / IP(src=resolver, dst=client) / UDP(sport=53, dport=5353) / said,
        ],
    )
    lab.run(lab.router, "tcpreplay", "-q", "-i", "span0", str(folder / "lookup.pcap"))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("where", ["open", "shut"])
def test_nothing_is_read_of_the_installation_once_privileges_are_gone(lab, folder, where, workers):
    settings = SETTINGS.format(workers=workers)
    sensor = Sensor(lab, folder / "sensor", settings, "--user", "nobody")
    log = folder / "late"
    program = [sys.executable, "-m", "lab.late", str(log)]
    sensor.program = shut(folder) if where == "shut" else program
    if where == "shut":  # from another path all kernels would be compiled anew
        sensor.environment["NUMBA_DISABLE_JIT"] = "1"
    sensor.start()
    look_up(lab, folder)
    wait_for(lambda: sensor.metrics()["port25_exchangers_known"] == 1, 10, "the MX's address")
    syns = (sys.executable, "-m", "lab.subscribers", "syns", "60", "60", "203.0.113.1")
    lab.run(lab.inside, *syns, cwd=ROOT)
    wait_for(sensor.alerts, 15, "an alert")
    wait_for(lambda: sensor.notices("kafka"), 15, "Kafka refused")
    folders = [sensor.state, *sensor.state.glob("worker-*")]
    wait_for(lambda: any((f / "state.p25").exists() for f in folders), 10, "a snapshot")

    sensor.send(signal.SIGUSR1)
    wait_for(lambda: '"capture"' in sensor.err.read_text(), 10, "counters")
    for text, said in (("prots = [25]\n", "are no good"), (settings + "\n", "are in force")):
        sensor.configure(text)
        sensor.send(signal.SIGHUP)
        wait_for(lambda said=said: any(said in n for n in sensor.notices("settings")), 10, said)
    desk = Desk(sensor.state / "desk.sqlite")
    desk.exempt("203.0.113.10", 1, time.time_ns(), "ann", "their own server")
    desk.close()
    for path in sensor.state.glob("desk.sqlite*"):
        path.chmod(0o666)
    wait_for(lambda: any("desk" in n for n in sensor.notices("settings")), 10, "the desk")
    lab.run(lab.watch, "ip", "link", "set", "mirror0", "down")
    wait_for(lambda: any("is down" in n for n in sensor.notices("interface")), 20, "the cable")
    lab.run(lab.watch, "ip", "link", "set", "mirror0", "up")
    for state in folders:  # what cannot be written any more
        state.chmod(0o555)
        os.chown(state, 0, 0)
        if (state / "evidence").exists():
            os.chown(state / "evidence", 0, 0)
            for packets in (state / "evidence").iterdir():
                packets.unlink()
    wait_for(lambda: sensor.notices("snapshot"), 20, "a snapshot that fails")
    wait_for(lambda: any("up again" in n for n in sensor.notices("interface")), 20, "the cable")
    assert sensor.stop() == 0, sensor.err.read_text()
    assert "Traceback" not in sensor.err.read_text()
    late = log.read_text().splitlines()
    assert not late, "\n".join(late)
