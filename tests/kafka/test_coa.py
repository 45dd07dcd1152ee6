"""From an alert over Kafka to a NAS: FreeRADIUS is told within a second, refusals are shown."""

import json
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest
from pyrad.packet import AcctPacket

from lab.alerts import alert
from lab.radius import NAS_SECRET, SECRET, Nas, can_run
from lab.waiting import BUSY, wait_for
from sensor.blocking.coa.exchange import SILENT
from sensor.blocking.enforcement import kept
from sensor.blocking.feed_faults import faults
from tests.conftest import ROOT, cannot
from tests.kafka.test_two_sensors import Net, now

HOSTS = {f"203.0.113.{n}": f"s{n}" for n in (7, 8, 9)}
GONE, LATER = "203.0.113.10", "203.0.113.11"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Controller:
    """``port25 controller --coa``."""

    def __init__(self, net, port, state) -> None:
        self.accounting = free_port()
        for name, secret in (("nas", NAS_SECRET), ("accounting", SECRET)):
            (net.folder / name).write_text(secret)
        config = net.folder / "coa.toml"
        config.write_text(
            f"{net.config('router')}[blocking.coa]\n"
            f'listen = "127.0.0.1:{self.accounting}"\nkept = "{net.folder}/sessions.json"\n'
            f'clients = [{{prefix = "127.0.0.1", secret_file = "{net.folder}/accounting"}}]\n'
            f'[[blocking.coa.nas]]\nname = "bng1"\naddress = "127.0.0.1:{port}"\n'
            f'secret_file = "{net.folder}/nas"\n'
        )
        self.log = net.folder / "coa.log"
        words = ("--coa", "--state", str(state), "--group", f"{net.run}-coa")
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sensor", "controller", "-c", str(config), *words],
                stdout=out, stderr=out, cwd=ROOT,
            )  # fmt: skip
        wait_for(lambda: self.lines(), 60, f"the controller: {self.log}")

    def lines(self) -> list[dict]:
        read = [x for x in self.log.read_text().splitlines() if x.startswith("{")]
        return [line for x in read if "blocked" in (line := json.loads(x))]

    def account(self, session: str, address: str) -> None:
        packet = AcctPacket(secret=SECRET.encode(), id=1)
        for number, raw in {
            40: struct.pack(">I", 1), 44: session.encode(), 32: b"bng1", 1: session.encode(),
            8: socket.inet_aton(address), 55: struct.pack(">I", int(time.time()) - 60),
        }.items():  # fmt: skip
            packet[number] = [raw]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(5)
            one.sendto(packet.RequestPacket(), ("127.0.0.1", self.accounting))
            assert one.recv(4096)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(300) == 0


@pytest.fixture
def net(broker, tmp_path):
    if not can_run():
        cannot("FreeRADIUS is not unpacked: lab/install")
    made = Net(broker, tmp_path)
    yield made
    for end in reversed(made.ends):
        end()


def test_a_nas_is_told_within_a_second_and_what_it_refuses_is_shown(net):
    port = free_port()
    nas = Nas(net.folder / "radius", port)
    net.ends.append(nas.stop)
    sensor = net.sensor("north")
    controller = Controller(net, port, sensor.state)
    net.ends.append(controller.stop)
    for address, session in (HOSTS | {GONE: "gone", LATER: "s11"}).items():
        controller.account(session, address)

    def heard() -> list[tuple[str, str]]:
        return [(one.get("Acct-Session-Id"), one.get("Filter-Id")) for one in nas.heard()]

    took = []
    for address, session in HOSTS.items():
        start = now()
        sensor.see(alert(host=address, at=start, opened=start))
        wait_for(
            lambda wanted=(session, "port25-blocked"): wanted in heard(),
            20,
            f"{address}: {heard()}",
        )
        took.append(now() - start)
    assert min(took) < BUSY, f"alert to NAS, seconds: {took}"

    start = now()
    sensor.see(alert(host=GONE, at=start, opened=start))
    why = f"{GONE}: NAS bng1: NAK 503, Session Context Not Found"
    wait_for(lambda: [one.first for one in faults(sensor.state)] == [[why]], 20, "the page's fault")
    said = f"{GONE}: not blocked, RADIUS: NAS bng1: NAK 503, Session Context Not Found"
    wait_for(lambda: said in controller.log.read_text(), 20, said)
    wait_for(lambda: controller.lines()[-1]["refused"].get("by RADIUS") == 1, 20, "a count")
    last = controller.lines()[-1]
    assert last["blocked"] == 3 and last["counters"]["naked"] >= 1
    wait_for(lambda: len(kept(sensor.state)) == 4, 20, "what the page shows")
    told = {host: one for host, (one,) in kept(sensor.state).items()}
    assert {host: one.state for host, one in told.items() if host != GONE} == dict.fromkeys(
        HOSTS, "in force"
    )
    assert min(told[host].delay or 9 for host in HOSTS) < 1 and told["203.0.113.7"].dropped is None
    assert (told[GONE].state, told[GONE].why) == ("refused", why.partition(": ")[2])

    sensor.person("release", next(iter(HOSTS)))
    wait_for(lambda: ("s7", "port25-open") in heard(), 20, f"the release: {heard()}")

    nas.stop()
    start = now()
    sensor.see(alert(host=LATER, at=start, opened=start))
    silent = f"{LATER}: NAS bng1: {SILENT}"
    wait_for(
        lambda: any(silent in one.first for one in faults(sensor.state)),
        60,
        f"a dead NAS on the page: {faults(sensor.state)}",
    )
    assert "coa: NAS bng1 does not answer" in controller.log.read_text()
