"""One sender forges the addresses of many while a real bot delivers."""

import sys

from lab import mail_servers
from lab.sensing import Sensor
from lab.waiting import wait_for
from sensor.blocking.ledger import Ledger
from tests.conftest import ROOT

BOT = "203.0.113.1"
SETTINGS = """
subscriber_prefixes = ["203.0.113.0/24", "10.0.0.0/8"]
replies = "visible"
[limits]
max_unproven_alerts = 64
[blocking]
mode = "enforce"
max_share = 0.5
"""


def test_a_real_bot_is_found_and_blocked_in_a_forged_flood(lab, folder):
    """BREAKING, 1, live: 600 forged sources of 24 SYNs each; answers to them go nowhere."""
    mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
    lab.run(lab.router, "ip", "route", "add", "blackhole", "10.0.0.0/8")
    sensor = Sensor(lab, folder / "sensor", SETTINGS).start()
    flood = (sys.executable, "-m", "lab.subscribers", "forged", str(600 * 24), "800")
    forging = lab.start(lab.inside, *flood, log=folder / "flood", cwd=ROOT)
    bot = (sys.executable, "-m", "lab.subscribers", "bot", "200", "10", BOT)
    delivering = lab.start(lab.inside, *bot, log=folder / "bot", cwd=ROOT)

    wait_for(lambda: [a for a in sensor.alerts() if a["block_recommended"]], 60, "the real bot")
    assert {a["host"] for a in sensor.alerts() if a["block_recommended"]} == {BOT}
    assert forging.wait(600) == 0, (folder / "flood").read_text()
    delivering.wait(600)
    wait_for(lambda: sensor.notices("flood"), 60, "the notice of the flood")
    metrics = sensor.metrics()
    assert metrics["port25_attempts_total"] >= 600 * 24
    assert metrics["port25_alerts_open_unproven"] <= 64
    assert metrics["port25_hosts_refused_total"] == 0
    assert not any(n for name, n in metrics.items() if name.startswith("port25_packets_dropped"))
    assert sensor.stop() == 0

    alerts = sensor.alerts()
    framed = {a["host"] for a in alerts if a["host"].startswith("10.")}
    assert 0 < len(framed) <= 64
    assert {a["host"] for a in alerts if a["block_recommended"]} == {BOT}
    (text,) = sensor.notices("flood")
    assert "forged flood" in text and "10.0.0.0/" in text
    said = {line["kind"] for line in sensor.lines() if "kind" in line}
    assert said == {"flood"}
    ledger = Ledger(sensor.state / "blocking.sqlite", read_only=True)
    told = [entry.decision for entry in ledger.page(0, 1000)]
    assert {one.host for one in told if one.action == "block"} == {BOT}
    assert not [one for one in told if one.action in ("stop", "refuse")]
