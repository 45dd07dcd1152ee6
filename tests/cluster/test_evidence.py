"""A page over the folder of a sensor that forwards: it is alive, and gives its packets."""

import sys

import pytest

from lab import ROOT, mail_servers
from lab.network import Laboratory
from lab.waiting import wait_for
from lab.web import serving, settings_for
from tests.cluster.test_live import Border
from tests.conftest import needs


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.xdist_group("whole machine")
def test_a_border_has_a_page_that_gives_its_packets(folder, tmp_path):
    needs("java", "mvn", "ip", "ethtool", "nft", "tcpdump", "postfix", root=True)
    with Laboratory() as lab:
        border = Border(lab, folder)
        border.start_broker()
        mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
        words = (sys.executable, "-m", "lab.subscribers", "bot", "1000000", "4", "203.0.113.1")
        lab.start(lab.inside, *words, log=folder / "bot", cwd=ROOT)
        border.begin()
        border.grows("segments_forwarded_total", 50)
        border.grows("evidence_bytes", 1)
        with serving(border.sensor.state, "-c", str(settings_for(tmp_path))) as server:
            asked = {"alert": "a" * 32, "host": "203.0.113.1", "first": 0, "last": 1 << 62,
                     "by": "ann"}  # fmt: skip
            path = "/api/v1/evidence"
            given = server.get(path, "analyst", method="POST", json=asked)
            assert given.status_code == 200 and len(given.content) > 1000, given.text[:200]
            border.grows("segments_forwarded_total", 50)
            assert server.get("/readyz", None).status_code == 200
            vitals = lambda: server.get("/api/v1/health").json()["vitals"]  # noqa: E731
            wait_for(lambda: (vitals() or {}).get("packets", 0) > 0, 60, "a word on how it goes")
        assert border.sensor.stop() == 0
