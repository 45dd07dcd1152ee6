"""The command as a user meets it: exit codes, streams, hostile input, read-only installations."""

import json
import os
import pty
import shutil
import subprocess
import sys

import pytest

from sensor.base.terminal import printable
from sensor.cli import verbs
from tests.conftest import PCAPS, ROOT, port25

DEMO = str(PCAPS / "demo.pcap")


HEAVY = {"numpy", "numba", "msgspec", "rich", "textual", "kafka", "sqlite3", "asyncio", "random"}


@pytest.mark.parametrize("words", [["--version"], ["--help"], *([v, "--help"] for v in verbs())])
def test_help_imports_nothing_heavy(words):
    """What makes it quick: a few milliseconds of the interpreter's own start, on any machine."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "sensor", *words],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & HEAVY


def test_a_replay_starts_no_thread_and_imports_no_other_verb():
    program = (
        "import os, sys; from sensor.cli import main; main(['replay', '-q', sys.argv[1]]);"
        "verbs = [m for m in sys.modules if m.startswith('sensor.commands.')];"
        "verbs = [m for m in verbs if hasattr(sys.modules[m], 'HELP')];"
        "print(len(os.listdir('/proc/self/task')), *verbs)"
    )
    capture = str(PCAPS / "home_user.pcap")
    run = subprocess.run(
        [sys.executable, "-c", program, capture], capture_output=True, text=True, check=True,
        cwd=ROOT, env={k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"},
    )  # fmt: skip
    assert run.stdout.splitlines()[-1] == "1 sensor.commands.replay"


UNUSED = {
    "base64", "dataclasses", "difflib", "hashlib", "json", "queue", "shutil", "socket", "tomllib",
    "sensor.blocking.policy", "sensor.notify.letters", "sensor.smtp.record",
}  # fmt: skip


def test_a_small_replay_loads_nothing_it_has_no_use_for():
    program = (
        "import sys, numpy, msgspec; others = set(sys.modules);"
        "from sensor.cli import main; main(['replay', '-q', sys.argv[1]]);"
        "print(*sys.modules.keys() - others)"
    )
    command = [sys.executable, "-c", program, str(PCAPS / "home_user.pcap")]
    for _ in range(2):  # the first may have to read all sources
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(run.stdout.splitlines()[-1].split())
    assert "sensor.pipeline" in loaded
    assert not loaded & UNUSED


def test_verbs_stand_in_the_order_in_which_they_are_needed():
    text = port25("--help", check=True).stdout.decode()
    found = [
        line.split()[0]
        for line in text.splitlines()
        if line.startswith("    ") and line[4:5].strip()
    ]
    assert found == list(verbs()) == [
        "setup", "replay", "live", "flows", "evidence", "forward", "correlate", "decide",
        "blocklist", "controller", "decisions", "release", "resume", "report", "customer",
        "explain", "impact",
        "watch", "web", "tune", "notify", "complaints", "sessions", "leases", "segments", "doctor",
        "check-config",
    ]  # fmt: skip


VERB = '''
"""``port25 hello``: greets."""

from sensor.commands.terminal import Stop

HELP = "greet somebody"
PLACE = 15


def arguments(parser):
    parser.add_argument("name")


def run(options):
    if options.name == "nobody":
        raise Stop(2, "nobody is here")
    print(f"hello {options.name}")
    return 0
'''


def test_a_verb_is_one_file(tmp_path):
    shutil.copytree(ROOT / "sensor", tmp_path / "sensor")
    (tmp_path / "sensor" / "commands" / "hello.py").write_text(VERB)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sensor", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert run("hello", "Ada").stdout == "hello Ada\n"
    stopped = run("hello", "nobody")
    assert (stopped.returncode, stopped.stderr) == (2, "port25: nobody is here\n")
    listed = run("--help").stdout
    assert listed.index("replay ") < listed.index("greet somebody") < listed.index("live ")


def test_replay_prints_json_lines_in_a_pipe_and_a_summary_beside():
    run = port25("replay", DEMO)
    assert run.returncode == 0
    alerts = [json.loads(line) for line in run.stdout.splitlines()]
    needed = "id ts host state severity score evidence handshake_proven block_recommended schema"
    assert all(set(needed.split()) <= alert.keys() for alert in alerts)
    assert set(alerts[0]["evidence"][0]) == {
        "detector",
        "decibans",
        "reason",
        "figures",
        "code",
    }
    summary = run.stderr.decode()
    for name in ("segment", "malformed_tcp", "attempts", "hosts_evicted", "clock_steps_back"):
        assert name in summary


def test_replay_on_a_terminal_is_a_table():
    parent, child = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-m", "sensor", "replay", "-q", DEMO],
        stdout=child, stderr=subprocess.PIPE, cwd=ROOT, env=os.environ | {"COLUMNS": "150"},
    )  # fmt: skip
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 65536)
        except OSError:
            break
    assert run.wait() == 0
    assert b"203.0.113.10" in shown and b"severity" in shown and b"{" not in shown


def test_a_damaged_file_is_processed_up_to_the_damage_and_fails(tmp_path):
    broken = tmp_path / "broken.pcap"
    broken.write_bytes((PCAPS / "worm.pcap").read_bytes()[:-3])
    run = port25("replay", str(broken))
    assert run.returncode == 1
    assert b"203.0.113.30" in run.stdout
    assert f"{broken} at byte ".encode() in run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("replay", "none.pcap"), 1, "none.pcap: No such file or directory"),
        (("replay", "-c", "none.toml", DEMO), 2, "none.toml: No such file"),
        (("explain", "mail.example", "-r", DEMO), 2, "does not appear to be an IPv4 or IPv6"),
        (("segments", "-p", "http", DEMO), 2, "expected numbers from 1 to 65535"),
        (("segments", "-p", "25,99999", DEMO), 2, "expected numbers from 1 to 65535"),
        (("replay",), 2, "usage:"),
        (("fly",), 2, "invalid choice"),
    ],
)
def test_mistakes_are_one_clear_line(arguments, code, said):
    run = port25(*arguments)
    assert run.returncode == code
    assert said in run.stderr.decode()
    assert "Traceback" not in run.stderr.decode()


def test_every_mistake_in_the_settings_is_named(tmp_path):
    config = tmp_path / "bad.toml"
    config.write_text(
        """
