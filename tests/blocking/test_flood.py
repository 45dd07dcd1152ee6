"""Someone forges SYNs in the name of a hundred thousand innocent subscribers."""

import json
import subprocess
import sys

from sensor.blocking.ledger import Ledger
from sensor.sinks.journal import Journal
from tests.conftest import ROOT
from tests.kafka.storm import PCAP, syns

GROUPS, HOSTS, SYNS, SECONDS = 100, 1000, 60, 9


def test_a_hundred_thousand_framed_subscribers_are_no_block_and_one_alarm(tmp_path):
    config = tmp_path / "port25.toml"
    config.write_text(
        'subscriber_prefixes = ["10.0.0.0/8"]\n'
        "[limits]\nmax_alerts = 110_000\nmax_details = 110_000\n"
        '[blocking]\nmode = "enforce"\n'
        "[detectors.fan_out]\nusual = [3, 5, 8, 9, 9]\n"  # 60 in 9 s convict alone
    )
    state = tmp_path / "state"
    command = [
        sys.executable, "-m", "sensor", "replay", "-q", "--json", "-c", str(config),
        "--state", str(state), "-",
    ]  # fmt: skip
    said = tmp_path / "stderr"
    with (
        said.open("wb") as err,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=err, cwd=ROOT
        ) as sensor,
    ):
        assert sensor.stdin is not None
        sensor.stdin.write(PCAP)
        records = syns(HOSTS, SYNS, SECONDS)
        for _ in range(GROUPS):
            sensor.stdin.write(records.tobytes())
            records["src"] += HOSTS
            records["sec"] += SECONDS
        sensor.stdin.close()
        assert sensor.wait(300) == 0, said.read_text()

    framed = {alert.host for _, alert in Journal(state / "journal.sqlite", True).read()}
    assert len(framed) == GROUPS * HOSTS
    ledger = Ledger(state / "blocking.sqlite", read_only=True)
    (alarm,) = [entry.decision for entry in ledger.page()]
    assert alarm.action == "alarm"
    assert "500 alerts were raised within a minute" in alarm.reasons[0]
    assert said.read_text().count("alarm by port25") == 1
    assert json.loads(subprocess.run(
        [sys.executable, "-m", "sensor", "blocklist", "--format", "json", "--state", str(state)],
        capture_output=True, check=True, cwd=ROOT,
    ).stdout) == []  # fmt: skip
