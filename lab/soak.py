"""The sensor under mixed load for so many seconds, and whether its memory is flat.

    python -m lab.soak SECONDS

Subscribers that are bots, a mail server and a scanner work at once against Postfix, while whole
sessions of thousands more hosts are replayed onto the mirror port. Every sample of the sensor's
resident memory after the first third must lie within ``SLACK`` of the one there (tables are small,
to be full by then). Nothing may be dropped, and the sensor must still find its bots. Prints a line
every ten seconds.
"""

import sys
import tempfile
import time
from pathlib import Path

from lab import ROOT, mail_servers
from lab.generate import write
from lab.network import Laboratory
from lab.sensing import Sensor
from lab.sessions import generate

SLACK = 12 << 20
"""Bytes."""
PACKETS_A_SECOND = 20_000
SETTINGS = """
[limits]
max_hosts = 4_000
max_details = 1_000
max_sketches = 100
max_connections = 10_000
max_sessions = 4_000
[live]
snapshot = 5
[evidence]
max_megabytes = 16
"""


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def soak(seconds: float) -> list[tuple[int, float]]:
    """Samples: resident bytes and packets dropped so far."""
    samples: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as made, Laboratory() as lab:
        folder = Path(made)
        folder.chmod(0o755)
        mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
        path = folder / "sessions.pcap"
        write(path, generate(20_000)[0])
        sensor = Sensor(lab, folder / "sensor", SETTINGS).start()
        assert sensor.process is not None
        for kind, rate in (("bot", "10"), ("mailer", "2"), ("syns", "20")):
            words = (sys.executable, "-m", "lab.subscribers", kind, "1000000", rate)
            lab.start(lab.inside, *words, log=folder / kind, cwd=ROOT)
        lab.start(
            lab.router, "tcpreplay", "-q", "-i", "span0", "--loop=0", f"--pps={PACKETS_A_SECOND}",
            "--preload-pcap", str(path), log=folder / "replay",
        )  # fmt: skip
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(10, seconds / 12))
            metrics = sensor.metrics()
            samples.append((resident(sensor.process.pid), metrics["port25_packets_dropped_total"]))
            print(
                f"{samples[-1][0] / 2**20:7.1f} MB  {metrics['port25_packets_received_total']:,.0f}"
                f" packets, {samples[-1][1]:,.0f} dropped, {metrics['port25_alerts_open']:.0f}"
                f" alerts open, {metrics['port25_evidence_bytes'] / 1e6:.0f} MB of evidence",
                flush=True,
            )
        alerts = sensor.alerts()
        assert sensor.stop() == 0
        assert any(alert["host"] == "203.0.113.1" for alert in alerts)
        assert sensor.notices("journal") == sensor.notices("snapshot") == []
    settled = samples[len(samples) // 3][0]
    largest = max(size for size, _ in samples[len(samples) // 3 :])
    assert largest <= settled + SLACK, f"{settled >> 20} MB grew to {largest >> 20} MB"
    assert samples[-1][1] == 0, "packets were dropped"
    return samples


if __name__ == "__main__":
    soak(float(sys.argv[1]))
    print("memory is flat")
