"""DHCP on the mirror as Kea and dhclient speak it."""

import json
import os
import subprocess
import sys

from lab.kea import KeaServers
from lab.radius import can_run
from lab.waiting import wait_for
from tests.conftest import ROOT, cannot

LISTEN = """
import json
from sensor.customers.layout import CHANGE
from sensor.base.addresses import network_text
from sensor.leases.dhcp import Dhcp
from sensor.leases.settings import CustomerSettings, DhcpSettings
import numpy as np
source = Dhcp(CustomerSettings(dhcp=DhcpSettings(("mirror0",), customer=("hwaddr", "duid"))))
source.open("")
print("ready", flush=True)
while True:
    source.turn(0.1)
    for row in np.frombuffer(source.intake.drain(100).rows, CHANGE):
        prefix = network_text(int(row["hi"]), int(row["lo"]), int(row["bits"]))
        lasts = (int(row["until"]) - int(row["since"])) / 1e9
        print(json.dumps([prefix, lasts, source.counters()]), flush=True)
"""


def test_what_kea_grants_is_leased(lab, folder):
    if not can_run():
        cannot("not installed (lab/install): kea-dhcp4-server, kea-dhcp6-server, isc-dhcp-client")
    kea = KeaServers(lab, folder)
    log = folder / "heard.log"
    with log.open("wb") as out:
        command = ["ip", "netns", "exec", lab.watch, sys.executable, "-c", LISTEN]
        listening = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT,
            env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        )  # fmt: skip

    def told() -> dict[str, float]:
        lines = [x for x in log.read_text().splitlines() if x.startswith("[")]
        return {prefix: lasts for prefix, lasts, _ in map(json.loads, lines)}

    try:
        wait_for(lambda: "ready" in log.read_text(), 30, f"who listens: {log.read_text()}")
        kea.ask("4")
        wait_for(lambda: len(told()) == 1, 20, f"a lease of IPv4: {log.read_text()}")
        kea.ask("6")
        wait_for(lambda: len(told()) == 3, 20, f"leases of IPv6: {log.read_text()}")
        (four,) = [one for one in told() if "." in one]
        assert four.startswith("203.0.113.20")
        assert told().keys() - {four} == {"2001:db8:1::100", "2001:db8:8000::/56"}
        assert set(told().values()) == {600.0}
        kea.release("6")
        wait_for(lambda: '"dhcp_ill_formed": 0' in log.read_text(), 5, "no fault")
    finally:
        listening.kill()
        listening.wait(300)
