"""The package, installed in a bare Debian: used, upgraded while it runs, removed, purged."""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import time

import pytest

from lab.debian import Debian
from lab.waiting import BUSY, wait_for
from sensor.settings import load_settings
from tests.conftest import PCAPS, ROOT, needs

SETTINGS = "/etc/port25/port25.toml"
STATE = "/var/lib/port25"
EDITED = "[live]\nsnapshot = 1  # by hand\n"
SUITE = os.environ.get("PORT25_DEBIAN", "bookworm")
"""``noble`` and ``trixie`` take as long again, and are for whoever changes the package."""
PYTHON = {"bookworm": "3.11", "noble": "3.12", "trixie": "3.13"}[SUITE]
AS_THE_UNIT = [
    "setpriv", "--reuid=port25", "--regid=port25", "--clear-groups", "--no-new-privs",
    "--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw",
]  # fmt: skip
ALL = """
[kafka]
bootstrap = ["127.0.0.1:9"]
[customers.radius]
listen = "127.0.0.1:1813"
[[blocking.coa.nas]]
name = "bng"
address = "127.0.0.1:3799"
secret_file = "/etc/port25/secret"
[[notify.chat]]
name = "desk"
url_file = "/etc/port25/chat"
[complaints]
zones = ["zone.isp.example"]
[web]
ptr = true
asn_table = "/etc/port25/asn.mmdb"
[web.oidc]
issuer = "https://id.isp.example"
"""
"""Settings that take more than a sensor alone."""
UP = """
import fcntl, socket, struct
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))
"""


@pytest.fixture(scope="module")
def package(request, tmp_path_factory):
    """Of this state of the sources."""
    needs("debootstrap", "dpkg-deb", root=True)
    wheel = request.getfixturevalue("wheel")
    out = tmp_path_factory.mktemp("out")
    environment = os.environ | {"PACKED": "none", "WHEEL": str(wheel), "OUT": str(out)}
    subprocess.run(["deploy/deb", PYTHON], cwd=ROOT, env=environment, check=True)
    (made,) = out.glob("*.deb")
    return made


@pytest.fixture(scope="module")
def debian(tmp_path_factory, package):
    one = Debian(SUITE, tmp_path_factory.mktemp("debian") / "root")
    yield one
    one.close()


