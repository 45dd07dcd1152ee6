"""``make lab`` ends as a person ends it, and leaves nothing of its provider behind."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import ROOT
from lab.waiting import wait_for
from tests.conftest import needs


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_small_provider_leaves_nothing_behind(how, tmp_path):
    needs("ip", "ethtool", "nft", "tc", "postfix", root=True)
    log = tmp_path / "log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "lab.provider"]
        provider = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)

    def made() -> list[Path]:
        number = provider.pid % 10_000 * 10
        places = Path("/run/netns"), Path("/etc/netns")
        return [path for place in places for path in place.glob(f"p25*[a-z]{number}")]

    try:
        wait_for(lambda: "watching mirror0" in log.read_text(), 60)
        assert len(made()) == 8
    finally:
        provider.send_signal(how)
    assert provider.wait(200) == 0, log.read_text()
    assert not made()
