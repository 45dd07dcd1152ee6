"""``port25 tune``: the journal weighed again with other settings."""

import itertools
import json

import msgspec
import pytest

from detectors.score import Model
from sensor.alerts.candidate import Candidate, evidence_of
from sensor.capture.merge import Captures
from sensor.pipeline import Pipeline
from sensor.settings import AlertSettings, Settings
from sensor.state import journal as journal_module
from sensor.state.journal import Journal
from tests.conftest import PCAPS, port25


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """The state folder after a replay of every fixture that needs no settings."""
    state = tmp_path_factory.mktemp("tune")
    for name in ("demo", "mx_lookups", "one_direction", "port_scan"):
        port25("replay", "-q", "--state", str(state), str(PCAPS / f"{name}.pcap"), check=True)
    return state


def tune(state, text: str, tmp_path) -> list[dict]:
    config = tmp_path / "new.toml"
    config.write_text(text)
    run = port25("tune", "-c", str(config), "--state", str(state), check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_the_same_settings_change_nothing(state, tmp_path):
    found = tune(state, "", tmp_path)
    assert found and all(c["effect"] == "stays" and c["was"] == c["would_be"] for c in found)


def test_evidence_survives_the_journal(state):
    model = Model()
    journal = Journal(state / "journal.sqlite", read_only=True)
    for _, alert in journal.read():
        findings = model.explain(evidence_of(alert))
        assert [f.reason for f in findings] == [line.reason for line in alert.evidence]


def test_what_vanishes_is_what_a_replay_no_longer_finds(state, tmp_path):
    text = "[detectors.fan_out]\nusual = [40, 60, 80, 90, 90]\n"
    found = {c["host"]: c for c in tune(state, text, tmp_path)}
    config = tmp_path / "new.toml"
    out = port25("replay", "-q", "-c", str(config), str(PCAPS / "demo.pcap"), check=True).stdout
    replayed = {json.loads(line)["host"] for line in out.splitlines()}
    before = port25("replay", "-q", str(PCAPS / "demo.pcap"), check=True).stdout
    for host in {json.loads(line)["host"] for line in before.splitlines()}:
        assert (found[host]["effect"] == "stays") == (host in replayed), host
        assert "fan_out" in found[host]["why"]
    assert any(c["effect"] == "vanishes" for c in found.values())


def test_who_would_appear_is_known_from_the_candidates(state, tmp_path):
    journal = Journal(state / "journal.sqlite", read_only=True)
    alerted = {alert.host for _, alert in journal.read()}
    near = {c.host: c for c in journal.candidates() if c.host not in alerted}
    found = tune(state, "[score]\nprior = 0.1\n[detectors.rejections]\nleast = 0\n", tmp_path)
    appears = {c["host"] for c in found if c["effect"] == "appears"}
    assert appears <= near.keys()


def test_who_is_exempt_now_vanishes_with_that_reason(state, tmp_path):
    text = 'exempt = [{ prefix = "203.0.113.10", reason = "x", until = 2099-01-01 }]\n'
    found = {c["host"]: c for c in tune(state, text, tmp_path)}
    assert (found["203.0.113.10"]["effect"], found["203.0.113.10"]["why"]) == (
        "vanishes", "exempt",
    )  # fmt: skip
    found = {c["host"]: c for c in tune(state, text.replace("2099", "2024"), tmp_path)}
    assert found["203.0.113.10"]["effect"] == "stays", "it had ended before the alert"
    found = {c["host"]: c for c in tune(state, 'own_mail_servers = ["203.0.113.10"]\n', tmp_path)}
    assert found["203.0.113.10"]["why"] == "an own mail server"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--state", "/nonexistent"), 1, b"journal.sqlite"),
        (("--since", "soon"), 2, b"--since"),
    ],
)
def test_what_is_wrong_is_said(words, code, text):
    run = port25("tune", *words)
    assert (run.returncode, text in run.stderr) == (code, True), run.stderr


def candidates(settings: Settings, name: str) -> list[Candidate]:
    outputs = Pipeline(settings, candidates=True).run(Captures([str(PCAPS / f"{name}.pcap")]))
    return [one for output in outputs for one in output.candidates]


def test_candidates_are_told_as_their_score_grows_and_none_for_nobody():
    settings = Settings(alerts=AlertSettings(candidate_at=-25.0))
    found = candidates(settings, "fast_bot")
    scores = [one.score for one in found]
    assert len(scores) >= 2 and all(b >= a + 4.9 for a, b in itertools.pairwise(scores))
    assert max(scores) < 20, "alerts are no candidates"
    assert candidates(Settings(), "home_user") == []


def test_a_journal_keeps_the_highest_of_each_host_and_no_more_than_its_ceiling(
    tmp_path, monkeypatch
):
    one = candidates(Settings(alerts=AlertSettings(candidate_at=-25.0)), "fast_bot")[0]
    journal = Journal(tmp_path / "journal.sqlite")
    for score in (3.0, 9.0, 5.0):
        journal.note([msgspec.structs.replace(one, score=score)])
    assert [c.score for c in journal.candidates()] == [9.0]
    monkeypatch.setattr(journal_module, "_CANDIDATES", 2)
    journal.note([msgspec.structs.replace(one, host=f"h{n}", ts=n) for n in range(5)])
    assert {c.host for c in journal.candidates()} == {"h4", one.host}
    assert journal.candidates(since=one.ts + 1) == []
    journal.forget(before=one.ts)
    assert [c.host for c in journal.candidates()] == [one.host]