ports = [25, 99999]
subscriber_prefixs = []
subscriber_prefixes = ["192.0.2.0/24", "192.0.2.1/24", { prefix = "10.0.0.0/8", delegatd = 3 }]
syn_timeout = "soon"
exempt = [{ prefix = "192.0.2.1", until = 2026-01-01 }]
[detectors.fan_out]
usual = [1, 2, 3]
[score]
prior = 2
"""
    )
    run = port25("check-config", str(config))
    assert run.returncode == 2
    said = run.stderr.decode()
    for mistake in (
        "ports[1]: Expected `int` <= 65535",
        "subscriber_prefixs: no such setting; did you mean 'subscriber_prefixes'?",
        "subscriber_prefixes[2].delegatd: no such setting; did you mean 'delegated'?",
        "syn_timeout: Expected `float`, got `str`",
        "exempt[0].reason: missing",
        "detectors.fan_out.usual: Expected `array` of length 5",
        "score.prior: Expected `float`",
    ):
        assert mistake in said, said
    assert port25("replay", "-c", str(config), DEMO).returncode == 2


def test_prefixes_with_host_bits_are_named(tmp_path):
    config = tmp_path / "bad.toml"
    config.write_text('subscriber_prefixes = ["192.0.2.1/24"]\nown_mail_servers = ["mx"]\n')
    said = port25("check-config", str(config)).stderr.decode()
    assert "subscriber_prefixes[0]: 192.0.2.1/24 has host bits set" in said
    assert "own_mail_servers[0]: 'mx' does not appear" in said


@pytest.mark.parametrize("text", [b"ports = [", b"\xff\xfe", b"a = 1\na = 2"])
def test_what_is_no_toml(tmp_path, text):
    config = tmp_path / "bad.toml"
    config.write_bytes(text)
    run = port25("check-config", str(config))
    assert run.returncode == 2 and b"Traceback" not in run.stderr


def test_what_is_set_and_does_nothing_is_said(tmp_path):
    config = tmp_path / "alone.toml"
    config.write_text('[cluster]\nalone = true\n[kafka]\nbootstrap = ["127.0.0.1:9092"]\n')
    run = port25("check-config", str(config))
    assert run.returncode == 0
    assert b"cluster.alone: does nothing" in run.stderr
    config.write_text(config.read_text().replace("alone = true", 'alone = true\nmode = "forward"'))
    assert port25("check-config", str(config)).stderr == b""


def test_a_good_file_is_fine():
    run = port25("check-config", "pcaps/cgn.toml")
    assert (run.returncode, run.stdout) == (0, b"pcaps/cgn.toml: fine\n")


def test_explain_prints_a_sum_that_adds_up():
    out = port25("explain", "203.0.113.30", "-r", DEMO, check=True).stdout.decode()
    rows = [line.split() for line in out.splitlines()]
    named = {row[0]: float(row[1]) for row in rows if len(row) > 2 and row[1][0] in "+-"}
    total = named.pop("score")
    names = {"prior", "fan_out", "first_contact", "rejections", "dialogue"}
    names |= {"deliveries", "mx_lookups", "regularity", "submission"}
    names |= {"answers", "senders", "logins", "wordless", "campaign", "inbound"}
    assert set(named) == names
    assert round(sum(named.values()), 1) == total
    assert "raised" in out
    other = port25("explain", "198.51.100.77", "-r", DEMO, check=True).stdout
    assert b"opened no connection" in other


def test_a_reader_that_goes_away_is_no_crash():
    run = subprocess.run(
        f"{sys.executable} -m sensor segments {DEMO} | head -1",
        shell=True, capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert run.stdout.count("\n") == 1
    assert "Traceback" not in run.stderr and "Exception" not in run.stderr


def test_hostile_names_cannot_reach_the_terminal(tmp_path):
    assert printable("a\x1b[31m\u202eb\n") == "a\\x1b[31m\\u202eb\\n"
    run = port25("replay", "\x1b]0;owned\x07.pcap")
    assert b"\x1b" not in run.stderr and b"\\x1b" in run.stderr


@pytest.mark.slow
def test_the_compile_cache_lies_outside_a_read_only_package(tmp_path):
    """A second run compiles nothing, though the first could not write into the package."""
    caches = tmp_path / "cache"
    capture = PCAPS / "home_user.pcap"
    before = {p: p.stat().st_mtime_ns for p in (ROOT / "sensor").rglob("*.nb[ic]")}
    assert not before, "numba wrote into the package"
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(caches)
    assert port25("segments", str(capture), env=environment).returncode == 0
    assert not any((ROOT / "sensor").rglob("*.so"))
    first = {p: p.stat().st_mtime_ns for p in caches.rglob("*.nb[ic]")}
    assert first
    assert port25("segments", str(capture), env=environment).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in caches.rglob("*.nb[ic]")} == first


@pytest.mark.slow
def test_without_any_place_for_a_cache_it_still_works(tmp_path):
    capture = PCAPS / "home_user.pcap"
    environment = os.environ | {"NUMBA_CACHE_DIR": "/proc/nowhere"}
    run = port25("segments", str(capture), env=environment)
    assert run.returncode == 0, run.stderr


def test_what_is_not_installed_says_what_brings_it():
    program = (
        "import sys; sys.modules['starlette'] = None\n"
        "from sensor.cli import main; raise SystemExit(main(['web', '--state', '.']))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 1
    assert "starlette is not installed: pip install 'port25[web]'" in run.stderr
