"""``port25 tune --from-desk``: what verdicts say of detectors and kinds, and what they propose."""

import json
import time

import msgspec
import pytest

from lab.alerts import alert
from sensor.base.units import DAY
from sensor.blocking.desk import Desk
from sensor.blocking.handling import Act
from sensor.blocking.precision import calibration, drift
from sensor.service.metrics import Collector
from sensor.settings import Settings
from sensor.state.journal import Journal
from tests.conftest import port25

MISSED = Settings().score.miss_rate


@pytest.fixture
def folder(tmp_path):
    """Ten bots at +40 and more, six false alarms at +22, an own server, one nobody is sure of."""
    journal, desk = Journal(tmp_path / "journal.sqlite"), Desk(tmp_path / "desk.sqlite")
    given = [("bot", 40.0 + k) for k in range(10)] + [
        ("false_alarm", 22.0 + k / 10) for k in range(6)
    ]
    given += [("own_server", 50.0), ("unclear", 30.0)]
    for k, (verdict, score) in enumerate(given):
        one = alert(f"203.0.113.{k}", opened=k, score=score, abuse="worm" if k < 10 else "scanning")
        if verdict == "false_alarm":  # only one detector spoke against these
            lines = [line for line in one.evidence if line.detector != "fan_out"]
            one = msgspec.structs.replace(one, evidence=lines)
        lower = msgspec.structs.replace(one, revision=2, score=1.0, state="closed")
        journal.write([one, lower])
        desk.act({one.id: 2}, time.time_ns(), Act("done", "ann", "", verdict=verdict))
    gone = Act("done", "ann", "", verdict="bot")
    desk.act({"f" * 32: 1}, time.time_ns(), gone)
    desk.act({"e" * 32: 1}, 1, gone)  # long ago
    journal.close()
    desk.close()
    return tmp_path


def test_precision_by_detector_and_kind(folder):
    before = {f.name: f.read_bytes() for f in folder.glob("*.sqlite")}
    done = port25("tune", "--from-desk", "--state", str(folder), check=True)
    found = json.loads(done.stdout)
    assert (found["judged"], found["unclear"], found["gone"]) == (17, 1, 1)
    shares = {(one["of"], one["name"]): one for one in found["precision"]}
    everything = shares["all", ""]
    assert (everything["right"], everything["wrong"]) == (10, 7)
    assert everything["low"] < everything["share"] == round(10 / 17, 3) < everything["high"]
    assert (shares["detector", "fan_out"]["right"], shares["detector", "fan_out"]["wrong"]) == (
        10,
        1,
    )
    assert (shares["abuse", "worm"]["share"], shares["abuse", "scanning"]["share"]) == (1.0, 0.0)
    settings = {one["setting"]: one["why"] for one in found["proposals"]}
    assert 'own_mail_servers = [..., "203.0.113.16"]' in settings
    (level,) = [text for text in settings if text.startswith("score.")]
    rate = float(level.partition("= ")[2])
    assert rate == pytest.approx((1 - MISSED) / 10**2.26, rel=0.05)
    assert "6 of 7 false alarms less, none of 10" in settings[level]
    assert {f.name: f.read_bytes() for f in folder.glob("*.sqlite")} == before, "nothing is changed"


def test_drift_is_what_the_scores_promised_and_the_desk_did_not_find(folder):
    """Of 16 alerts at +20 and more 10 are right, of those the first detector had a part in all."""
    found = calibration(folder, time.time_ns() - DAY, MISSED)
    assert (found["fan_out"]["right"], found["fan_out"]["wrong"]) == (10, 1)
    rest = next(name for name in found if name != "fan_out")
    assert found[rest]["wrong"] == 7
    assert found[rest]["drift"] < found["fan_out"]["drift"] < 0
    last = calibration(folder, time.time_ns() - DAY, MISSED, 1)
    assert all(one["right"] + one["wrong"] == 1 for one in last.values())
    shown = {one.name: one for one in Collector(lambda: {"verdicts": found}).collect()}
    drifts = {
        s.labels["detector"]: s.value for s in shown["port25_detector_drift_decibans"].samples
    }
    assert drifts == {name: one["drift"] for name, one in found.items()}


@pytest.mark.parametrize(
    ("right", "promised", "n", "drift_found"), [(99, 99, 100, 0.0), (0, 0.99, 1, -9.4)]
)
def test_one_verdict_is_not_all(right, promised, n, drift_found):
    assert drift(right, promised, n) == drift_found


def test_nobody_has_judged(tmp_path):
    assert calibration(tmp_path, 0, MISSED) == {}


def test_without_verdicts_it_says_so(tmp_path):
    Journal(tmp_path / "journal.sqlite").close()
    done = port25("tune", "--from-desk", "--state", str(tmp_path))
    assert done.returncode == 1 and b"nobody has given a verdict" in done.stderr