def _newer(package, folder, change):
    """The same package as another version, with something else in its settings."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*", "Version: 99.0-1", control.read_text()))
    (tree / SETTINGS[1:]).open("a").write(change)
    made = folder / "newer.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, made],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return made


def _of_today(capture):
    """A capture as if it had been made just now: what is old a sensor forgets."""
    data = bytearray(capture.read_bytes())
    places, at = [], 24
    while at < len(data):
        places.append(at)
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
    later = int(time.time()) - 600 - struct.unpack_from("<I", data, places[-1])[0]
    for at in places:
        struct.pack_into("<I", data, at, struct.unpack_from("<I", data, at)[0] + later)
    return bytes(data)


def _unit(debian, name):
    return (debian.root / "usr/lib/systemd/system" / name).read_text()


def _live(debian):
    """The sensor as its unit says, on the loopback of a network of its own, until /tmp/stop."""
    command = re.search(r"(?m)^ExecStart=(.+)$", _unit(debian, "port25.service"))[1]
    words = [*AS_THE_UNIT, "env", f"STATE_DIRECTORY={STATE}", command.replace("${INTERFACE}", "lo")]
    return debian.start(
        "sh", "-c",
        f"python3 /tmp/up.py; {' '.join(words)} & until [ -e /tmp/stop ]; do sleep 0.1; done;"
        " kill -TERM $!; wait $!",
    )  # fmt: skip


REPLAY = (*AS_THE_UNIT, "port25", "replay", "-q", "--json", "--state", STATE, "-c", SETTINGS)
OLD_SETTINGS = ("-o", "Dpkg::Options::=--force-confold")


@pytest.mark.slow
def test_a_package_is_installed_upgraded_removed_and_purged(debian, package):
    (debian.root / "tmp" / "bot.pcap").write_bytes(_of_today(PCAPS / "slow_bot.pcap"))
    (debian.root / "tmp" / "up.py").write_text(UP)
    _installed(debian, package)
    _complete(debian)
    (debian.root / SETTINGS[1:]).write_text(EDITED)
    newer = _newer(package, debian.root / "srv", "# what a newer version says\n")
    _without_room(debian, package, newer)
    _asked_about_settings(debian, newer)
    _upgraded_while_it_runs(debian, newer)
    _downgraded(debian, package)
    _removed_and_purged(debian)


def _installed(debian, package):
    """Nothing is fetched or compiled, and the first alert is there at once."""
    began = time.monotonic()
    said = debian.install(package)
    assert "systemctl enable --now port25" in said
    took = time.monotonic() - began
    began = time.monotonic()
    alerts = debian.run(*REPLAY, "/tmp/bot.pcap").splitlines()
    assert time.monotonic() - began < BUSY, f"after {took:.0f} s of installing"
    assert json.loads(alerts[0])["host"] == "203.0.113.20"
    assert debian.run("which", "gcc", "cc", expected=1) == ""
    assert debian.run("port25", "--version").startswith("port25 ")
    assert debian.run("port25", "check-config", SETTINGS) == f"{SETTINGS}: fine\n"
    assert "User=port25" in _unit(debian, "port25.service")
    assert not re.search("DynamicUser|/etc/port25.toml", _unit(debian, "port25-web.service"))
    modes = debian.run("stat", "-c", "%U:%G %a", STATE, "/etc/port25", SETTINGS).splitlines()
    assert modes == ["port25:port25 750", "root:port25 750", "root:port25 640"]


def _complete(debian):
    """It holds what settings can ask for; what it does not is said."""
    (debian.root / "tmp" / "all.toml").write_text(ALL)
    said = debian.run("port25", "doctor", "-c", "/tmp/all.toml", "--state", STATE, expected=1)
    assert "packages: what the settings ask for is installed" in said
    names = (
        "authlib.oidc.core", "joserfc.jwt", "requests", "apprise", "pyrad.packet", "kafka",
        "textual", "pyshark", "uvicorn", "argon2", "dns.resolver", "maxminddb",
    )  # fmt: skip
    debian.run("/opt/port25/bin/python", "-c", f"import {', '.join(names)}")
    lacking = debian.start("port25", "sessions", "--format", "parquet", "/tmp/bot.pcap")
    said, complained = lacking.communicate()
    how = "apt install python3-pip && python3 -m pip --python /opt/port25/bin/python install"
    assert lacking.returncode == 2 and f"{how} 'port25[parquet]'" in complained


def _without_room(debian, package, newer):
    """It is said, and the version before runs on."""
    inside = debian.root
    copy = inside / "tmp" / "newer.deb"
    copy.hardlink_to(newer)
    size = shutil.disk_usage(inside).used + (40 << 20)
    subprocess.run(["mount", "-o", f"remount,size={size}", inside], check=True)
    full = debian.start("apt-get", "-qq", "-y", *OLD_SETTINGS, "install", "/tmp/newer.deb")
    said, complained = full.communicate()
    assert full.returncode != 0 and "No space left on device" in said + complained
    subprocess.run(["mount", "-o", "remount,size=4g", inside], check=True)
    copy.unlink()
    assert (inside / SETTINGS[1:]).read_text() == EDITED
    assert _version(debian) == f"installed {package.name.split('_')[1]}"
    assert debian.run(*REPLAY, "/tmp/bot.pcap") == "", "it knows its alerts"


def _asked_about_settings(debian, newer):
    """Where nobody can answer, the file edited by hand stands, and the rest waits."""
    (debian.root / "tmp" / "newer.deb").hardlink_to(newer)
    asking = debian.start("dpkg", "-i", "/tmp/newer.deb")
    said, complained = asking.communicate()
    assert asking.returncode != 0, said
    assert f"Configuration file '{SETTINGS}'\n ==> Modified" in complained
    assert (debian.root / SETTINGS[1:]).read_text() == EDITED
    assert _version(debian) == "unpacked 99.0-1"
    debian.run("dpkg", "--force-confold", "--configure", "port25")
    (debian.root / "tmp" / "newer.deb").unlink()
    assert (debian.root / SETTINGS[1:]).read_text() == EDITED
    assert "# what a newer version says" in (debian.root / f"{SETTINGS[1:]}.dpkg-dist").read_text()


def _upgraded_while_it_runs(debian, newer):
    """Settings and what was known stay."""
    live, stop = _live(debian), debian.root / "tmp" / "stop"
    try:
        snapshot = debian.root / STATE[1:] / "state.p25"
        wait_for(snapshot.exists, why="the sensor's first snapshot")
        debian.install(newer, "--reinstall", *OLD_SETTINGS)
        assert live.poll() is None
        assert _version(debian) == "installed 99.0-1"
    finally:
        stop.touch()
        _, complained = live.communicate()
    assert live.returncode == 0, complained
    assert (debian.root / SETTINGS[1:]).read_text() == EDITED
    assert debian.run(*REPLAY, "/tmp/bot.pcap") == "", "its alerts were known"
    assert "203.0.113.20" in debian.run("port25", "decisions", "--state", STATE)


def _downgraded(debian, package):
    """It goes on where the state is one it knows; one of a newer version it does not touch."""
    debian.install(package, "--allow-downgrades", *OLD_SETTINGS)
    assert debian.run(*REPLAY, "/tmp/bot.pcap") == "", "its alerts were known"
    journal = debian.root / STATE[1:] / "journal.sqlite"
    with contextlib.closing(sqlite3.connect(journal)) as database:
        (known,) = database.execute("PRAGMA user_version").fetchone()
        database.execute(f"PRAGMA user_version = {known + 1}")
    before = journal.read_bytes()
    refused = debian.start(*REPLAY, "/tmp/bot.pcap")
    said, complained = refused.communicate()
    assert refused.returncode == 1 and said == ""
    assert f"it is of a newer version ({known + 1}, this program knows {known})" in complained
    assert journal.read_bytes() == before


def _removed_and_purged(debian):
    """Removed: settings and evidence stay. Purged: nothing stays."""
    inside = debian.root
    by_hand = inside / "opt/port25/lib" / f"python{PYTHON}" / "site-packages" / "by_hand.py"
    by_hand.touch()
    debian.run("apt-get", "-qq", "-y", "remove", "port25")
    assert not (inside / "opt/port25/bin").exists() and not (inside / "usr/bin/port25").exists()
    assert by_hand.exists(), "what somebody added is somebody's"
    assert (inside / SETTINGS[1:]).exists() and (inside / STATE[1:] / "journal.sqlite").exists()
    debian.run("apt-get", "-qq", "-y", "purge", "port25")
    paths = ("etc/port25", "etc/default/port25", STATE[1:], "var/lib/port25-coa", "opt/port25")
    assert [path for path in paths if (inside / path).exists()] == []


def _version(debian):
    return debian.run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", "port25")


def test_the_settings_that_a_package_brings_are_fit_for_use(tmp_path):
    text = (ROOT / "deploy" / "debian" / "port25.toml").read_text()
    head, _, rest = text.partition("\n\n")
    assert all(line.startswith("#") for line in head.splitlines())
    uncommented = tmp_path / "port25.toml"
    uncommented.write_text(re.sub(r"(?m)^#(?! \S)", "", rest))
    settings = load_settings(str(uncommented))
    assert len(settings.subscriber_prefixes) == 3 and settings.exempt


def test_the_manual_and_the_completion_know_every_verb():
    from sensor.cli import verbs

    made = [
        subprocess.run(
            [sys.executable, f"deploy/{name}"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for name in ("manual", "completion")
    ]  # fmt: skip
    for verb in verbs():
        assert f".SS {verb}\n".replace("-", "\\-") in made[0]
    program = (
        f"source /dev/stdin <<'END'\n{made[1]}END\n"
        'COMP_WORDS=(port25 "") COMP_CWORD=1; _port25; echo "${COMPREPLY[@]}"\n'
        'COMP_WORDS=(port25 sessions --format ""); COMP_CWORD=3; _port25; echo "${COMPREPLY[@]}"'
    )
    said = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    first, second = said.stdout.splitlines()
    assert first.split() == [*verbs(), "--help", "--version"]
    assert second.split() == ["jsonl", "parquet", "arrow"]
