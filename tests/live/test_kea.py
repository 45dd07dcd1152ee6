"""Kea's lease files as Kea itself writes them, while it sets them aside again and again."""

import time

import numpy as np

from lab.kea import KeaServers
from lab.radius import can_run
from lab.waiting import wait_for
from sensor.base.addresses import network_text
from sensor.customers.layout import CHANGE
from sensor.leases.kea import Kea
from sensor.leases.settings import CustomerSettings, KeaSettings
from tests.conftest import cannot


def test_a_customer_of_kea(lab, folder):
    if not can_run():
        cannot("not installed (lab/install): kea-dhcp4-server, kea-dhcp6-server, isc-dhcp-client")
    kea = KeaServers(lab, folder, cleanup=4)
    settings = CustomerSettings(kea=KeaSettings(tuple(map(str, kea.files))))
    source, rows = Kea(settings), []
    source.open("")

    def told(count):
        def enough():
            source.turn(0)
            rows.extend(np.frombuffer(source.intake.drain(1000).rows, CHANGE))
            return len(rows) >= count

        wait_for(enough, 10, f"{count} leases, {len(rows)} so far")
        return [network_text(int(r["hi"]), int(r["lo"]), int(r["bits"])) for r in rows]

    kea.ask("4")
    told(1)
    kea.ask("6")
    prefixes = told(3)
    address = prefixes[0]
    assert address.startswith("203.0.113.20")
    assert sorted(prefixes[1:]) == ["2001:db8:1::100", "2001:db8:8000::/56"]
    assert len({(int(r["who_hi"]), int(r["who_lo"])) for r in rows}) == 1, "one customer"
    wait_for(lambda: kea.files[0].with_name("kea-leases4.csv.2").exists(), 10, "a cleanup")
    kea.release("4")
    assert told(4)[3] == address
    now = time.time_ns()
    assert all(int(r["until"]) > now for r in rows[:3]) and int(rows[3]["until"]) < now
    again = Kea(settings)
    again.open("")
    again.turn(0)
    six = [r for r in np.frombuffer(again.intake.drain(1000).rows, CHANGE) if r["hi"]]
    assert len(six) >= 2, "what a cleanup left is read by who begins"
