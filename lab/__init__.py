"""What tests and benchmarks share: hosts, servers, traffic and captures of our own making.

* Captures made in memory: ``frames`` (pcap and pcapng), ``conversation`` (SMTP, packet by packet),
  ``lookups`` and ``dns_messages`` (DNS), ``storm`` (a flood of bots), ``generate`` and ``sessions``
  (any size, for speed), ``traffic`` (a provider's days, simulated, with the truth beside them),
  ``senders`` (kinds of senders, by what is published of them).
* Programs that run: ``network`` (a small provider in network namespaces), ``mail_servers``,
  ``mail_clients``, ``subscribers``, ``sensing`` (the sensor itself), ``broker`` (Kafka), ``web``
  and ``browser`` (the page, and Chromium), ``debian`` (a bare system to install in).
* Commands: ``provider``, ``soak``, ``picture``, ``conformance``, ``fuzz`` (see the Makefile).

The sensor and its detectors never import from here, and nothing here imports a test or a benchmark.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PCAPS = ROOT / "pcaps"
SHARED = ROOT.parent / "shared" / "captures"
"""The peers' captures, where a checkout has them beside it."""


def port25(*arguments: str, check: bool = False, **options) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a user would, in a process of its own."""
    command = [sys.executable, "-m", "sensor", *arguments]
    return subprocess.run(command, capture_output=True, check=check, cwd=ROOT, **options)
