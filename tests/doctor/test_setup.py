"""A first settings file: what is proposed, what is refused, and that it is fit for use."""

import subprocess
import sys

from lab import ROOT
from sensor.doctor.first_settings import QUESTIONS, mistakes, settings_text
from sensor.settings import Settings, load_settings, parse_settings
from tests.conftest import PCAPS


def _setup(*arguments, answers, expected=0):
    run = subprocess.run(
        [sys.executable, "-m", "sensor", "setup", *map(str, arguments)],
        input="".join(f"{one}\n" for one in answers), capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert run.returncode == expected, run.stderr
    return run


def test_defaults_are_the_programs():
    answers = [question.default for question in QUESTIONS]
    assert parse_settings(settings_text(answers)) == Settings()
    assert all(
        line.startswith("#") for line in settings_text(answers).splitlines() if " = [" in line
    )


def test_answers_are_written_and_traffic_gives_hints(tmp_path):
    path = tmp_path / "port25.toml"
    answers = [
        "203.0.113.0/24, 2001:db8::/32", "192.0.2.25 192.0.2.26", "headers",
        "kafka1.isp.example:9092", "127.0.0.1:9000",
    ]  # fmt: skip
    run = _setup("-r", PCAPS / "demo.pcap", path, answers=answers)
    assert "seen: 203.0.113.0/24 (" in run.stderr
    assert "192.0.2.25 opened" in run.stderr
    settings = load_settings(str(path))
    assert settings.subscriber_prefixes == ("203.0.113.0/24", "2001:db8::/32")
    assert settings.own_mail_servers == ("192.0.2.25", "192.0.2.26")
    assert settings.privacy == "headers" and settings.web.listen == "127.0.0.1:9000"
    assert settings.kafka.bootstrap == ("kafka1.isp.example:9092",)
    assert settings.blocking.mode == "dry-run"
    assert path.stat().st_mode & 0o7 == 0


def test_an_answer_that_will_not_do_is_asked_for_again(tmp_path):
    path = tmp_path / "port25.toml"
    answers = ["203.0.113.0/33", "203.0.113.0/24", "", "all", "", "broker", "", ""]
    run = _setup(path, answers=answers)
    assert run.stderr.count("Your subscribers' prefixes") == 2
    assert "subscriber_prefixes[0]" in run.stderr and "privacy" in run.stderr
    assert load_settings(str(path)).subscriber_prefixes == ("203.0.113.0/24",)
    assert mistakes(['"] \x1b'])


def test_settings_that_are_there_stay(tmp_path):
    path = tmp_path / "port25.toml"
    for text in ("ports = [25, 2525]\n", "not = TOML at all"):
        path.write_text(text)
        assert "--force" in _setup(path, answers=[""] * 5, expected=1).stderr
        assert path.read_text() == text
    _setup("--force", path, answers=[""] * 5)
    assert load_settings(str(path)) == Settings()
    path.write_text("# nothing but comments\n")
    path.chmod(0o600)
    _setup(path, answers=["203.0.113.0/24"] + [""] * 4)
    assert load_settings(str(path)).subscriber_prefixes and path.stat().st_mode & 0o777 == 0o600


def test_nobody_who_answers(tmp_path):
    path = tmp_path / "port25.toml"
    run = _setup(path, answers=["203.0.113.0/24"], expected=2)
    assert "nothing was written" in run.stderr and not path.exists()
