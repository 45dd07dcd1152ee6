"""A border whose Kafka is gone judges its share alone, until Kafka takes segments again."""

import json
import signal
import sys

import pytest

from lab import ROOT, mail_servers
from lab.network import Laboratory
from lab.waiting import wait_for
from lab.web import serving, settings_for
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.cluster.test_live import SETTINGS, Border
from tests.conftest import needs, port25

BOT = "203.0.113.1"
ALONE = (
    SETTINGS.replace("[cluster]", "[cluster]\nalone = true\nalone_after = 5")
    + '[blocking]\nmode = "enforce"\n'
)


def alerts(border: Border, state: str = "") -> list[dict]:
    return [one for one in border.sensor.alerts() if not state or one["state"] == state]


def cut_off(border: Border) -> None:
    """The brokers go, and the sensor judges until the bot is proven to be one."""
    border.kill_broker()
    wait_for(lambda: border.count("judges_alone") == 1, 90, "the sensor to judge alone")
    proven = lambda: [a for a in alerts(border) if a["severity"] != "medium"]  # noqa: E731
    before = len(proven())
    wait_for(lambda: len(proven()) > before, 200, "an alert of what is proven")


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.xdist_group("whole machine")
def test_a_border_without_kafka_alerts_alone_and_blocks_nobody(folder, tmp_path):
    needs("java", "mvn", "ip", "ethtool", "nft", "tcpdump", "postfix", root=True)
    with Laboratory() as lab:
        border = Border(lab, folder)
        border.sensor.configure(ALONE)
        border.start_broker()
        mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
        words = (sys.executable, "-m", "lab.subscribers", "bot", "1000000", "4", BOT)
        lab.start(lab.inside, *words, log=folder / "bot", cwd=ROOT)
        border.begin()
        border.grows("segments_forwarded_total", 50)
        border.grows("batches_acknowledged_total", 4)
        assert border.count("judges_alone") == 0
        assert alerts(border) == []

        cut_off(border)
        first = alerts(border)
        assert {(one["host"], one["alone"], one["sensor"]) for one in first} == {
            (BOT, True, "north")
        }
        with serving(border.sensor.state, "-c", str(settings_for(tmp_path))) as server:
            (shown,) = server.get("/api/v1/alerts").json()["alerts"]
            assert (shown["host"], shown["state"] != "closed") == (BOT, True)
        terminal = port25(
            "watch", "--plain", "--state", str(border.sensor.state), input=b"1\nquit\n"
        )
        assert BOT in terminal.stdout.decode()

        border.start_broker()
        wait_for(lambda: border.count("judges_alone") == 0, 90, "the sensor to forward and no more")
        assert border.count("spool_batches") == 0
        border.grows("segments_forwarded_total", 50)
        (last,) = alerts(border, "closed")
        assert last["block_code"] == "block.alone_over"
        told = len(alerts(border))
        assert border.sensor.stop() == 0
        assert len(alerts(border)) == told, "nothing is judged any more"
        said = " ".join(border.sensor.notices("cluster"))
        assert "this sensor judges alone, of its share only" in said
        assert "It raised 1 alert meanwhile; 1 that were still open are closed" in said

        correlate = (sys.executable, "-m", "sensor", "correlate", "-c", str(border.sensor.config))
        done = lab.run(lab.watch, *correlate, "--until-idle", "2", cwd=ROOT)
        for counter in ("batches_missing", "segments_late", "batches_unreadable"):
            assert counter not in done.stderr, done.stderr
        on_topic = border.on_topic("port25.alerts")
        assert not border.on_topic("port25.blocklist")

        # Cut off again, and killed meanwhile: the next start closes what that left, and goes on.
        border.begin()
        border.grows("batches_acknowledged_total", 4)
        cut_off(border)
        border.sensor.stop(signal.SIGKILL)
        left = {one["id"] for one in alerts(border)} - {a["id"] for a in alerts(border, "closed")}
        assert len(left) == 1
        border.begin()
        closed = {one["id"]: one for one in alerts(border, "closed")}
        assert {closed[id_]["block_code"] for id_ in left} == {"block.alone_stopped"}
        wait_for(lambda: border.count("judges_alone") == 1, 90, "the sensor to judge alone again")
        assert border.sensor.stop() == 0
        found = alerts(border)
        assert not any(one["block_recommended"] for one in found)
        files = StateFolder(border.sensor.state)
        assert [row.alert.block_code for row in Journal(files.journal, read_only=True).read()] == [
            one["block_code"] for one in found
        ]
    decisions = port25("decisions", "--state", str(files.path), check=True)
    assert BOT not in decisions.stdout.decode()
    replay = ("replay", "-q", "--json", str(border.recorded[0]))
    want = [json.loads(line) for line in port25(*replay, check=True).stdout.splitlines()]
    assert any(one["block_recommended"] for one in want), "together a block would be"
    assert all(alert.pop("sensor") == "north" for alert in on_topic)
    assert on_topic == want
    assert not {one["id"] for one in found} & {one["id"] for one in on_topic}
