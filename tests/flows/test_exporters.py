"""What real exporters say of a capture: the bot is found, whoever tells it, and none is blocked."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from lab.exporters import (
    PORT,
    export_with_pmacct,
    export_with_softflowd,
    port_with,
    written,
)
from lab.waiting import wait_for
from sensor.state.journal import Journal
from tests.blocking.test_http import free_port
from tests.conftest import PCAPS, ROOT, needs, port25

pytestmark = pytest.mark.slow

BOT = "203.0.113.10"
FAST = PCAPS / "fast_bot.pcap"
AT = 1_750_000_000


def there(program):
    if port_with(program) is None:
        needs(program)


def judged(capture, *more):
    """Hosts with an alert, and the line of flows' counters."""
    done = port25("flows", str(capture), *more, check=True)
    alerts = [json.loads(line) for line in done.stdout.splitlines()]
    assert not any(one["block_recommended"] for one in alerts)
    said = done.stderr.decode()
    (line,) = [one for one in said.splitlines() if one.startswith("  flows: ")]
    words = [one.rsplit(" ", 1) for one in line.removeprefix("  flows: ").split(", ")]
    counts = {name: int(n.replace(",", "")) for name, n in words} if words != [["nothing"]] else {}
    return {one["host"] for one in alerts}, counts, said


@pytest.mark.parametrize("version", [5, 9, 10])
def test_softflowd(version, tmp_path):
    there("softflowd")
    sent = export_with_softflowd(FAST, version, tmp_path)
    hosts, counts, _ = judged(written(sent, tmp_path / "sent.pcap"))
    assert hosts == {BOT}
    # What tshark counts in that capture: connections, and those that were refused.
    assert counts["flows_opened"] == 240 and counts["flows_refused"] == 30
    assert counts["flows_read"] == 427 and "exports_ill_formed" not in counts
    again, _, _ = judged(written(sent, tmp_path / "again.pcap"))
    assert again == hosts


@pytest.mark.parametrize("version", [5, 9, 10])
def test_pmacct_says_the_same(version, tmp_path):
    there("pmacctd")
    sent = export_with_pmacct(FAST, "nfprobe", tmp_path, [f"nfprobe_version: {version}"])
    hosts, counts, _ = judged(written(sent, tmp_path / "sent.pcap", at=AT))
    assert hosts == {BOT}
    assert counts["flows_opened"] == 240 and counts["flows_refused"] == 30


def test_sflow_looks_at_some_packets_and_says_so(tmp_path):
    there("pmacctd")
    sent = export_with_pmacct(FAST, "sfprobe", tmp_path, ["sampling_rate: 2"])
    hosts, counts, said = judged(written(sent, tmp_path / "sent.pcap", at=AT))
    assert hosts <= {BOT}
    # Which packets are taken is chance; a connection of any length is seen by most of them.
    assert 150 < counts["flows_opened"] <= 240 and "flows_refused" not in counts
    assert "192.0.2.1 looks at one packet in 2:" in said


@pytest.mark.parametrize("version", [5, 9, 10])
def test_what_is_sampled_fails_nowhere(version, tmp_path):
    there("softflowd")
    sent = export_with_softflowd(PCAPS / "demo.pcap", version, tmp_path, "-s", "10")
    hosts, counts, said = judged(written(sent, tmp_path / "sent.pcap"))
    assert "looks at one packet in 10:" in said
    assert "flows_refused" not in counts and counts["flows_opened"] > 500
    whole = port25("replay", "-q", "--json", str(PCAPS / "demo.pcap"), check=True)
    known = {json.loads(one)["host"] for one in whole.stdout.splitlines()}
    assert hosts and hosts <= known


def test_two_exporters_on_one_path_tell_of_a_connection_once(tmp_path):
    there("softflowd")
    sent = export_with_softflowd(FAST, 9, tmp_path)
    one = written(sent, tmp_path / "one.pcap", "192.0.2.1")
    other = written(sent, tmp_path / "other.pcap", "192.0.2.9")
    done = port25("flows", str(one), str(other), check=True)
    assert b"flows_opened 240," in done.stderr and b"flows_told_twice 240" in done.stderr
    alone = port25("flows", str(one), check=True)
    assert done.stdout == alone.stdout


def test_live_it_hears_who_it_is_told_to_and_remembers_templates(tmp_path):
    there("softflowd")
    sent = export_with_softflowd(FAST, 10, tmp_path)
    port = free_port()
    config, state = tmp_path / "port25.toml", tmp_path / "state"
    config.write_text(f'[flows]\nlisten = "127.0.0.1:{port}"\nsenders = ["127.0.0.1"]\n')
    templates = state / "templates.json"

    def hear(messages, done):
        running = subprocess.Popen(
            [sys.executable, "-m", "sensor", "flows", "-c", config, "--state", state],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
        )  # fmt: skip
        try:
            assert ready.recv(100) == b"READY=1"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exporter:
                for one in messages:
                    exporter.sendto(one, ("127.0.0.1", port))
            wait_for(lambda: running.poll() is not None or done(), 10, "what was sent")
            running.send_signal(signal.SIGTERM)
            out, said = running.communicate(timeout=300)
        finally:
            running.kill()
        assert running.returncode == 0, said
        return [json.loads(line) for line in out.splitlines()], said.decode()

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(tmp_path / "notify"))
        ready.settimeout(120)
        first = [one for one in sent if one[16:18] == b"\0\2"]  # with templates
        assert first and len(first) < len(sent)
        _, said = hear(first, templates.exists)
        assert "exports_without_template" not in said
        rest = [one for one in sent if one not in first]
        journal = state / "journal.sqlite"
        alerts, said = hear(rest, lambda: Journal(journal, read_only=True).last > 0)
        assert {one["host"] for one in alerts} == {BOT}
        assert "exports_without_template" not in said and "flows_opened" in said
    assert templates.stat().st_size < 10_000


def test_without_senders_nobody_would_be_heard(tmp_path):
    done = port25("flows", "--state", str(tmp_path))
    assert done.returncode == 2 and b"flows.senders: missing" in done.stderr
    assert PORT == 2055
